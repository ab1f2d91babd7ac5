"""Where else a run's numbers go: TensorBoard, Weights & Biases. Each is imported only when it is asked for.

metrics.jsonl is always written, by the engine; what trackers get is for looking at, and nothing reads it back.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import textwrap
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import console

if TYPE_CHECKING:
    from vidops_cli.recipe import Recipe

Numbers = dict[str, float]
Track = Annotated[
    list[str] | None,
    typer.Option(help="Log to tensorboard or wandb too; repeat it, or put commas.", metavar="NAME"),
]
TRAINING = {"loss": "step_loss", "accuracy": "step_accuracy", "lr": "lr"}  # name -> key of a step's status
SCORES = ("loss", "top1", "top5", "mean_class")
FLUSH = 10.0  # seconds of numbers that a kill may cost


def chosen(track: list[str] | None) -> tuple[str, ...]:
    """Names told on the command line. ValueError for one that is unknown, or not installed."""
    names = tuple(dict.fromkeys(name for words in track or () for name in words.split(",") if name))
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f"unknown tracker {name!r}", " or ".join(TRACKERS))
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # a folder of this name below the present one is no package
            raise ValueError(f"--track {name}: {name} is not installed", "pip install 'vidops[tracking]'")
    return names


class Trackers:
    """Takes what a run reports, and hands its numbers on. A tracker that fails is told once, and ends no run.

    Of several processes the first alone has names; without any nothing is imported.
    """

    def __init__(self, names: Sequence[str], run: Path, recipe: Recipe, code: str):
        self.names, self.run, self.recipe, self.code = list(names), run, recipe, code
        self.open: dict[str, TensorBoard | WandB] = {}  # at the first numbers: what cannot start leaves nothing

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        for name in list(self.open):
            with self._surviving(name):
                self.open.pop(name).close(kind is None)

    def __call__(self, status: dict[str, Any]) -> None:
        if status["phase"] == "training":
            numbers = {f"train/{name}": status[key] for name, key in TRAINING.items()}
            self._add(numbers, status["done"], first=status["done"])
        elif status["phase"] == "epoch":
            numbers = {f"val/{name}": status[key] for name in SCORES if (key := f"val_{name}") in status}
            self._add(numbers, status["step"], first=status["step"] + 1)

    def tested(self, summary: dict[str, Any]) -> None:
        """The scores of the last test, at the last step."""
        found = summary["metrics"]
        numbers = {f"test/{name}": found[name] for name in SCORES if name in found}
        self._add(numbers, summary["steps"], first=summary["steps"] + 1)

    def _add(self, numbers: Numbers, step: int, *, first: int) -> None:
        """`first`: where a tracker opens with these numbers, the step from which on nothing is known yet."""
        for name in list(self.names):
            with self._surviving(name):
                if name not in self.open:
                    self.open[name] = TRACKERS[name](self.recipe, self.code, self.run, first)
                self.open[name].add(numbers, step)

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, the run is worth more
            told = " ".join(str(error).split()) or type(error).__name__
            console(stderr=True).print(f"{name}: {told}; the run goes on without it", soft_wrap=True)
            self.names.remove(name)
            if broken := self.open.pop(name, None):
                with contextlib.suppress(Exception):
                    broken.close(False)


class TensorBoard:
    """An event file below RUN/tensorboard. Written here and not by a thread, so that a full disk is told to us."""

    def __init__(self, recipe: Recipe, code: str, run: Path, first: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.summary.writer.record_writer import RecordWriter

        from vidops_cli.recipe import dump

        folder = run / "tensorboard"
        folder.mkdir(exist_ok=True)
        if not resumed(run):
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
        name = f"events.out.tfevents.{time.time_ns() // 10**6:014d}.{socket.gethostname()}.{os.getpid()}"
        self.file = (folder / name).open("xb")
        self.writer, self.event, self.summary = RecordWriter(self.file), Event, Summary
        self.flushed = time.monotonic()
        self._write(file_version="brain.Event:2")
        # what was logged of steps that are now done again is left out by its reader
        self._write(step=first, session_log=SessionLog(status=SessionLog.START))
        text = f"recipe {recipe.hash()}, code {code}\n\n{textwrap.indent(dump(recipe), '    ')}"
        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        value = Summary.Value(tag="recipe", metadata=plugin, tensor=tensor)
        self._write(step=first - 1, summary=Summary(value=[value]))

    def _write(self, **content: Any) -> None:
        self.writer.write(self.event(wall_time=time.time(), **content).SerializeToString())

    def add(self, numbers: Numbers, step: int) -> None:
        values = [self.summary.Value(tag=name, simple_value=value) for name, value in numbers.items()]
        self._write(step=step, summary=self.summary(value=values))
        if time.monotonic() - self.flushed > FLUSH:
            self.file.flush()
            self.flushed = time.monotonic()

    def close(self, ok: bool) -> None:
        self.file.close()


class WandB:
    """A run of Weights & Biases, which its own variables (WANDB_MODE, WANDB_PROJECT, ...) steer.

    Its id is kept in the run's folder, which may be moved; a run that starts over is another one there too.
    """

    def __init__(self, recipe: Recipe, code: str, run: Path, first: int):
        import wandb

        kept = run / "wandb" / "id"
        kept.parent.mkdir(exist_ok=True)
        if not (resumed(run) and kept.exists()):
            kept.write_text(uuid.uuid4().hex[:12])
        about = {"recipe_hash": recipe.hash(), "code_hash": code}
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "vidops"),
            name=os.environ.get("WANDB_NAME", run.resolve().name),
            notes=recipe.title,
            config={**recipe.model_dump(mode="json"), **about},
            id=kept.read_text(),
            resume="allow",
            dir=str(run),
            settings=wandb.Settings(console="off"),  # what is printed stays ours
        )

    def add(self, numbers: Numbers, step: int) -> None:
        self.run.log(numbers, step=step)  # steps that it has already are dropped there

    def close(self, ok: bool) -> None:
        self.run.finish(exit_code=0 if ok else 1)


TRACKERS: dict[str, type[TensorBoard] | type[WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}


def resumed(run: Path) -> bool:
    """Whether the run in the folder goes on: one that starts over has no checkpoint when its first numbers come."""
    return (run / "last.pt").exists()
