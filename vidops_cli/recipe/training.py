"""What in a recipe does not go together in training: schedules, batches in parts, norms."""

from __future__ import annotations

from collections.abc import Iterator

from .reading import Place
from .schema import Train

Found = tuple[Place, str, str]


def training_problems(train: Train, *, episodes: bool) -> Iterator[Found]:
    """(key, message, hint) of each."""
    schedule = train.schedule
    path = ("train", "schedule")
    if schedule.name == "step" and not schedule.at:
        yield (*path, "name"), "train.schedule: step falls at epochs that are told", "add at, as in at: [20, 30]"
    if schedule.at and schedule.name != "step":
        yield (*path, "at"), f"train.schedule.at is of step, the schedule is {schedule.name}", "leave at out"
    if schedule.at != sorted({*schedule.at}):
        yield (*path, "at"), f"train.schedule.at: epochs that rise, got {schedule.at}", "as in at: [20, 30]"
    if schedule.start and not schedule.warmup:
        yield (*path, "start"), "train.schedule.start is of a warm-up, which is 0", "set warmup, or leave start out"
    if episodes and train.accumulate > 1:
        told = "train.accumulate: an episode goes through the network whole"
        yield ("train", "accumulate"), told, "set it to 1, or leave `episodes` out"
    if train.accumulate > train.batch:
        told = f"train.accumulate: a batch of {train.batch} has no {train.accumulate} parts"
        yield ("train", "accumulate"), told, "lower it"
    if train.compile and train.activation_checkpointing:
        told = (
            "train.activation_checkpointing: compiled blocks choose themselves what they keep and what they recompute"
        )
        yield ("train", "activation_checkpointing"), told, "set it or train.compile to false"
    if train.recalibrate_bn and train.batch_norm not in ("train", "sync"):
        told = f"train.recalibrate_bn renews statistics that train.batch_norm={train.batch_norm} keeps"
        yield ("train", "recalibrate_bn"), told, "set one of them back"
