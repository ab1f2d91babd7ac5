"""The steps of a training run and its state, in order of events: batches, steps, validation, checkpoints."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidops_cli.data import Progress
from vidops_cli.data.clips import Clips, Order, batches
from vidops_cli.data.episodes import Beside
from vidops_cli.data.mixing import mixed
from vidops_cli.data.views import ONE
from vidops_cli.recipe import Recipe
from vidops_cli.record import append_line, read_lines, truncate_lines

from . import checkpoint, made_of
from .claim import check_there
from .distributed import ALONE, Group
from .evaluate import agree, evaluate
from .few_shot import FewShot
from .moving import BATCH_NORMS, averaged, learning_rate, make_optimizer, settle_norms
from .setup import Setup, to_device
from .stopping import Left, Stop
from .tasks import Classification

Report = Callable[[dict[str, Any]], None]

NOTHING = {"loss": 0.0, "accuracy": 0.0, "clips": 0}  # of the epoch under way, summed over its clips
EVERY = 600.0  # seconds between checkpoints inside an epoch, unless train.save_every tells steps
LONG = 1.0  # seconds; after a shorter step of all processes, who is asked to leave finishes the next


def counted(report: Report, phase: str, **status: Any) -> Progress:
    """Progress that is reported as the status of a phase."""
    return lambda done, total: report({"phase": phase, **status, "done": done, "total": total})


def sizes(clips: int, count: int) -> list[int]:
    """Of `count` parts of as many clips, the larger ones first."""
    return [clips // count + (i < clips % count) for i in range(count)]


def _parts(batch: dict[str, Any], count: int) -> Iterator[tuple[dict[str, Any], float]]:
    """A batch in `count` parts, each with its share of the clips."""
    clips, start = len(batch["label"]), 0
    for size in sizes(clips, count):
        part = {
            key: value[start : start + size] if torch.is_tensor(value) and value.ndim else value
            for key, value in batch.items()
        }
        yield part, size / clips
        start += size


def _next(loader: Iterator[dict[str, Any]], stop: Stop) -> dict[str, Any]:
    """The next batch; nothing, if the run is asked to leave while it waits for it."""
    try:
        with stop.at_once():
            return next(loader)
    except Left:
        return {}


class Loop:
    """The state of a training run, and its steps."""

    def __init__(
        self,
        recipe: Recipe,
        run: Path,
        setup: Setup,
        splits: dict[str, Clips],
        model: nn.Module,
        task: Classification | FewShot,
        report: Report,
        code: str,
        group: Group = ALONE,
    ):
        self.recipe, self.run, self.setup, self.splits = recipe, run, setup, splits
        self.model, self.task, self.report, self.code, self.group = model, task, report, code, group
        settle_norms(model, recipe.train.batch_norm)
        self.trained = group.wrapped(model)
        group.seed(recipe.train.seed)
        self.optimizer = make_optimizer(model, recipe.train.optimizer)
        self.scaler = torch.amp.GradScaler(setup.device.type, enabled=recipe.train.precision == "float16")
        self.mean = averaged(model, recipe.train.ema) if recipe.train.ema else None
        self.step = 0
        self.seconds = 0.0
        self.took = math.inf  # seconds of the last step, of the slowest process
        self.best: dict[str, Any] = {}
        self.last_epoch: dict[str, Any] = {}
        self.started: list[dict[str, Any]] = []  # what was taken of model.weights
        self.sums = dict(NOTHING)
        self.per_epoch = math.ceil(len(splits["train"].listed) / recipe.train.batch)
        self.total = self.per_epoch * recipe.train.epochs
        self.saved = time.monotonic()

    @property
    def tested(self) -> nn.Module:
        """The network, or the mean of its weights where that is kept."""
        return self.model if self.mean is None else self.mean.module

    def restore(self) -> None:
        path = self.run / "last.pt"
        try:
            state = checkpoint.load(path)
        except ValueError as error:
            hint, best = "use --no-resume to start over", self.run / "best.pt"
            if best.is_file():
                hint += f"; or go on from the best epoch so far: cp {shlex.quote(str(best))} {shlex.quote(str(path))}"
            raise ValueError(error.args[0], hint) from None
        if state.get("recipe") != self.recipe.hash():
            told = f"{path} was written by another recipe{checkpoint.differing(self.run / 'recipe.yaml', self.recipe)}"
            raise ValueError(
                told, "use --no-resume to start over, or another --out; for eval keys alone, `vidops eval`"
            )
        for split, clips in self.splits.items():
            if state.get("data", {}).get(split, clips.annotations.fingerprint) != clips.annotations.fingerprint:
                told = f"{path} was trained on other data: {split} at {clips.annotations.root} is not what it was"
                raise ValueError(told, "give data.root the data that it began with, or use --no-resume to start over")
        states = state["rng"] if isinstance(state["rng"], list) else [state["rng"]]  # older ones are of one process
        if len(states) != self.group.size:
            were = f"{len(states)} processes" if len(states) > 1 else "one process"
            told = f"{path} was written by {were}, this is {self.group.size}"
            raise ValueError(told, f"go on with {len(states)}, or use --no-resume to start over")
        checkpoint.load_model(self.model, state, path)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))  # nor had runs of before it factors
        for group in self.optimizer.param_groups:
            group.setdefault("factor", 1.0)
        if self.mean is not None:
            self.mean.module.load_state_dict(state["mean"])
            self.mean.n_averaged.fill_(state["step"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.sums = state["sums"] if "clips" in state["sums"] else dict(NOTHING)  # older ones were of steps
        self.best, self.last_epoch = state["best"], state["last_epoch"]
        self.started = state.get("started", [])
        if (before := state.get("code", self.code)) != self.code:
            self.code = f"{before}+{self.code}"
        for met in state.get("met", []):  # older ones do not tell what was met of the files
            for split, found in met.items():
                self.splits[split].meet(*found)
        torch.set_rng_state(states[self.group.rank])
        if state["cuda_rng"] and self.setup.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"][self.group.rank], self.setup.device)
        if self.group.first:
            metrics = self.run / "metrics.jsonl"
            validated = self.last_epoch.get("step", 0)  # the epoch after it is validated again
            truncate_lines(metrics, [row for row in read_lines(metrics) if row["step"] <= validated])

    def save(self, name: str = "last.pt") -> None:
        """By the first process, with the random numbers of all; none goes on before it is written."""
        self.saved = time.monotonic()
        on_gpu = self.setup.device.type == "cuda"
        states = self.group.gather(torch.get_rng_state())
        cuda_states = self.group.gather(torch.cuda.get_rng_state(self.setup.device)) if on_gpu else []
        met = self.group.gather({split: clips.met() for split, clips in self.splits.items()})
        if self.group.first:
            self._write(name, states, cuda_states, met)
        self.group.gather(None)

    def _write(
        self, name: str, states: list[torch.Tensor], cuda_states: list[torch.Tensor], met: list[dict[str, Any]]
    ) -> None:
        state = {
            "model": self.model.state_dict(),
            "mean": None if self.mean is None else self.mean.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "recipe": self.recipe.hash(),
            "code": self.code,
            "classes": self.task.classes,
            "made_of": made_of.of_recipe(self.recipe),
            "epochs": self.recipe.train.epochs,
            "data": {split: clips.annotations.fingerprint for split, clips in self.splits.items()},
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "best": self.best,
            "last_epoch": self.last_epoch,
            "started": self.started,
            "rng": states,
            "cuda_rng": cuda_states,
            "met": met,
        }
        check_there(self.run)
        checkpoint.save(self.run / name, state)

    def run_epochs(self, stop: Stop) -> bool:
        """True when all epochs are done, False when asked to stop."""
        told = self.recipe.train
        if self.step % self.per_epoch == 0 and self.step != self.last_epoch.get("step", 0):
            self._finish_epoch(self.step // self.per_epoch - 1, stop)  # it was trained, and not validated
        while self.step < self.total:
            epoch, done = divmod(self.step, self.per_epoch)
            self.trained.train()
            settle_norms(self.model, told.batch_norm)
            loader = self._batches(epoch, done)
            for step in range(done, self.per_epoch):
                batch = _next(loader, stop)
                clips, leave, due = self._agree(batch, stop)
                if leave or due:
                    self.save()
                if leave:
                    return False
                began = time.perf_counter()
                if any(clips):  # else all of its videos were bad
                    try:
                        self._update(self._given(self._lent(batch, clips), epoch, step), epoch, clips, stop)
                    except Left:
                        self.save()
                        return False
                self.step += 1
                self.took = time.perf_counter() - began
                self.seconds += self.took
                if told.save_every and self.step % told.save_every == 0 and step + 1 < self.per_epoch:
                    self.save()
            self.save()  # a video of val that cannot be used costs no epoch
            self._finish_epoch(epoch, stop)
        return True

    def _agree(self, batch: dict[str, Any], stop: Stop) -> tuple[list[int], bool, bool]:
        """How many clips each process has for this step; whether one was asked to leave; whether to save before it."""
        due = self.recipe.train.save_every is None and time.monotonic() - self.saved > EVERY
        clips, leave, dues, took = zip(
            *self.group.gather((len(batch.get("label", ())), stop(), due, self.took)), strict=True
        )
        self.took = max(took)
        return list(clips), any(leave), dues[0]

    def _lent(self, batch: dict[str, Any], clips: list[int]) -> dict[str, Any]:
        """The batch; a process that has none is lent a clip, which counts nothing, so that all take the step."""
        if all(clips):
            return batch
        one = {key: value[:1] if torch.is_tensor(value) else value for key, value in batch.items()}
        lent = next(each for each in self.group.gather(one) if "clip" in each)
        return batch if "clip" in batch else lent

    def _batches(self, epoch: int, start: int = 0, steps: int | None = None) -> Iterator[dict[str, Any]]:
        """Training batches of an epoch, `steps` of them or all, from step `start` on."""
        clips, size, seed = self.splits["train"], self.recipe.train.batch, self.recipe.train.seed
        order: Order | Beside = Order(clips.listed, epoch=epoch, seed=seed, start=start * size)
        order.keys = order.keys[: steps and steps * size]
        last = len(order.keys) % size
        if isinstance(self.task, FewShot):
            shape = self.task.shape
            order = Beside(order.keys, clips.labels, shape, batch=size, epoch=epoch, seed=seed, start=start)
            size += shape.size
        else:
            order.keys = self.group.part(order.keys, size)
        found = batches(clips, order, size // self.group.size, workers=self.recipe.data.workers)
        return chain(found, [{}] if last and not self.group.part(range(last), size) else [])

    def _given(self, batch: dict[str, Any], epoch: int, step: int) -> dict[str, Any]:
        """A training batch as the network sees it. How it is mixed hangs on seed, epoch and step alone."""
        told, batch = self.recipe.train, to_device(batch, self.setup.device)
        if not (told.mixup or told.cutmix):
            return batch
        rng = np.random.default_rng([told.seed, epoch, 3, step])
        return mixed(batch, mixup=told.mixup, cutmix=told.cutmix, rng=rng)

    @contextmanager
    def _left_amid(self, stop: Stop) -> Iterator[Callable[[], None]]:
        """Around forward and backward: who is asked to leave leaves, and takes the step anew.

        One process leaves at once. Of several none may leave while others wait for it: all do, where they call what is
        yielded.
        """
        if self.took < LONG:
            yield lambda: None
            return
        states = [(state, state.clone()) for state in self.model.buffers()]
        rng, on_gpu = torch.get_rng_state(), self.setup.device.type == "cuda"
        cuda_rng = torch.cuda.get_rng_state(self.setup.device) if on_gpu else None
        trained = [each for each in self.model.parameters() if each.requires_grad]
        # signals are heeded where Python runs: in a backward pass, in hooks
        hooks = [each.register_post_accumulate_grad_hook(lambda _: None) for each in trained]

        def meet() -> None:
            if self.group.size > 1 and any(self.group.gather(stop())):
                raise Left

        try:
            with stop.at_once() if self.group.size == 1 else nullcontext():
                yield meet
        except Left:
            for state, before in states:
                state.copy_(before)
            torch.set_rng_state(rng)
            if cuda_rng is not None:
                torch.cuda.set_rng_state(cuda_rng, self.setup.device)
            raise
        finally:
            for hook in hooks:
                hook.remove()

    def _update(self, batch: dict[str, Any], epoch: int, clips: list[int], stop: Stop) -> None:
        """A step. `clips` each process has: the loss is the mean over all of them."""
        told = self.recipe.train
        mine = clips[self.group.rank] / sum(clips)
        rate = learning_rate(self.recipe, self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        value = accuracy = 0.0
        device = self.setup.device.type
        count = min(told.accumulate, *(max(1, of) for of in clips))  # the same for all processes, which meet in each
        with self._left_amid(stop) as meet:
            for i, (part, share) in enumerate(_parts(batch, count)):
                alone = self.trained.no_sync() if self.group.size > 1 and i + 1 < count else nullcontext()
                with alone:
                    with torch.autocast(device, getattr(torch, told.precision), told.precision != "float32"):
                        loss, logs = self.task.loss(self.trained, part)
                    meet()
                    value, accuracy = value + share * loss.item(), accuracy + share * logs["accuracy"]
                    weight = share * mine * self.group.size  # gradients are averaged over processes
                    self.scaler.scale(loss if weight == 1 else loss * weight).backward()
                    if i + 1 < count:  # gradients of the last have been averaged: the step is as good as taken
                        meet()
        value, accuracy = self.group.sum(mine * value, mine * accuracy)
        if not math.isfinite(value):
            clips_told = ", ".join(map(str, batch["index"][:4].tolist()))
            where = f"step {self.step} (epoch {epoch + 1}), learning rate {rate:.3g}, clips {clips_told}, ..."
            raise ValueError(f"the loss is {value} at {where}", "lower train.optimizer.lr, or set train.clip_norm")
        if told.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), told.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean is not None:
            self.mean.update_parameters(self.model)
        self.sums["loss"] += sum(clips) * value
        self.sums["accuracy"] += sum(clips) * accuracy
        self.sums["clips"] += sum(clips)
        self.report(
            {
                "phase": "training",
                "epoch": epoch + 1,
                "epochs": told.epochs,
                "done": self.step + 1,
                "total": self.total,
                "loss": self.sums["loss"] / self.sums["clips"],
                "accuracy": 100 * self.sums["accuracy"] / self.sums["clips"],
                "step_loss": value,
                "step_accuracy": 100 * accuracy,
                "lr": rate,
            }
        )

    def _finish_epoch(self, epoch: int, stop: Stop) -> None:
        """Validate, after the state is saved: who is asked to leave leaves, and validates when it goes on."""
        with stop.at_once():
            agree(self.splits["train"], self.group)
            if self.recipe.train.recalibrate_bn:
                self._recalibrate(epoch)
            shown = counted(self.report, "validating", epoch=epoch + 1)
            self.group.same_buffers(self.tested)
            one = (ONE,)  # many views are for the last test
            val, device = self.splits["val"], self.setup.device
            found = evaluate(
                self.tested, val, self.task, self.recipe, device, views=one, group=self.group, progress=shown
            )
        count = max(1, self.sums["clips"])
        if not math.isfinite(found["loss"]):
            raise ValueError(
                f"the val loss is {found['loss']} after step {self.step} (epoch {epoch + 1})",
                "lower train.optimizer.lr, or set train.clip_norm",
            )
        self.last_epoch = {
            "epoch": epoch + 1,
            "step": self.step,
            "train_loss": self.sums["loss"] / count,
            "train_top1": 100 * self.sums["accuracy"] / count,
            **{f"val_{key}": found[key] for key in ("loss", "top1", "mean_class") if key in found},
        }
        self.sums = dict(NOTHING)
        if not self.best or found["top1"] > self.best["val_top1"]:
            self.best = self.last_epoch
            self.save("best.pt")
        if self.group.first:
            append_line(self.run / "metrics.jsonl", self.last_epoch)
        self.save()
        self.report({"phase": "epoch", **self.last_epoch})

    @torch.no_grad()
    def _recalibrate(self, epoch: int) -> None:
        """Renew running statistics as plain means over training batches: short schedules leave them stale."""
        norms = [m for m in self.tested.modules() if isinstance(m, BATCH_NORMS)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.tested.train()
        for step, batch in enumerate(self._batches(epoch, steps=self.recipe.train.recalibrate_bn)):
            clips = self.group.gather(len(batch.get("label", ())))
            if any(clips):
                given = self._given(self._lent(batch, clips), epoch, step)
                self.task.loss(self.tested, given)  # through every norm of the network
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            self.group.average(norm.running_mean, norm.running_var)
