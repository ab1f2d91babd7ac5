"""A training run, in order of events: data, network, its epochs (`loop.py`), the test."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from vidops_cli.data.clips import Clips
from vidops_cli.recipe import Recipe, dump
from vidops_cli.record import digest, truncate_lines, write_text

from . import checkpoint
from .claim import Claim, check_there
from .distributed import ALONE, Group
from .evaluate import evaluate
from .few_shot import FewShot
from .loop import Loop, Report, counted
from .setup import Setup, open_clips
from .stopping import Left, Stop
from .sync_norm import synchronised
from .tasks import Classification

SPLITS = ("train", "val")


def train(
    recipe: Recipe,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = True,
    code: str = "",
    report: Report = lambda status: None,
    stop: Stop | None = None,
    group: Group = ALONE,
) -> dict[str, Any] | None:
    """Train in the folder `run`, then test. Returns the summary, or None if `stop` asked to leave (state is saved).

    Resuming continues at the saved step with the same data order and random numbers: on a CPU the result equals that of
    an uninterrupted run bit for bit. `code` is the hash of what trains; where a run was continued by other code the
    summary tells both. Each process of a `group` calls this; the first one reports and writes. ValueError on a loss
    that is not finite, data that cannot be used, a folder that another process trains in, or a recipe that as many
    processes cannot train.
    """
    with Claim(run) as claim:
        try:
            return _train(recipe, claim, device, resume, code, report, stop or Stop(), group)
        except Left:
            return None


def _train(
    recipe: Recipe, claim: Claim, device: str, resume: bool, code: str, report: Report, stop: Stop, group: Group
) -> dict[str, Any] | None:
    """Left where `stop` asks to, in the middle of what is done anew."""
    run = claim.folder
    check_processes(recipe, group.size)
    setup = Setup.of(recipe, group.device(device))
    splits = _opened(recipe, group.size)
    tested, classes = splits[_tested(recipe)], len(splits["train"].annotations.classes)
    model = setup.build(classes).to(setup.device)
    if group.size > 1 and recipe.train.batch_norm == "sync":
        synchronised(model, setup.device)
    task = setup.task(classes)
    with stop.at_once():
        for split, clips in splits.items():
            _check_tested(split, clips, task, recipe.data.workers)
        setup.prepare(model)
    if group.first:
        claim.take()
    resumed = group.gather(resume and (run / "last.pt").exists())[0]
    started = [] if resumed else start(model, recipe, report)
    for part in recipe.train.frozen:
        checkpoint.part_of(model, part).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("train.frozen leaves nothing to train", "leave out a part")
    loop = Loop(recipe, run, setup, splits, model, task, report, code, group)
    loop.started = started
    began = time.perf_counter()
    if resumed:
        with checkpoint.as_written(run / "last.pt"):
            loop.restore()
    report({"phase": "started", "told": f"run {run}: {_told(loop, recipe)}"})
    if recipe.data.cache != "none":
        keep = recipe.data.cache == "disk"
        for split, clips in splits.items():
            if not clips.decoded:
                with stop.at_once(), group.in_turn() if keep else nullcontext():
                    clips.decode_all(counted(report, f"decoding {split}"), workers=recipe.data.workers, keep=keep)
    if not resumed and group.first:  # nothing of an older run in this folder may be taken for this one's
        claim.make()
        for name in ("last.pt", "best.pt", "summary.json"):
            (run / name).unlink(missing_ok=True)
        truncate_lines(run / "metrics.jsonl", [])
        write_text(run / "recipe.yaml", dump(recipe))
    if not loop.run_epochs(stop):
        return None
    if recipe.train.checkpoint == "best":
        loop.tested.load_state_dict(checkpoint.tested(checkpoint.load(run / "best.pt")))
    with stop.at_once():
        shown = counted(report, "testing")
        metrics = evaluate(loop.tested, tested, task, recipe, setup.device, group=group, progress=shown)
    check_there(run)
    return {
        "split": recipe.eval.split,
        "metrics": metrics,
        "val": {key: value for key, value in loop.best.items() if not key.startswith("train_")},
        "train": {key: value for key, value in loop.last_epoch.items() if not key.startswith("val_")},
        "floors": tested.annotations.floors,
        "data": tested.annotations.fingerprint,
        "data_train": {"fingerprint": splits["train"].annotations.fingerprint, "clips": len(splits["train"])},
        **({"weights": loop.started} if loop.started else {}),
        "device": str(setup.device),
        **({"processes": group.size} if group.size > 1 else {}),
        "classes": classes,
        "present": {split: clips.present for split, clips in splits.items()},
        "backends": {split: clips.backends for split, clips in splits.items()},
        "bad": {name: reason for clips in splits.values() for name, reason in clips.bad.items()},
        "clip": list(tested.shape()),
        "params": sum(p.numel() for p in model.parameters()),
        "steps": loop.step,
        "code": loop.code,
        "train_seconds": round(loop.seconds, 2),
        "seconds": round(time.perf_counter() - began, 2),
    }


def _tested(recipe: Recipe) -> str:
    """The name, among the splits of a run, of the one that is tested."""
    return "train, to test" if recipe.eval.split == "train" else recipe.eval.split


def _opened(recipe: Recipe, size: int) -> dict[str, Clips]:
    """The splits of a run of as many processes. ValueError where they are not there, or do not fit each other."""
    splits = {split: open_clips(recipe, split, train=split == "train") for split in SPLITS}
    if recipe.eval.split != "val":
        splits[_tested(recipe)] = open_clips(recipe, recipe.eval.split, train=False)
    names = splits["train"].annotations.classes
    for split, clips in splits.items():
        theirs = clips.annotations.classes
        if recipe.episodes:
            if split in ("val", "test") and (known := set(names) & set(theirs)):
                told = f"{split} has a class {min(known)!r} that train has too"
                raise ValueError(told, "episodes test on classes that training never sees")
        elif theirs != names[: len(theirs)]:
            other = next(name for i, name in enumerate(theirs) if i >= len(names) or name != names[i])
            told = f"{split} has a class {other!r} where train has none or another"
            raise ValueError(told, "give all splits the same classes")
    if len(splits["train"]) < size:
        told = f"{size} processes, and {len(splits['train'])} clips to train on"
        raise ValueError(told, "take fewer processes, or more data")
    return splits


def check_start(recipe: Recipe, size: int) -> list[str]:
    """ValueError where a run of as many processes would not begin: by its data, or the files of its weights.

    Returns the places that are of other machines alone: on this one there is not even a folder that they would be in.
    """
    root, files = Path(recipe.data.root), [Path(path) for path in recipe.model.files().values()]
    away = [path for path in (root, *files) if path.is_absolute() and not path.parent.is_dir()]
    if root not in away:
        _opened(recipe, size)
    for path in files:
        if path not in away and not path.is_file():
            raise ValueError(f"no such checkpoint: {path}", checkpoint.KINDS)
    return [str(path) for path in away]


def check_processes(recipe: Recipe, size: int) -> None:
    """ValueError if as many processes cannot train the recipe."""
    batch = recipe.train.batch
    if size > 1 and recipe.episodes:
        raise ValueError("episodes go through the network whole, in one process", "train it without --nproc")
    if batch % size:
        fewer = max(number for number in range(1, min(size, batch) + 1) if batch % number == 0)
        told = f"{size} processes cannot share a batch of {batch} clips evenly"
        raise ValueError(told, f"take {fewer} processes, or set train.batch to a multiple of {size}")
    if recipe.train.accumulate > batch // size:
        told = f"train.accumulate: the {batch // size} clips of a process have no {recipe.train.accumulate} parts"
        raise ValueError(told, f"divide it by the number of processes: {max(1, recipe.train.accumulate // size)}")


def _told(loop: Loop, recipe: Recipe) -> str:
    """What begins, or where it goes on, in words."""
    told = f"{recipe.title}, " if recipe.title else ""
    if loop.step:
        epoch = min(loop.step // loop.per_epoch + 1, recipe.train.epochs)
        told += f"going on from step {loop.step} of {loop.total} (epoch {epoch})"
    else:
        told += f"{recipe.train.epochs} epoch{'s' if recipe.train.epochs > 1 else ''} of {loop.per_epoch} steps"
    processes = f" in each of {loop.group.size} processes" if loop.group.size > 1 else ""
    return f"{told}, on {loop.setup.device}{processes}"


def _check_tested(split: str, clips: Clips, task: Classification | FewShot, workers: int) -> None:
    """ValueError on what would stop a test, before a run is trained for days."""
    if not clips.train:
        clips.shape(workers=workers)
    if isinstance(task, FewShot):
        try:
            task.shape.members(clips.labels[clips.listed])
        except ValueError as error:
            raise ValueError(f"{split}: {error.args[0]}", *error.args[1:]) from None


def start(model: nn.Module, recipe: Recipe, report: Report = lambda status: None) -> list[dict[str, Any]]:
    """Fill the network, or parts of it, from the checkpoints that the recipe names, and tell of each what was taken."""
    told = []
    for part, name in recipe.model.files().items():
        path = Path(name)
        found = checkpoint.load_part(model, part, path) if part else checkpoint.start_from(model, path)
        if found.inflated or found.copied or found.fresh or found.left_out:
            report({"phase": "started", "told": f"{part + ' from ' if part else ''}{path}: {found.told()}"})
        told.append({**({"part": part} if part else {}), "path": name, "sha256": digest(path), **found.counts()})
    return told
