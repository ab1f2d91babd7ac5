"""vidops visualize"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import Form, Overrides, check_format, console, find_op, load_run, options_of, tell

if TYPE_CHECKING:
    import numpy as np

ALONE, TRAINED = "An operator alone", "A run"


def command(
    context: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(help="The folder of a run: its trained operators.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    op: Annotated[str | None, typer.Option(help="Operator: alone with fresh weights, or that of the run.")] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(help="Video, image or folder of frames. Twice for operators of two images.", show_default=False),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=0, help="Frame to look at, of the clip. Default: the middle.", show_default=False)
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="Point X,Y to look at, in pixels. Default: the centre.", show_default=False)
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=1, help="A head, where there are several.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that takes the PNGs.")] = Path("runs/pictures"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the operator, as window=11.", rich_help_panel=ALONE)
    ] = None,
    frames: Annotated[int, typer.Option(min=1, max=64, help="Frames of the clip.", rich_help_panel=ALONE)] = 8,
    every: Annotated[int, typer.Option(min=1, help="Take every n-th frame.", rich_help_panel=ALONE)] = 1,
    size: Annotated[int, typer.Option(min=8, help="Shorter side at most, in pixels.", rich_help_panel=ALONE)] = 224,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels from a position to the next. Default: as gives at most 64 positions a side.",
            rich_help_panel=ALONE,
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        list[int] | None,
        typer.Option(help="Clip N of the run's test split, from 0, in place of --video.", rich_help_panel=TRAINED),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Place in the network, as res3. Default: the first.", rich_help_panel=TRAINED)
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights. Default: those that the run tested.", rich_help_panel=TRAINED)
    ] = None,
    format: Form = "table",
) -> None:
    """Draw what an operator sees on the frames of a video: displacement, kernels, similarity, attention.

    Alone, it has fresh weights and sees grey patches of the frames; in a run, what its network gives it.

    Example: vidops visualize --op motion_squeeze --video clip.mp4
    """
    check_format(format)
    from vidops_cli.visualize import POSES, SEEN

    if run is None and op is None:
        raise ValueError("visualize takes --op or the folder of a run", "as in --op motion_squeeze --video clip.mp4")
    card = None if op is None else find_op(op)
    if card and card.name not in SEEN:
        raise ValueError(f"{card.name} has nothing to see", f"operators that have: {', '.join(SEEN)}")
    if bool(video) == bool(clip):
        raise ValueError("visualize takes --video, or --clip of a run", "as in --video clip.mp4")
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is no folder", "--out names a folder for the pictures")
    for path in video or []:
        if not path.exists():
            raise ValueError(f"no such video: {path}", "name a video, an image or a folder of frames")
    if run is None and card and card.name in POSES:
        hint = f"see it in a run: vidops visualize RUN --op {card.name} --clip 0"
        raise ValueError(f"{card.name} takes joints, which a video does not hold", hint)
    _refuse_others(context, alone=run is None)
    point = None if query is None else _point(query)

    if run is None:
        assert card is not None
        given = _alone(card, set_, video or [], frames, every, size, stride)
    else:
        given = _trained(run, overrides, op, video or [], clip or [], at, checkpoint)
    pictures = _draw(*given, frame, point, head, out)
    told = [{"written": str(path), "of": about} for path, about in pictures]
    tell(format, told, [f"written: {path}, {about}" for path, about in pictures])


def _refuse_others(context: typer.Context, *, alone: bool) -> None:
    """ValueError for options that mean nothing here, instead of passing them over."""
    panel, beside = (TRAINED, "--op alone") if alone else (ALONE, "a run")
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name != "DEFAULT" and getattr(parameter, "rich_help_panel", None) == panel:
            raise ValueError(f"{parameter.opts[0]} means nothing beside {beside}", "leave it out")


Found = tuple[str, str, str, Any, tuple[Any, ...], "np.ndarray"]  # operator, its title, name of files, module, inputs


def _alone(
    card: Any, given: list[str] | None, videos: list[Path], count: int, every: int, size: int, stride: int | None
) -> Found:
    """The operator with fresh weights, and patches of the frames."""
    import numpy as np
    import torch

    from vidops_cli.data.frames import read_frames, resized
    from vidops_cli.visualize.features import SIDE, patches

    two = len(card.inputs) == 2
    if len(videos) > 1 + two:
        raise ValueError(f"{card.name} looks at {'two videos' if two else 'one video'}", "leave --video out")
    options = options_of(card, given or [])
    torch.manual_seed(0)
    try:
        op = card.load()(SIDE**2, **options).eval()
    except ValueError as error:
        hint = error.args[1] if len(error.args) > 1 else f"see `vidops show {card.name}`"
        raise ValueError(f"{card.name}: {error.args[0]}", hint) from None
    clips = [read_frames(path, count, every=every, size=size) for path in videos]
    if two:  # the first image of each, or the ends of one video
        first, last = clips[0][:1], clips[1][:1] if len(clips) > 1 else clips[0][-1:]
        last = last if last.shape == first.shape else resized(last, list(first.shape[1:3]))
        clips = [np.concatenate([first, last])]
    side = min(clips[0].shape[1:3])
    stride = stride or -(-side // (28 if two else 64))
    if stride > side:
        raise ValueError(f"--stride {stride} does not fit frames of {side} pixels", "take less")
    height, width = (size - size % stride for size in clips[0].shape[1:3])
    shown = clips[0][:, :height, :width]
    x = patches(shown, stride)
    inputs = (x[:, :, :1], x[:, :, 1:]) if two else (x,)
    return card.name, f"{card.cls}, untrained, seed 0, on grey patches, stride {stride}", card.name, op, inputs, shown


def _trained(
    run: Path,
    overrides: list[str] | None,
    op: str | None,
    videos: list[Path],
    clips: list[int],
    at: str | None,
    checkpoint: Path | None,
) -> Found:
    """The operator of a run, and what its network gives it."""
    if not (run / "recipe.yaml").is_file():
        raise ValueError(f"{run} is not the folder of a run", "name a folder that `vidops train` wrote")
    from vidops_cli.engine.overhear import overhear
    from vidops_cli.ops import OPS
    from vidops_cli.visualize import SEEN

    told = load_run(run / "recipe.yaml", overrides, None)
    weights = checkpoint or run / ("best.pt" if told.train.checkpoint == "best" else "last.pt")
    found = overhear(told, weights, videos=videos, clips=clips, names=SEEN, op=op, at=at)
    name, place = found.standing.name, found.standing.place
    if found.others:
        rest = ", ".join(f"{each.name} at {each.place}" for each in found.others)
        console(stderr=True).print(f"{name} at {place}; also there, by --op and --at: {rest}", soft_wrap=True)
    title = f"{OPS[name].cls} at {place}, run {run.name}"
    return name, title, f"{place}-{name}", found.standing.module, found.inputs, found.frames


def _draw(
    name: str,
    title: str,
    file: str,
    op: Any,
    inputs: tuple[Any, ...],
    shown: Any,
    frame: int | None,
    point: tuple[float, float] | None,
    head: int | None,
    out: Path,
) -> list[tuple[Path, str]]:
    """Files that were written, and what each shows."""
    import numpy as np

    from vidops_cli.ops import OPS
    from vidops_cli.report.pictures import draw
    from vidops_cli.visualize.pictures import Look, see

    height, width = shown.shape[1:3]
    if frame is not None and frame >= len(shown):
        raise ValueError(f"the clip has frames 0 to {len(shown) - 1}, not {frame}", "a smaller --frame")
    frame = (len(shown) - 1) // 2 if frame is None else frame
    point = point or ((width - 1) / 2, (height - 1) / 2)
    if not (point[0] <= width - 1 and point[1] <= height - 1):
        x, y = (f"{value:g}" for value in point)
        hint = f"--query {width // 2},{height // 2}"
        raise ValueError(f"{x},{y} is outside of frames of {width} x {height} pixels", hint)
    letters = OPS[name].inputs[0].shape.split()
    if letters[0] == "B" and "T" in letters:  # no image pairs; a network may look at several frames in one step
        steps = inputs[0].shape[letters.index("T")]
        frame, shown = frame * steps // len(shown), shown[np.arange(steps) * len(shown) // steps]
    look = Look(frame, point, (height, width), None if head is None else head - 1)
    written, of_head = [], "" if head is None else f"-head-{head}"
    for picture in see(name, op, inputs, look):
        path = out / f"{file}-{picture.name.replace(' ', '-')}{of_head}.png"
        draw(picture.kind, shown, picture.told, path, title=f"{title}: {picture.name}")
        written.append((path, _about(picture.told)))
    return written


def _about(told: dict[str, Any]) -> str:
    """Which frames a picture is of, and which point."""
    if "panels" in told:
        return "; ".join(f"frame {panel['frame']} to frame {panel['to']}" for panel in told["panels"])
    words = [f"frame {told['frame']}"] if "frame" in told else ["all frames"]
    if told.get("point"):
        words.append("point {:.0f},{:.0f}".format(*told["point"]))
    return ", ".join(words)


def _point(text: str) -> tuple[float, float]:
    if not re.fullmatch(r"\d+(\.\d+)?,\d+(\.\d+)?", text):
        raise ValueError(f"--query takes X,Y in pixels, got {text!r}", "as in --query 12,8")
    x, y = map(float, text.split(","))
    return x, y
