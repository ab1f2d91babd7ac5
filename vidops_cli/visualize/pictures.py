"""Operator and inputs -> pictures as numbers, through the methods that the operators name and `forward` uses.

All places and lengths are in pixels of the frames, x to the right and y down, pixel centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.functional import soft_argmax
from vidops_cli.ops import OPS

REACH = 8  # positions of a table that are shown to each side


@dataclass(frozen=True)
class Look:
    """Where to look: a frame of the clip, a point (x, y) of it, the frames' (height, width), a head from 0."""

    frame: int
    point: tuple[float, float]
    size: tuple[int, int]
    head: int | None = None


@dataclass(frozen=True)
class Picture:
    """`kind`: the function of `report/pictures.py` that draws it from `told`; `name`: what it is a picture of."""

    name: str
    kind: str
    told: dict[str, Any]


class Grid:
    """Positions of a map on the frames: each is `step` positions of the operator's input map x."""

    def __init__(self, look: Look, x: Tensor, step: int = 1):
        self.look, self.step = look, step
        self.unit = look.size[1] / x.shape[-1], look.size[0] / x.shape[-2]  # pixels of a position of x, (x, y)
        self.sizes = -(-x.shape[-1] // step), -(-x.shape[-2] // step)

    @property
    def pitch(self) -> tuple[float, float]:
        """Pixels from one position to the next, (x, y)."""
        return self.step * self.unit[0], self.step * self.unit[1]

    def places(self) -> tuple[list[float], list[float]]:
        """x of the columns, y of the rows."""
        x, y = ([(self.step * i + 0.5) * u - 0.5 for i in range(n)] for u, n in zip(self.unit, self.sizes, strict=True))
        return x, y

    def cell(self) -> tuple[int, int]:
        """Row and column of the position next to the point."""
        nearest = [
            min(range(n), key=lambda i, at=at, p=p: abs(p[i] - at))
            for at, p, n in zip(self.look.point, self.places(), self.sizes, strict=True)
        ]
        return nearest[1], nearest[0]

    def point(self) -> tuple[float, float]:
        """(x, y) of that position."""
        (row, column), (x, y) = self.cell(), self.places()
        return x[column], y[row]


def see(name: str, op: nn.Module, inputs: tuple[Any, ...], look: Look) -> list[Picture]:
    """Pictures of an operator on its inputs, batches of one clip. ValueError, with a hint, where there is nothing."""
    least = OPS[name].min_frames
    if torch.is_tensor(inputs[0]) and inputs[0].dim() == 5 and inputs[0].shape[2] < least:
        raise ValueError(f"{name} compares frames: it needs at least {least}", "give a video, or raise --frames")
    with torch.no_grad():
        return PICTURES[name](op, *inputs, look)


def numbers(x: Tensor) -> Any:
    return x.detach().float().numpy()


def chosen(maps: Tensor, look: Look, what: str = "head") -> tuple[Tensor, list[str]]:
    """Of maps (G, ...) the head that is asked for, or all (at most 8), and what they are called."""
    if look.head is None:
        return maps[:8], [f"{what} {i + 1}" for i in range(min(8, len(maps)))] if len(maps) > 1 else [""]
    if look.head >= len(maps):
        raise ValueError(
            f"there is no {what} {look.head + 1}: the operator has {len(maps)}", f"--head 1 to {len(maps)}"
        )
    return maps[look.head : look.head + 1], [f"{what} {look.head + 1} of {len(maps)}"]


# --- motion -----------------------------------------------------------------------------------------------------------


def motion(grid: Grid, frame: int, to: int, flow: Tensor, sure: Tensor) -> dict[str, Any]:
    """A panel: displacement (2, H, W) in positions from a frame to another, and how sure it is (H, W)."""
    (x, y), pitch = grid.places(), grid.pitch
    u, v = (numbers(part) * size for part, size in zip(flow, pitch, strict=True))
    return {"frame": frame, "to": to, "x": x, "y": y, "u": u, "v": v, "sure": numbers(sure)}


def motion_squeeze(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    read, sure = op.displacement(x)
    if op.reading == "correlation":  # the scores themselves: what soft-argmax reads in them
        flows = [soft_argmax(s, op.size, op.size, temperature=op.temperature)[0] for s in read.chunk(op.directions, 1)]
    else:
        flows = list(read.chunk(op.directions, 1))
    t, grid = min(look.frame, x.shape[2] - 2), Grid(look, x)
    ways = zip(flows, sure.chunk(op.directions, 1), ((t, t + 1), (t + 1, t)), strict=False)
    panels = [motion(grid, *way, flow[0, :, t], c[0, 0, t]) for flow, c, way in ways]
    return [Picture("displacement", "motion", {"panels": panels, "what": "confidence (best score)"})]


def selfy(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    stss, grid, t = op.similarity(x), Grid(look, x, step=2), look.frame
    flow, sure = op.best_match(stss)
    panels = [
        motion(grid, t, t + offset, flow[0, i, :, t], sure[0, i, 0, t])
        for i, offset in enumerate(op.offsets)
        if offset and 0 <= t + offset < x.shape[2]
    ]
    row, column = grid.cell()
    around = stss[0, :, :, :, t, row, column]  # L U V
    found = [window(grid, around[None], op.offsets, x, [""], name="similarity", what="similarity (cosine)")]
    if panels:
        found.append(Picture("best match", "motion", {"panels": panels, "what": "similarity of the best match"}))
    return found


def correlation(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    """Mean over the groups; of the best match the offset of the maximum: whole positions of its window."""
    s = op.correlation(x).unflatten(1, (op.groups, -1)).mean(1)  # B N T H W
    t, K, grid = max(1, look.frame), op.window, Grid(look, x)
    if x.shape[2] < 2:
        raise ValueError("correlation matches a frame with the one before", "give a video of two frames")
    row, column = grid.cell()
    best, index = s[0, :, t].max(0)
    flow = torch.stack([index % K, index // K]) - K // 2
    panel = motion(grid, t, t - 1, op.dilation * flow, best)
    wide = Grid(Look(t, look.point, look.size), x)
    around = s[0, :, t, row, column].unflatten(0, (1, 1, K, K))
    what = {"name": "matches", "what": "product, mean over groups", "dilation": op.dilation}
    return [
        window(wide, around, [-1], x, [""], **what),
        Picture("best match", "motion", {"panels": [panel], "what": "best product"}),
    ]


# --- what a point sees of its window ----------------------------------------------------------------------------------


def window(
    grid: Grid, maps: Tensor, offsets: Any, x: Tensor, names: list[str], *, name: str, what: str, dilation: int = 1
) -> Picture:
    """Maps (G, L, U, V) over the offsets around the point; a frame outside the clip is None."""
    frames = [t if 0 <= (t := grid.look.frame + offset) < x.shape[2] else None for offset in offsets]
    pitch = [dilation * size for size in grid.pitch]
    told = {"frame": grid.look.frame, "at": frames, "offsets": list(offsets), "point": grid.point()}
    return Picture(name, "window", {**told, "pitch": pitch, "maps": numbers(maps), "names": names, "what": what})


def centred(length: int) -> range:
    return range(-(length // 2), length - length // 2)


def rsa(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid = Grid(look, x)
    kappa = op.kernel(x)[(0, slice(None), slice(None), look.frame, *grid.cell())]  # heads D
    maps, names = chosen(op.over_window(kappa), look)
    return [window(grid, maps, centred(op.window[0]), x, names, name="kernel", what="weight")]


def local_attention(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    if not op.attends:
        raise ValueError("local_attention with attention=false has no weights", "leave attention out")
    grid = Grid(look, x)
    weights = op.attention(x)[(0, slice(None), slice(None), look.frame, *grid.cell())].unflatten(1, op.window)
    if op.heads is None:  # one softmax for each channel
        weights = weights.mean(0, keepdim=True)
    maps, names = chosen(weights, look)
    return [window(grid, maps, centred(op.window[0]), x, names, name="attention", what="weight")]


def involution(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid = Grid(look, x)
    kernel = op.kernel(x)[(0, slice(None), slice(None), look.frame, *grid.cell())].unflatten(1, op.window)
    maps, names = chosen(kernel, look, "group")
    return [window(grid, maps, centred(op.window[0]), x, names, name="kernel", what="weight")]


def scr(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid, t = Grid(look, x), look.frame
    products = op.self_correlation(x[:, :, t : t + 1])[(0, slice(None), slice(None), 0, *grid.cell())]
    around = products.sum(0).unflatten(0, (1, 1, op.window, op.window))
    return [
        window(
            grid, around, [0], x, [""], name="self-correlation", what="similarity (sum of the products over channels)"
        )
    ]


# --- sampled points ---------------------------------------------------------------------------------------------------


def taps(grid: Grid, op: nn.Module, offset: Tensor, weight: Tensor, frame: int, to: int, what: str) -> Picture:
    """Offsets (2 N,) and weights (N,) of the point's taps."""
    reach = (torch.arange(op.kernel) - op.kernel // 2) * op.dilation
    rows, columns = reach.repeat_interleave(op.kernel), reach.repeat(op.kernel)
    dy, dx = offset.view(-1, 2).unbind(1)
    (x, y), (sx, sy) = grid.point(), grid.pitch
    regular = numbers(x + columns * sx), numbers(y + rows * sy)
    read = numbers(x + (columns + dx) * sx), numbers(y + (rows + dy) * sy)
    told = {"frame": frame, "to": to, "point": (x, y), "regular": regular, "read": read}
    return Picture("offsets", "taps", {**told, "weight": numbers(weight), "what": what})


def sifa(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    t, grid = min(look.frame, x.shape[2] - 2), Grid(look, x)
    pair = x[:, :, t : t + 2] if op.offsets != "conv3d" else x
    at = (0, slice(None), 0 if op.offsets != "conv3d" else t, *grid.cell())
    weights = op.correlation(pair[:, :, :-1], op.samples(pair)).mean(1)[at]
    return [taps(grid, op, op.offset(pair)[at], weights, t, t + 1, "weight a")]


def deformable_conv(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid = Grid(look, x)
    at = (0, slice(None), look.frame, *grid.cell())
    offset, counts = (None if part is None else part[at] for part in op.offset(x))
    weight = torch.ones(op.kernel**2) if counts is None else counts
    return [taps(grid, op, offset, weight, look.frame, look.frame, "how much a tap counts")]


# --- whole frames -----------------------------------------------------------------------------------------------------


def over_frames(name: str, maps: Tensor, frames: list[int], point: Any, frame: int, what: str) -> Picture:
    """Maps (T, H, W) of these frames; the point that they are of, or None, stands in `frame`."""
    told = {"maps": numbers(maps), "at": frames, "point": point, "frame": frame, "what": what}
    return Picture(name, "over_frames", told)


def self_attention(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    (q, k, _), grid, sizes = op.projected(x), Grid(look, x), x.shape[2:]
    row, column = grid.cell()
    n = (look.frame * sizes[1] + row) * sizes[2] + column
    R = None if op.rpe == "none" else op.relative([int(size) for size in sizes])[:, n : n + 1]
    weights = op.attention(q[:, :, n : n + 1], k, R)[0, :, 0].unflatten(1, sizes)  # h T H W
    maps, _ = (weights.mean(0, keepdim=True), []) if look.head is None else chosen(weights, look)
    return [attended(maps[0], list(range(sizes[0])), grid)]


def non_local(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid, frames = Grid(look, x), list(range(x.shape[2]))
    if not op.space_time:
        x, frames = x[:, :, look.frame : look.frame + 1], [look.frame]
    q, k, _ = op.projected(x)
    query = q[(slice(None), slice(None), frames.index(look.frame), *grid.cell())]
    return [attended(op.attention(query[..., None], k.flatten(2))[0, 0].unflatten(0, k.shape[2:]), frames, grid)]


def attended(weights: Tensor, frames: list[int], grid: Grid) -> Picture:
    share = weights * weights.numel()
    return over_frames("attention", share, frames, grid.point(), grid.look.frame, "weight, 1 = the same everywhere")


def pose_to_feature(op: nn.Module, coords: Tensor, scores: Tensor, size: Any, look: Look) -> list[Picture]:
    heat = op.heatmaps(coords, scores, size)[0].amax(0)
    return [over_frames("joints", heat, list(range(len(heat))), None, look.frame, "heat of the joints")]


def cca(op: nn.Module, support: Tensor, query: Tensor, look: Look) -> list[Picture]:
    """Of the first support and the first query image, which are frames 0 and 1; the point is in the second."""
    cosines = op.cross_correlation(support[:1], query[:1])
    refined = op.refine(cosines)
    on_support, on_query = op.attention(refined)
    grid = Grid(look, query)
    at = (0, 0, slice(None), slice(None), *grid.cell())
    even = [attention[0, 0] / attention[0, 0].mean() for attention in (on_support, on_query)]
    told = {"attention": [numbers(each) for each in even], "point": grid.point()}
    told |= {"cosine": numbers(cosines[at]), "refined": numbers(refined[at])}
    return [Picture("co-attention", "pair", told)]


# --- over time, and patterns ------------------------------------------------------------------------------------------


def integral_action(op: nn.Module, rgb: Tensor, pose: Tensor, look: Look) -> list[Picture]:
    if op.source == "none":
        raise ValueError("integral_action with gate=none has no gate", "see a run whose gate is pose")
    gate = op.gate(*op.vectors(rgb, pose))[0]
    return [Picture("gate", "gate", {"gate": numbers(gate)})]


def lisa(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    grid = tuple(int(size) for size in x.shape[2:])
    tables = [table.expand(op.heads, *table.shape[1:]) for table in op.tables(grid)]
    q, k, _ = op.split(op.qkv(x.movedim(1, -1)).movedim(-1, 1))
    head = look.head or 0
    chosen(tables[0], Look(0, look.point, look.size, head))  # whether there is such a head
    found = op.structure(q[head : head + 1], k[head : head + 1], tables[0][head : head + 1])[0, 0, :, look.frame]
    return [patterns(Grid(look, x), [table[head] for table in tables], ("P", "R"), head, op.heads, found)]


def structsa(op: nn.Module, x: Tensor, look: Look) -> list[Picture]:
    head = look.head or 0
    chosen(op.U_K, Look(0, look.point, look.size, head))
    return [patterns(Grid(look, x), [op.U_K[head], op.U_V[head]], ("U_K", "U_V"), head, op.heads, None)]


def patterns(
    grid: Grid, tables: list[Tensor], names: tuple[str, str], head: int, heads: int, found: Tensor | None
) -> Picture:
    """Tables (D, L, U, V) of a head within a frame, at most 8 of them and REACH positions to each side."""
    shown = []
    for table in tables:
        middle = table[:8, table.shape[1] // 2]
        for dim in (1, 2):
            reach = min(REACH, middle.shape[dim] // 2)
            middle = middle.narrow(dim, middle.shape[dim] // 2 - reach, 2 * reach + 1)
        shown.append(numbers(middle))
    told = {"frame": grid.look.frame, "tables": shown, "names": names, "pitch": grid.pitch}
    told |= {"head": f"head {head + 1} of {heads}", "found": None if found is None else numbers(found[:8])}
    return Picture("patterns", "patterns", told)


PICTURES: dict[str, Callable[..., list[Picture]]] = {
    function.__name__: function
    for function in (
        *(rsa, lisa, selfy, motion_squeeze, sifa, deformable_conv, cca, scr, integral_action, pose_to_feature),
        *(correlation, local_attention, involution, self_attention, non_local, structsa),
    )
}
