"""A texture that moves by a known translation, seen through the operators' own methods, and drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vidops_cli.functional import aggregate, relative_conv
from vidops_cli.ops import OPS
from vidops_cli.report.pictures import KINDS, draw
from vidops_cli.visualize import POSES, SEEN
from vidops_cli.visualize.features import patches
from vidops_cli.visualize.pictures import PICTURES, Look, see

SIZE = 40
POINT = (21.0, 18.0)
INSIDE = slice(12, -12)  # positions whose windows do not leave the frame
SHIFTS = [(0, 0), (2, -3), (-3, 1), (1.5, 2.25), (-2.6, -0.7), (0.25, -0.5)]
WHOLE = SHIFTS[:3]


def texture(shift: tuple[float, float], frames: int = 3, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Frames (T, H, W, 3) of a random texture on a torus, moved by `shift` (x, y) a frame: an exact Fourier shift."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=(size, size)))
    spectrum *= np.exp(-((np.hypot(fx, fy) / 0.2) ** 2))
    dx, dy = shift
    waves = [spectrum * np.exp(-2j * np.pi * t * (fx * dx + fy * dy)) for t in range(frames)]
    grey = np.fft.irfft2(np.stack(waves), s=(size, size))
    grey = np.clip(128 + 45 * grey / grey.std(), 0, 255).round().astype(np.uint8)
    return grey[..., None].repeat(3, -1)


def seen(name: str, op: torch.nn.Module, frames: np.ndarray, *, frame: int = 1, stride: int = 1, **look):
    """Its pictures by name, of patches of the frames."""
    x = patches(frames, stride)
    told = see(name, op.eval(), (x,), Look(frame, POINT, frames.shape[1:3], **look))
    return {picture.name: picture.told for picture in told}


def fresh(name: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    return OPS[name].load()(64, **options).eval()


def peak(values: np.ndarray, pitch: tuple[float, float]) -> tuple[float, float]:
    """Offset (x, y) in pixels of the largest value of a window (U, V)."""
    row, column = np.unravel_index(values.argmax(), values.shape)
    return (column - values.shape[1] // 2) * pitch[0], (row - values.shape[0] // 2) * pitch[1]


# --- a known translation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", SHIFTS)
def test_displacement_of_motion_squeeze(shift):
    """At every position, fractions of a pixel too: a softer soft-argmax than the paper's reads between positions."""
    op = fresh("motion_squeeze", max_displacement=5, backward=True, reduced=256, temperature=0.05)
    panels = seen("motion_squeeze", op, texture(shift))["displacement"]["panels"]
    assert [(panel["frame"], panel["to"]) for panel in panels] == [(1, 2), (2, 1)]
    for panel, way in zip(panels, (1, -1), strict=True):
        assert panel["u"].shape == (SIZE, SIZE)
        assert np.abs(panel["u"] - way * shift[0])[INSIDE, INSIDE].max() < 0.5
        assert np.abs(panel["v"] - way * shift[1])[INSIDE, INSIDE].max() < 0.5


@pytest.mark.parametrize("stride", [1, 3])
def test_displacement_is_in_pixels_whatever_the_stride(stride):
    """By default options, of whole positions: also where a position is several pixels wide."""
    shift = 2 * stride, -stride
    frames = texture(shift, size=SIZE * stride)
    (panel,) = seen("motion_squeeze", fresh("motion_squeeze"), frames, stride=stride)["displacement"]["panels"]
    assert np.abs(panel["u"] - shift[0])[INSIDE, INSIDE].max() < 0.5
    assert np.abs(panel["v"] - shift[1])[INSIDE, INSIDE].max() < 0.5
    assert panel["x"][:2] == [(stride - 1) / 2, (stride - 1) / 2 + stride]  # middles of positions
    assert panel["sure"][INSIDE, INSIDE].min() > 0.9


@pytest.mark.parametrize("shift", [(0, 0), (2, -4), (-4, 2)])
def test_best_match_of_selfy(shift):
    """At every position of its map of half the size, and every offset in time."""
    found = seen("selfy", fresh("selfy", offsets=(-1, 0, 1)), texture(shift))
    for panel in found["best match"]["panels"]:
        way = panel["to"] - panel["frame"]
        assert np.abs(panel["u"] - way * shift[0])[6:-6, 6:-6].max() < 0.5
        assert np.abs(panel["v"] - way * shift[1])[6:-6, 6:-6].max() < 0.5
    around = found["similarity"]
    assert around["offsets"] == [-1, 0, 1] and around["pitch"] == [2.0, 2.0]
    for offset, values in zip(around["offsets"], around["maps"][0], strict=True):
        assert peak(values, around["pitch"]) == (offset * shift[0], offset * shift[1])


@pytest.mark.parametrize("shift", SHIFTS)
def test_weights_of_sifa(shift):
    """Without training it moves no tap; of taps that stand still the one nearest to the motion weighs most."""
    (told,) = seen("sifa", fresh("sifa", kernel=9), texture(shift)).values()
    best = told["weight"].argmax()
    assert np.abs(told["read"][0] - told["regular"][0]).max() == 0
    assert abs(told["read"][0][best] - told["point"][0] - shift[0]) <= 0.5
    assert abs(told["read"][1][best] - told["point"][1] - shift[1]) <= 0.5


def test_offsets_of_sifa_are_drawn_where_it_reads():
    """Taps that are moved by the motion: the one in the middle reads what the point is."""
    shift, op = (2.5, -1.25), fresh("sifa")
    moved = torch.tensor([shift[1], shift[0]]).repeat(9).view(1, 18, 1, 1, 1)
    op.offset = lambda x: moved.expand(1, 18, x.shape[2] - 1, *x.shape[3:])
    (told,) = seen("sifa", op, texture(shift)).values()
    assert told["weight"].argmax() == 4 and told["weight"][4] > 0.85
    assert (told["read"][0][4] - told["point"][0], told["read"][1][4] - told["point"][1]) == shift


@pytest.mark.parametrize("shift", WHOLE)
def test_matches_of_correlation(shift):
    """In the frame before, so the other way round; its features have no length of one: three positions of four."""
    op = fresh("correlation", reduction=1, dilation=1)
    found = seen("correlation", op, texture(shift))
    (panel,) = found["best match"]["panels"]
    assert (panel["frame"], panel["to"]) == (1, 0)
    right = (panel["u"] == -shift[0]) & (panel["v"] == -shift[1])
    assert right[INSIDE, INSIDE].mean() > 0.7
    column, row = map(int, POINT)
    matches = found["matches"]
    assert peak(matches["maps"][0, 0], matches["pitch"]) == (panel["u"][row, column], panel["v"][row, column])
    assert matches["offsets"] == [-1] and matches["frame"] == 1


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-1, 2)])
def test_kernel_of_rsa(shift):
    """Where its weights make the relational kernel the plain correlation of a point with its window."""
    window, taps = (3, 5, 5), 75
    op = fresh("rsa", heads=1, key_channels=64, latent=taps, window=window, kernel="relational")
    with torch.no_grad():
        op.projection.weight.copy_(torch.eye(64).repeat(3, 1)[:, :, None, None, None])
        deltas = torch.eye(taps).unflatten(1, window)[:, None]
        op.H1.weight.copy_(deltas.repeat(64, 1, 1, 1, 1))
        op.H2.weight.copy_(deltas)
    (told,) = seen("rsa", op, texture(shift)).values()
    for offset, values in zip(told["offsets"], told["maps"][0], strict=True):
        assert peak(values, told["pitch"]) == (offset * shift[0], offset * shift[1])
        assert values.max() == pytest.approx(1, abs=0.02)


def looking_alike(name: str, **options) -> torch.nn.Module:
    """Attention whose queries and keys are the features themselves."""
    op = fresh(name, **options)
    parts = {"self_attention": "qkv", "non_local": "theta phi", "local_attention": "query key"}[name].split()
    with torch.no_grad():
        for part in (getattr(op, part) for part in parts):
            part.weight.copy_(torch.eye(64).repeat(len(part.weight) // 64, 1).view_as(part.weight))
            if part.bias is not None:
                part.bias.zero_()
        for position in ("rel_h", "rel_w", "rel_t"):
            if hasattr(op, position):
                getattr(op, position).zero_()
    return op


@pytest.mark.parametrize("shift", WHOLE)
@pytest.mark.parametrize(
    "name, options",
    [
        ("self_attention", {"heads": 1}),
        ("non_local", {"reduced": 64}),
        ("local_attention", {"heads": 1, "frames": 3, "window": 9}),
    ],
)
def test_attention_finds_the_point(name, options, shift):
    """In each frame of the clip, where the features are compared as they are."""
    (told,) = seen(name, looking_alike(name, **options), texture(shift)).values()
    if name == "local_attention":
        for offset, values in zip(told["offsets"], told["maps"][0], strict=True):
            assert peak(values, told["pitch"]) == (offset * shift[0], offset * shift[1])
        return
    for t, values in zip(told["at"], told["maps"], strict=True):
        row, column = np.unravel_index(values.argmax(), values.shape)
        assert (column, row) == tuple(at + (t - 1) * d for at, d in zip(POINT, shift, strict=True))


@pytest.mark.parametrize("shift", WHOLE)
def test_co_attention_finds_the_point(shift):
    frames, op = texture(shift, frames=2), fresh("cca", reduced=256)
    x = patches(frames, 2)
    (picture,) = see("cca", op, (x[:, :, :1], x[:, :, 1:]), Look(0, (20.5, 18.5), (SIZE, SIZE)))
    row, column = np.unravel_index(picture.told["cosine"].argmax(), picture.told["cosine"].shape)
    assert np.abs(np.array([2 * column + 0.5, 2 * row + 0.5]) - np.array([20.5, 18.5]) + shift).max() <= 1
    assert [values.shape for values in picture.told["attention"]] == [(20, 20)] * 2


# --- the methods are those of forward ---------------------------------------------------------------------------------


def test_weights_of_attention_give_its_output():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 2, 3, 4)
    for rpe in ("none", "bias", "multiplicative"):
        op = OPS["self_attention"].load()(16, heads=2, rpe=rpe, grid=(2, 3, 4))
        q, k, v = op.projected(x)
        R = None if rpe == "none" else op.relative((2, 3, 4))
        y = (op.attention(q, k, R) @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(op.proj(y).transpose(1, 2).unflatten(2, x.shape[2:]), op(x))
    for subsample in (False, True):
        op = OPS["non_local"].load()(16, subsample=subsample)
        q, k, v = (part.flatten(2) for part in op.projected(x))
        torch.testing.assert_close((op.attention(q, k) @ v.mT).mT.unflatten(2, x.shape[2:]), op.attend(x))


def test_kernel_over_the_window_gives_the_output_of_rsa():
    torch.manual_seed(0)
    op, x = OPS["rsa"].load()(16, heads=2, window=(3, 3, 3), context="basic"), torch.randn(2, 16, 3, 5, 4)
    kernels = op.over_window(op.kernel(x).movedim(2, -1)).flatten(-3)  # B heads T H W N
    v = op.projected(x)[2]
    heads = [aggregate(kernels[:, h : h + 1].movedim(-1, 2), v, (3, 3, 3)) for h in range(2)]
    torch.testing.assert_close(torch.stack(heads, dim=2).flatten(1, 2), op(x), atol=1e-5, rtol=1e-4)


def test_structure_gives_the_output_of_lisa():
    torch.manual_seed(0)
    op, x = OPS["lisa"].load()(16, heads=2, patterns=3, phi="softmax"), torch.randn(2, 16, 2, 4, 5)
    P, R = op.tables((2, 4, 5))
    q, k, v = op.split(op.qkv(x.movedim(1, -1)).movedim(-1, 1))
    code = op.code(op.structure(q, k, P))
    y = sum(code[:, :, d, None] * relative_conv(v, R[:, None, None, d]) for d in range(3))
    y = op.proj(y.transpose(0, 1).flatten(1, 2).movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(y, op(x), atol=1e-5, rtol=1e-4)


def test_taps_of_sifa_and_best_matches_of_selfy_give_their_output():
    torch.manual_seed(0)
    x = torch.randn(2, 16, 3, 6, 6)
    op = OPS["sifa"].load()(16)
    torch.nn.init.normal_(op.conv_offset.weight, std=0.1)
    samples = op.samples(x)
    added = op.aggregation(op.correlation(x[:, :, :-1], samples), samples)
    torch.testing.assert_close(op(x)[:, :, :-1] - x[:, :, :-1], added, atol=1e-4, rtol=1e-4)
    op = OPS["selfy"].load()(16, extraction="soft_argmax", window=5)
    stss = op.similarity(x)
    flow, sure = op.best_match(stss)
    torch.testing.assert_close(op.extract(stss), torch.cat([flow / 2, sure], dim=2))


# --- every operator, every kind ---------------------------------------------------------------------------------------


def test_every_operator_that_has_something_to_see(tmp_path):
    """Each gives pictures, of which the first of each kind is drawn: it opens, and is neither blank nor one colour.

    The kinds that `tests/cli/test_visualize.py` draws are left to it.
    """
    assert list(SEEN) == list(PICTURES) and set(POSES) < set(SEEN) < set(OPS)
    frames, drawn = texture((1, 0), frames=4, size=24), {"motion", "taps", "pair"}
    generator = torch.Generator().manual_seed(0)
    for name in SEEN:
        card, op = OPS[name], fresh(name, **({"patterns": 2} if name in ("lisa", "structsa") else {}))
        inputs = tuple(card.example(1, 64, (4, 24, 24), generator)) if name in POSES else (patches(frames, 2),)
        if name == "pose_to_feature":
            inputs = (*inputs, (24, 24))
        if name == "cca":
            inputs = inputs[0][:, :, :1], inputs[0][:, :, 1:2]
        found = see(name, op, inputs, Look(1, (11.5, 11.5), (24, 24), head=0))
        assert found and len({picture.name for picture in found}) == len(found)
        for picture in found:
            if picture.kind in drawn:
                continue
            drawn.add(picture.kind)
            path = tmp_path / f"{name}.png"
            draw(picture.kind, frames, picture.told, path, title="a $title")
            with Image.open(path) as image:
                colours = image.convert("RGB").getcolors(1 << 24)
            assert len(colours) > 50 and max(count for count, _ in colours) < 0.9 * image.width * image.height
            assert image.width <= 1100 and image.height <= 1300
    assert drawn == set(KINDS)


def test_what_cannot_be_seen_is_refused():
    one = texture((0, 0), frames=1)
    for name, options, look, told in (
        ("motion_squeeze", {}, {}, "at least 2"),
        ("correlation", {}, {}, "with the one before"),
        ("rsa", {}, {"head": 8}, "no head 9"),
        ("lisa", {}, {"head": 8}, "no head 9"),
        ("local_attention", {"attention": False}, {}, "no weights"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            seen(name, fresh(name, **options), one, frame=0, **look)
        assert len(error.value.args) == 2
    with pytest.raises(ValueError, match="stride"):
        patches(one, SIZE + 1)


def test_patches_compare_as_template_matching_does():
    """Products are correlation coefficients, whatever the brightness and contrast; flat ones resemble nothing."""
    frames = texture((0, 0), frames=2, size=24)
    frames[1] = (60 + 0.4 * frames[0]).astype(np.uint8)
    x = patches(frames, 2)
    assert x.shape == (1, 64, 2, 12, 12)
    assert (x[:, :, 0] * x[:, :, 1]).mean(1).min() > 0.98
    assert patches(np.full((1, 16, 16, 3), 90, np.uint8), 1).abs().max() == 0
    bright = np.zeros((1, 24, 26, 3), np.uint8)
    bright[0, 12:16, 8:12] = 255  # the pixels of one position of stride 4
    assert patches(bright, 4).shape == (1, 64, 1, 6, 6)
    patch = patches(bright, 4)[0, :, 0, 3, 2].unflatten(0, (8, 8))
    assert (patch > 0).nonzero().tolist() == [[4, 4]]
