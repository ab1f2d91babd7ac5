"""The training loop, in order of events: data, network, steps, validation, checkpoints, test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidops_cli.data.clips import Clips, Order, batches
from vidops_cli.data.episodes import Beside
from vidops_cli.data.mixing import mixed
from vidops_cli.data.views import ONE
from vidops_cli.recipe import Recipe, dump
from vidops_cli.record import append_line, read_lines, truncate_lines, write_text

from . import checkpoint
from .evaluate import evaluate
from .few_shot import FewShot
from .moving import averaged, learning_rate, make_optimizer, settle_norms
from .setup import Setup, open_clips, to_device
from .tasks import Classification

Report = Callable[[dict[str, Any]], None]
SPLITS = ("train", "val")


def train(
    recipe: Recipe,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = True,
    code: str = "",
    report: Report = lambda status: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train in the folder `run`, then test. Returns the summary, or None if `stop` asked to leave (state is saved).

    Resuming continues at the saved step with the same data order and random numbers: on a CPU the result equals that of
    an uninterrupted run bit for bit. `code` is the hash of what trains; where a run was continued by other code the
    summary tells both. ValueError on a loss that is not finite, or data that cannot be used.
    """
    setup = Setup.of(recipe, device)
    splits = {split: open_clips(recipe, split, train=split == "train") for split in SPLITS}
    tested = splits["val"] if recipe.eval.split == "val" else open_clips(recipe, recipe.eval.split, train=False)
    splits["train, to test" if recipe.eval.split == "train" else recipe.eval.split] = tested
    names = splits["train"].annotations.classes
    classes = len(names)
    for split, clips in splits.items():
        theirs = clips.annotations.classes
        if recipe.episodes:
            if split in ("val", "test") and (known := set(names) & set(theirs)):
                told = f"{split} has a class {min(known)!r} that train has too"
                raise ValueError(told, "episodes test on classes that training never sees")
        elif theirs != names[: len(theirs)]:
            other = next(name for i, name in enumerate(theirs) if i >= classes or name != names[i])
            told = f"{split} has a class {other!r} where train has none or another"
            raise ValueError(told, "give all splits the same classes")
    model = setup.prepared(setup.build(classes).to(setup.device))
    resumed = resume and (run / "last.pt").exists()
    if not resumed:
        _start(model, recipe.model.weights, report)
    for part in recipe.train.frozen:
        checkpoint.part_of(model, part).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("train.frozen leaves nothing to train", "leave out a part")
    task = setup.task(classes)
    loop = _Loop(recipe, run, setup, splits, model, task, report, code)
    began = time.perf_counter()
    if resumed:
        loop.restore()
    if recipe.data.cache != "none":
        for split, clips in splits.items():
            if not clips.decoded:
                told, keep = f"decoding {split}", recipe.data.cache == "disk"
                clips.decode_all(
                    lambda done, total, phase=told: report({"phase": phase, "done": done, "total": total}), keep=keep
                )
    if not resumed:  # nothing of an older run in this folder may be taken for this one's
        for name in ("last.pt", "best.pt", "summary.json"):
            (run / name).unlink(missing_ok=True)
        truncate_lines(run / "metrics.jsonl", [])
        write_text(run / "recipe.yaml", dump(recipe))
    if not loop.run_epochs(stop):
        return None
    if recipe.train.checkpoint == "best":
        loop.tested.load_state_dict(checkpoint.tested(checkpoint.load(run / "best.pt")))
    report({"phase": "testing"})
    return {
        "split": recipe.eval.split,
        "metrics": evaluate(loop.tested, tested, task, recipe, setup.device),
        "val": loop.best,
        "train": loop.last_epoch,
        "floors": tested.annotations.floors,
        "data": tested.annotations.fingerprint,
        "device": str(setup.device),
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


def _start(model: nn.Module, told: str | dict[str, str], report: Report) -> None:
    """Weights that the recipe names, of the network or of parts of it."""
    parts = {"": told} if isinstance(told, str) else told
    for part, path in parts.items():
        found = checkpoint.load_part(model, part, Path(path)) if part else checkpoint.start_from(model, Path(path))
        if found.inflated or found.copied or found.fresh or found.left_out:
            report({"phase": "started", "told": f"{part + ' from ' if part else ''}{path}: {found.told()}"})


def _parts(batch: dict[str, Any], count: int) -> Iterator[tuple[dict[str, Any], float]]:
    """A batch in at most `count` parts of like size, each with its share of the clips."""
    clips = len(batch["label"])
    size = math.ceil(clips / count)
    for start in range(0, clips, size):
        part = {
            key: value[start : start + size] if torch.is_tensor(value) and value.ndim else value
            for key, value in batch.items()
        }
        yield part, len(part["label"]) / clips


class _Loop:
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
    ):
        self.recipe, self.run, self.setup, self.splits = recipe, run, setup, splits
        self.model, self.task, self.report, self.code = model, task, report, code
        settle_norms(model, recipe.train.batch_norm)
        self.optimizer = make_optimizer(model, recipe.train.optimizer)
        self.scaler = torch.amp.GradScaler(setup.device.type, enabled=recipe.train.precision == "float16")
        self.mean = averaged(model, recipe.train.ema) if recipe.train.ema else None
        self.step = 0
        self.seconds = 0.0
        self.best: dict[str, Any] = {}
        self.last_epoch: dict[str, Any] = {}
        self.sums = {"loss": 0.0, "accuracy": 0.0, "steps": 0}  # of the epoch under way
        self.per_epoch = math.ceil(len(splits["train"].listed) / recipe.train.batch)
        self.total = self.per_epoch * recipe.train.epochs

    @property
    def tested(self) -> nn.Module:
        """The network, or the mean of its weights where that is kept."""
        return self.model if self.mean is None else self.mean.module

    def restore(self) -> None:
        path = self.run / "last.pt"
        state = checkpoint.load(path)
        if state.get("recipe") != self.recipe.hash():
            raise ValueError(f"{path} was written by another recipe", "use --no-resume to start over, or another --out")
        checkpoint.load_model(self.model, state, path)
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}))  # nor had runs of before it factors
        for group in self.optimizer.param_groups:
            group.setdefault("factor", 1.0)
        if self.mean is not None:
            self.mean.module.load_state_dict(state["mean"])
            self.mean.n_averaged.fill_(state["step"])
        self.step, self.seconds, self.sums = state["step"], state["seconds"], state["sums"]
        self.best, self.last_epoch = state["best"], state["last_epoch"]
        if (before := state.get("code", self.code)) != self.code:
            self.code = f"{before}+{self.code}"
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"] and self.setup.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        metrics = self.run / "metrics.jsonl"
        truncate_lines(metrics, [row for row in read_lines(metrics) if row["step"] <= self.step])

    def save(self, name: str = "last.pt") -> None:
        state = {
            "model": self.model.state_dict(),
            "mean": None if self.mean is None else self.mean.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "recipe": self.recipe.hash(),
            "code": self.code,
            "classes": self.task.classes,
            "step": self.step,
            "seconds": self.seconds,
            "sums": self.sums,
            "best": self.best,
            "last_epoch": self.last_epoch,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if self.setup.device.type == "cuda" else [],
        }
        checkpoint.save(self.run / name, state)

    def run_epochs(self, stop: Callable[[], bool]) -> bool:
        """True when all epochs are done, False when asked to stop."""
        told = self.recipe.train
        if self.step % self.per_epoch == 0 and self.step != self.last_epoch.get("step", 0):
            self._finish_epoch(self.step // self.per_epoch - 1)  # it was trained, and not validated
        while self.step < self.total:
            epoch, done = divmod(self.step, self.per_epoch)
            self.model.train()
            settle_norms(self.model, told.batch_norm)
            for batch in self._batches(epoch, done):
                began = time.perf_counter()
                if "clip" in batch:  # else all of its videos were bad
                    self._update(self._given(batch, epoch, self.step % self.per_epoch), epoch)
                self.step += 1
                self.seconds += time.perf_counter() - began
                if self.step % self.per_epoch == 0:
                    break
                if stop():
                    self.save()
                    return False
                if told.save_every and self.step % told.save_every == 0:
                    self.save()
            self.save()  # a video of val that cannot be used costs no epoch
            self._finish_epoch(epoch)
            if stop() and self.step < self.total:
                return False
        return True

    def _batches(self, epoch: int, start: int = 0, steps: int | None = None) -> Iterator[dict[str, Any]]:
        """Training batches of an epoch, `steps` of them or all, from step `start` on."""
        clips, size, seed = self.splits["train"], self.recipe.train.batch, self.recipe.train.seed
        order: Order | Beside = Order(clips.listed, epoch=epoch, seed=seed, start=start * size)
        order.keys = order.keys[: steps and steps * size]
        if isinstance(self.task, FewShot):
            shape = self.task.shape
            order = Beside(order.keys, clips.labels, shape, batch=size, epoch=epoch, seed=seed, start=start)
            size += shape.size
        return batches(clips, order, size, workers=self.recipe.data.workers)

    def _given(self, batch: dict[str, Any], epoch: int, step: int) -> dict[str, Any]:
        """A training batch as the network sees it. How it is mixed hangs on seed, epoch and step alone."""
        told, batch = self.recipe.train, to_device(batch, self.setup.device)
        if not (told.mixup or told.cutmix):
            return batch
        rng = np.random.default_rng([told.seed, epoch, 3, step])
        return mixed(batch, mixup=told.mixup, cutmix=told.cutmix, rng=rng)

    def _update(self, batch: dict[str, Any], epoch: int) -> None:
        told = self.recipe.train
        rate = learning_rate(self.recipe, self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.zero_grad(set_to_none=True)
        value = accuracy = 0.0
        for part, share in _parts(batch, told.accumulate):
            with torch.autocast(self.setup.device.type, getattr(torch, told.precision), told.precision != "float32"):
                loss, logs = self.task.loss(self.model, part)
            value, accuracy = value + share * loss.item(), accuracy + share * logs["accuracy"]
            if not math.isfinite(value):
                clips = ", ".join(map(str, batch["index"][:4].tolist()))
                where = f"step {self.step} (epoch {epoch + 1}), learning rate {rate:.3g}, clips {clips}, ..."
                raise ValueError(f"the loss is {value} at {where}", "lower train.optimizer.lr, or set train.clip_norm")
            self.scaler.scale(loss * share if share < 1 else loss).backward()
        if told.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), told.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.mean is not None:
            self.mean.update_parameters(self.model)
        self.sums["loss"] += value
        self.sums["accuracy"] += accuracy
        self.sums["steps"] += 1
        self.report(
            {
                "phase": "training",
                "epoch": epoch + 1,
                "epochs": told.epochs,
                "done": self.step + 1,
                "total": self.total,
                "loss": self.sums["loss"] / self.sums["steps"],
                "accuracy": 100 * self.sums["accuracy"] / self.sums["steps"],
            }
        )

    def _finish_epoch(self, epoch: int) -> None:
        if self.recipe.train.recalibrate_bn:
            self._recalibrate(epoch)
        self.report({"phase": "validating", "epoch": epoch + 1})
        one = (ONE,)  # many views are for the last test
        found = evaluate(self.tested, self.splits["val"], self.task, self.recipe, self.setup.device, views=one)
        steps = max(1, self.sums["steps"])
        if not math.isfinite(found["loss"]):
            raise ValueError(
                f"the val loss is {found['loss']} after step {self.step} (epoch {epoch + 1})",
                "lower train.optimizer.lr, or set train.clip_norm",
            )
        self.last_epoch = {
            "epoch": epoch + 1,
            "step": self.step,
            "train_loss": self.sums["loss"] / steps,
            "train_top1": 100 * self.sums["accuracy"] / steps,
            **{f"val_{key}": found[key] for key in ("loss", "top1", "mean_class") if key in found},
        }
        self.sums = {"loss": 0.0, "accuracy": 0.0, "steps": 0}
        if not self.best or found["top1"] > self.best["val_top1"]:
            self.best = self.last_epoch
            self.save("best.pt")
        append_line(self.run / "metrics.jsonl", self.last_epoch)
        self.save()
        self.report({"phase": "epoch", **self.last_epoch})

    @torch.no_grad()
    def _recalibrate(self, epoch: int) -> None:
        """Renew running statistics as plain means over training batches: short schedules leave them stale."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.model.train()
        for step, batch in enumerate(self._batches(epoch, steps=self.recipe.train.recalibrate_bn)):
            if "clip" in batch:
                self.task.loss(self.model, self._given(batch, epoch, step))  # through every norm of the network
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
