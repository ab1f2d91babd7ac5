"""What a run would be: its data where they are there, its network, and whether a step of it runs on the meta device."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import tell

if TYPE_CHECKING:
    from vidops_cli.data.clips import Clips
    from vidops_cli.recipe import Recipe

Shape = tuple[int, ...]


def show_run(
    told: Recipe, run: Path, device: str, notes: list[str], format: str, processes: int = 1, job: Sequence[str] = ()
) -> None:
    """Tell what `vidops train` would do; no data are needed, and nothing is computed. ValueError if it cannot run.

    `job`: lines on what is asked of Slurm; the device is then that of its machines.
    """
    import torch

    from vidops_cli.engine.dry import META, dry_step
    from vidops_cli.engine.setup import Setup, pick_device
    from vidops_cli.engine.train import start
    from vidops_cli.profiling.cost import count_shapes
    from vidops_cli.report.table import number, size

    splits, train = _splits(told), told.train
    classes, clip, view = _shapes(told, splits)
    where = f"{device} of the job" if job else pick_device(device)
    mine = told.model_copy(update={"train": train.model_copy(update={"batch": train.batch // processes})})
    step, setup = dry_step(mine, classes, clip, view), Setup(told, META)
    with META:
        model = setup.build(classes)
        macs = count_shapes(model, *setup.example(model, view)).macs
    here = told.model.files() and not job  # a job's machines may have files that this one has not
    taken_of = start(Setup(told, torch.device("cpu")).build(classes), told) if here else []
    clips = len(splits["train"]) if splits else _dataset(told).size("train", told.data.splits)
    steps = None if clips is None else -(-clips // train.batch) * train.epochs
    count = "" if steps is None else f"{steps} "
    official = "" if splits or clips is None else f"; steps by the {clips} clips of the official release"
    episode = told.episodes and told.episodes.ways * (told.episodes.shots + told.episodes.queries)
    parts = f" in {train.accumulate} parts" if train.accumulate > 1 else ""
    taken = f"{train.batch} clips{parts}" + (f" beside an episode of {episode}" if episode else "")
    shared = f", {train.batch // processes} on each of {processes} processes" if processes > 1 else ""
    a_process = "a process: " if processes > 1 else ""
    epochs = f"{train.epochs} epoch{'s' if train.epochs > 1 else ''}"
    tested = [f"test     {views_of(told, macs)}"] if told.eval.clips * told.eval.crops > 1 else []
    whole = "part of a step" if parts else "step"
    precision = "" if train.precision == "float32" else f" in float32, less of it by {train.precision}"
    lines = [
        f"run      {run} on {where}",
        f"recipe   {told.hash()}  {told.title}",
        *(f"         {note}" for note in notes),
        f"data     {_data(told, splits)}",
        f"clip     {' x '.join(map(str, clip))}, of {classes} classes",
        f"network  {told.model.name}: {number(step.params)} parameters, {number(macs)} MACs a clip",
        *(f"weights  {line}" for line in map(_weights, taken_of)),
        *([] if told.model.files() else ["weights  random"]),
        *tested,
        f"train    {epochs}, {count}steps of {taken}{shared}, {train.optimizer.name}{official}",
        f"memory   {a_process}{size(step.state)} of weights, gradients and optimizer; {size(step.kept)} that a {whole} "
        f"keeps for its backward pass{precision}. Not counted: what operations take while they run",
        "checked  a training step and a tested batch run on the meta device",
        *job,
    ]
    plan = {
        "run": str(run),
        "device": device if job else str(where),
        "recipe": told.hash(),
        "title": told.title,
        "data": {
            "name": told.data.name,
            "root": told.data.root,
            "clips": splits and {name: each.present for name, each in splits.items()},
        },
        "clip": list(clip),
        "classes": classes,
        "weights": taken_of,
        "params": step.params,
        "macs": int(macs),
        "epochs": train.epochs,
        "steps": steps,
        "processes": processes,
        "state_bytes": step.state,
        "kept_bytes": step.kept,
        **({"job": list(job)} if job else {}),
    }
    tell(format, plan, lines)


def untrained(recipes: Mapping[str, Recipe]) -> tuple[list[str], list[str]]:
    """A step of each row's recipe on the meta device: lines on the rows that fail, and on those that were not tried.

    Of rows that are alike in all that a step depends on, one is tried.
    """
    from vidops_cli.engine.dry import dry_step
    from vidops_cli.profiling.memory import is_out_of_memory

    failed, passed_over = dict[str, str | None](), []
    found: list[str] = []
    for row, told in recipes.items():
        try:
            shapes = _shapes(told, _splits(told))
        except ValueError as error:
            passed_over.append(f"not stepped: {row}: {error.args[0]}")
            continue
        identity = told.identity()
        train = {key: value for key, value in identity["train"].items() if key not in ("seed", "epochs", "schedule")}
        train["optimizer"] = told.train.optimizer.model_dump(exclude={"lr", "weight_decay"})
        alike = json.dumps([identity["model"], train, told.eval.batch, identity.get("episodes"), shapes])
        if alike not in failed:
            try:
                dry_step(told, *shapes)
                failed[alike] = None
            except (ValueError, RuntimeError, TypeError, MemoryError) as error:
                if isinstance(error, TypeError) and not is_out_of_memory(error):
                    raise
                failed[alike] = (str(error).splitlines() or ["out of memory"])[0]
        if failed[alike] is not None:
            found.append(f"{row}: {failed[alike]}")
    return found, passed_over


def views_of(told: Any, macs: int | None = None) -> str:
    """As "30 views (10 clips x 3 crops of 256), softmax averaged", with what one costs and all do, if that is known."""
    from vidops_cli.report.table import number

    tested, side = told.eval, told.eval.crop or told.data.crop
    views = tested.clips * tested.crops
    shape = f"{tested.clips} clips x {tested.crops} crops" + (f" of {side}" if side else "")
    text = f"{views} views ({shape}), {tested.average} averaged"
    return text if macs is None else f"{text}: {number(macs)} MACs a view, {number(views * macs)} in all"


def _weights(found: dict[str, Any]) -> str:
    """As "resnet50.pth: 311 taken, 44 fresh, 7 left out"."""
    kinds = ("taken", "inflated", "copied", "fresh", "left_out")
    counts = [f"{found[kind]} {kind.replace('_', ' ')}" for kind in kinds if found[kind]]
    return f"{found['part'] + ' from ' if 'part' in found else ''}{found['path']}: {', '.join(counts)}"


def _dataset(told: Recipe) -> Any:
    from vidops_cli.data import DATASETS

    return DATASETS[told.data.name]


def _splits(told: Recipe) -> dict[str, Clips] | None:
    """The splits that a run reads; None where the folder of the data is not there or empty. ValueError if it is bad."""
    from vidops_cli.engine.setup import open_clips

    root = Path(told.data.root)
    if not root.is_dir() or not any(root.iterdir()):
        return None
    wanted = dict.fromkeys(("train", "val", told.eval.split))
    return {split: open_clips(told, split, train=split == "train") for split in wanted}


def _shapes(told: Recipe, splits: dict[str, Clips] | None) -> tuple[int, Shape, Shape]:
    """Classes, and the shapes (3, T, H, W) of a clip in training and in testing. ValueError if the data alone tell."""
    data, tested, dataset = told.data, told.eval, _dataset(told)
    if splits:
        return len(splits["train"].annotations.classes), splits["train"].shape(), splits[tested.split].shape()
    classes, sides = data.classes or dataset.classes, data.resize if isinstance(data.resize, list) else None
    if dataset.generated:
        from vidops_cli.data.mini import benchmark

        dials = benchmark.make_dials(data.name, data.generated.dials if data.generated else {})
        classes, sides = len(dataset.load().classes(dials, "train")), sides or (data.resize or dials.size,) * 2
    sides = (data.crop, data.crop) if data.crop else sides
    if classes is None or sides is None:
        absent = f"the size of clips and the number of classes are those of {data.name}, which is not at {data.root}"
        raise ValueError(absent, f"set data.crop and data.classes; how to lay it out: {dataset.page}")
    shape = (3, data.num_frames, *sides)
    return classes, shape, (*shape[:2], tested.crop, tested.crop) if tested.crop else shape


def _data(told: Recipe, splits: dict[str, Clips] | None) -> str:
    data, dataset = told.data, _dataset(told)
    if splits:
        return f"{data.name} at {data.root}: " + ", ".join(f"{name} {clips.present}" for name, clips in splits.items())
    if not dataset.generated:
        return f"{data.name}: not at {data.root}; how to lay it out: {dataset.page}"
    from vidops_cli.data.mini import benchmark

    made = "made by the run" if data.generated else benchmark.command(data.name, Path(data.root))
    return f"{data.name}: not at {data.root}; {made}"
