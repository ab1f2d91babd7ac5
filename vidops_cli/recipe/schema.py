"""The keys of a recipe, their types and defaults."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Data(Section):
    """Which clips, and how frames become a tensor. `frames` and `shuffle_labels` are controls."""

    name: str
    root: str
    splits: dict[Literal["train", "val", "test"], str] = {}
    num_frames: Positive = 8
    resize: Positive | None = None
    crop: Positive | None = None
    flip: Share = 0.0
    mean: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.485, 0.456, 0.406]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    frames: Literal["ordered", "reversed", "shuffled"] = "ordered"
    shuffle_labels: bool = False
    cache: Literal["memory", "none"] = "none"
    workers: Annotated[int, Field(ge=0)] = 0
    max_bad: Annotated[int, Field(ge=0)] = 0


class Placed(Section):
    """An operator put into a slot of the network: `at` is all, a stage (res3), a block (res3.1), or a list of them."""

    op: str
    at: str | list[str] = "all"
    slot: str | None = None
    options: dict[str, Any] = {}


class Model(Section):
    name: str
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ops: list[Placed] = []


class Optimizer(Section):
    name: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    decay_norm_bias: bool = False


class Schedule(Section):
    name: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.0
    final: Share = 0.0


class Train(Section):
    """`checkpoint` is which weights are tested; `recalibrate_bn` counts batches that renew the running statistics."""

    epochs: Positive
    batch: Positive
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    label_smoothing: Share = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    recalibrate_bn: Annotated[int, Field(ge=0)] = 0
    checkpoint: Literal["best", "last"] = "last"
    save_every: Positive | None = None
    threads: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class Eval(Section):
    split: Literal["train", "val", "test"] = "test"
    batch: Positive = 64


class Row(Section):
    name: Annotated[str, Field(min_length=1)]
    set: dict[str, Any] = {}


class Ablation(Section):
    metric: Literal["top1", "top5", "mean_class"] = "top1"
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    rows: Annotated[list[Row], Field(min_length=1)]


class Recipe(Section):
    title: str = ""
    claim: str = ""
    paper: str = ""
    scale: Literal["full", "mini"] = "full"
    data: Data
    model: Model
    train: Train
    eval: Eval = Eval()
    ablation: Ablation | None = None

    def identity(self) -> dict[str, Any]:
        """What decides a run's result: no title, no folder, no number of workers."""
        told = self.model_dump(mode="json", exclude={"title", "claim", "paper", "ablation"})
        for key in ("root", "workers"):
            told["data"].pop(key)
        told["train"].pop("save_every")
        return told

    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]
