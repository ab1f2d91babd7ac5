"""The keys of a recipe: their types, defaults and meanings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


Count = Annotated[int, Field(ge=1)]
CountFrom0 = Annotated[int, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
NotBelow0 = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(min_length=1)]
Metric = Literal["top1", "top5", "mean_class"]
Cost = Literal["macs", "params", "flops"]
COSTS: tuple[str, ...] = get_args(Cost)
Tier = Literal["code", "log", "page", "derived", "memory"]
Rgb = Field(min_length=3, max_length=3)


class Sizes(Section):
    train: Count = 6144
    """clips of the train set of each seed"""
    val: Count = 512
    """clips of the val split"""
    test: Count = 2048
    """clips of the test split, and of each further one"""


class Generated(Section):
    seed: CountFrom0 = 0
    """of the benchmark"""
    dials: dict[str, Any] = {}
    """difficulty: see `vidops show` and the benchmark's name"""
    sizes: Sizes = Sizes()


class Corruption(Section):
    name: Literal["noise", "blur", "occlusion"]
    """what spoils the frames"""
    amount: Above0
    """noise: deviation in grey levels; blur: deviation in pixels; occlusion: side of a box, of the shorter side"""
    frames: Count | None = None
    """how many in the middle of the clip; null is all"""


Pair = Field(min_length=2, max_length=2)
Label = CountFrom0 | Name


class MultiScale(Section):
    scales: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [1.0, 0.875, 0.75, 0.66]
    """TSN's crops, scaled to data.crop: sides that a box may have, as shares of the shorter side"""
    max_distort: CountFrom0 = 1
    """how many entries of the list height and width may be apart"""
    offsets: Literal["fixed", "random"] = "fixed"
    """fixed: 13 places, of corners, edges, middle and between; random: anywhere"""


class ResizedCrop(Section):
    scale: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Pair] = [0.08, 1.0]
    """boxes of the frames before data.resize, scaled to data.crop: least and largest share of the area"""
    ratio: Annotated[list[Above0], Pair] = [0.75, 1.3333333333333333]
    """least and largest width to height"""


class RandAugment(Section):
    n: Count = 2
    """operations of a clip, out of RandAugment's 14"""
    m: Annotated[float, Field(ge=0, le=30)] = 9.0
    """their magnitude; 30 is the strongest"""


class Jitter(Section):
    p: Share = 1.0
    """probability that colours change"""
    brightness: NotBelow0 = 0.0
    """factors from 1 - this to 1 + this"""
    contrast: NotBelow0 = 0.0
    """likewise"""
    saturation: NotBelow0 = 0.0
    """likewise"""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """turns either way, 1 once around"""


class Blur(Section):
    p: Share = 0.5
    """probability of a Gaussian blur"""
    sigma: Annotated[list[Above0], Pair] = [0.1, 2.0]
    """least and largest deviation, in pixels"""


class Erase(Section):
    p: Share = 0.5
    """probability that a box becomes the mean colour"""
    area: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Pair] = [0.02, 0.4]
    """least and largest share of the frame"""
    ratio: Annotated[list[Above0], Pair] = [0.3, 3.3333333333333335]
    """least and largest width to height"""


class Augment(Section):
    multi_scale: MultiScale | None = None
    """TSN's: boxes of a few sizes and shapes, scaled to data.crop"""
    resized_crop: ResizedCrop | None = None
    """boxes of any size and shape of the frames before data.resize, scaled to data.crop"""
    rand_augment: RandAugment | None = None
    """operations out of a list of 14"""
    jitter: Jitter | None = None
    """of colours"""
    grey: Share = 0.0
    """probability of taking colours away"""
    blur: Blur | None = None
    """Gaussian"""
    erase: Erase | None = None
    """a box of the mean colour"""


class Data(Section):
    name: str
    """a data set of `vidops list datasets`"""
    root: str
    """the folder it is in"""
    splits: dict[Literal["train", "val", "test"], str] = {}
    """list or folder of a split, where it is not the usual one; or how the data set is divided, as in train: split2"""
    num_frames: Count = 8
    """frames of a clip"""
    sampling: Literal["segments", "dense"] = "segments"
    """a frame of each of as many equal segments, or frames `stride` apart: anywhere in training, else the middle"""
    stride: Count | None = None
    """of dense frames: from each to the next; 1: consecutive ones. A video that is too short starts over"""
    resize: Count | Annotated[list[Count], Pair] | None = None
    """shorter side that frames are scaled to, or height and width"""
    crop: Count | None = None
    """square that is cut out: anywhere in training, else in the middle"""
    flip: Share = 0.0
    """probability of mirroring left and right in training"""
    flip_keep: list[Label] = []
    """labels, by number or name, whose clips are never mirrored"""
    flip_swap: list[Annotated[list[Label], Pair]] = []
    """pairs of labels that mirroring turns into each other, as in [[86, 87]]"""
    augment: Augment | None = None
    """what else changes training clips, all frames of a clip alike"""
    mean: Annotated[list[float], Rgb] = [0.485, 0.456, 0.406]
    """of R, G, B from 0 to 1; taken away"""
    std: Annotated[list[Above0], Rgb] = [0.229, 0.224, 0.225]
    """of R, G, B from 0 to 1; divided by"""
    frames: Literal["ordered", "reversed", "shuffled"] = "ordered"
    """order of a clip's frames; the others are controls"""
    corruption: Corruption | None = None
    """spoil the frames of every split, to test networks that were trained on clean ones"""
    classes: Count | None = None
    """how many it has, where it is not at hand; else checked against it"""
    shuffle_labels: bool = False
    """train and val labels that say nothing of the clip, scored on true ones: a control"""
    generated: Generated | None = None
    """make a generated benchmark at `root`, with a train set of its own for each train.seed"""
    cache: Literal["memory", "disk", "none"] = "none"
    """memory: decode every video once a run, into memory; disk: and keep that below `root` for the next run"""
    workers: CountFrom0 = 0
    """processes that load; they change nothing but the time"""
    links: bool = False
    """read clips to which a link leads out of `root`"""
    max_bad: CountFrom0 = 0
    """videos of a split that may be missing or undecodable"""
    timeout: NotBelow0 = 60.0
    """seconds after which a video counts as undecodable, 0 is none; needs data.workers, as surviving a crash does"""


class Placed(Section):
    op: str
    """an operator of `vidops list ops`"""
    at: str | Annotated[list[str], Field(min_length=1)] = "all"
    """all, a stage (res3), a block (res3.1), a name of model.places, or a list of them"""
    slot: str | None = None
    """a slot of the network, where it is not the operator's own"""
    options: dict[str, Any] = {}
    """of the operator: see `vidops show OPERATOR`"""


def named(at: str | list[str], places: dict[str, str | list[str]]) -> str | list[str]:
    """`at` with names of model.places put out; a list of one place stays a list."""
    if isinstance(at, str):
        return places.get(at, at)
    told = [places.get(name, name) for name in at]
    return [place for one in told for place in ([one] if isinstance(one, str) else one)]


class Model(Section):
    name: str
    """a network of `vidops list models`"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """before the classifier"""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """stochastic depth: probability of leaving the last block's residual branch out; the first's is 0; 0 is off"""
    fresh_blocks: bool = False
    """of a ResNet's blocks with an operator for conv2: start as the identity, and take nothing of model.weights"""
    width: Above0 = 1.0
    """times the channels of the network, rounded to what it can have"""
    skeleton: Name | None = None
    """of the persons in the data, where the network sees joints: openpose18, ntu25, stick9; null: the network's own"""
    inflate: bool = False
    """give k x k convolutions a width in time: 3, the stem's 5"""
    places: dict[Name, str | Annotated[list[str], Field(min_length=1)]] = {}
    """names for places of this network, for `at` in the rows of a table"""
    ops: list[Placed] = []
    """operators put into the network's slots"""
    weights: Name | dict[Name, Name] = {}
    """the checkpoint that it starts from, or those of its parts, as in rgb: runs/rgb/last.pt"""

    def files(self) -> dict[str, str]:
        """Part of the network -> the checkpoint that it starts from; the part "" is all of it."""
        return {"": self.weights} if isinstance(self.weights, str) else dict(self.weights)


class Group(Section):
    of: Annotated[list[Name], Field(min_length=1)] = ["*"]
    """names of weights, as in [fc.weight] or ["blocks.*"]; a weight is of the first group that names it"""
    kind: Literal["all", "bias", "norm"] = "all"
    """which of those: biases that are not of norms, or all of norms"""
    lr: NotBelow0 = 1.0
    """times the rate of the others"""
    weight_decay: NotBelow0 = 1.0
    """times the decay that they would have"""


class Optimizer(Section):
    name: Literal["sgd", "adamw"] = "sgd"
    """which optimizer"""
    lr: Above0
    """peak learning rate"""
    weight_decay: NotBelow0 = 0.0
    """of weights with two or more axes"""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """of sgd"""
    nesterov: bool = True
    """of sgd"""
    decay_norm_bias: bool = False
    """decay norms and biases too"""
    groups: list[Group] = []
    """weights with a rate or decay of their own"""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """times the rate, once for each block from a weight to the head, the weight's own counted; 1 is off"""


class Schedule(Section):
    name: Literal["cosine", "constant", "step"] = "cosine"
    """what follows the warm-up"""
    warmup: Share = 0.0
    """share of the steps over which the rate rises"""
    start: Share = 0.0
    """share of the peak that it rises from"""
    final: Share = 0.0
    """share of the peak that a cosine ends at"""
    at: list[Count] = []
    """of step: epochs after which the rate falls"""
    by: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """of step: times what it was"""
    per: Literal["step", "epoch"] = "step"
    """how often the rate changes; by epochs it has at once what it would come to at the end of each"""


class Train(Section):
    epochs: Count
    """passes over the train split"""
    batch: Count
    """clips of a step"""
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    accumulate: Count = 1
    """parts that a batch goes through the network in, one after the other; the step is of all of it"""
    clip_norm: Above0 | None = None
    """largest norm of the gradient"""
    label_smoothing: Share = 0.0
    """of the training loss"""
    mixup: NotBelow0 = 0.0
    """alpha: training clips are sums of two, their losses too; 0 is off"""
    cutmix: NotBelow0 = 0.0
    """alpha: training clips have a box of another; with mixup too a batch is of either kind"""
    frozen: list[Name] = []
    """parts of the network whose weights are not trained, as in [rgb]; their batch norms count on"""
    gate_weight: NotBelow0 = 0.0
    """lambda of IntegralAction: how hard the training loss pushes its gate towards the pose"""
    batch_norm: Literal["train", "sync", "partial", "frozen"] = "train"
    """whose statistics and weights are trained: all; all, over processes; the first's (TSN's partial BN); none"""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """decay of a running mean of the weights over steps, which is what is tested; 0 is off"""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """by autocast; float16 with a scaled loss"""
    activation_checkpointing: bool = False
    """run residual blocks once more in the backward pass: less memory, more time, the same result"""
    compile: bool = False
    """by torch.compile, block by block: a start of minutes, and other rounding"""
    recalibrate_bn: CountFrom0 = 0
    """training batches that renew batch-norm statistics after each epoch"""
    checkpoint: Literal["best", "last"] = "last"
    """which weights are tested; best is by val top1"""
    save_every: Count | None = None
    """steps between checkpoints inside an epoch; not told: one after each ten minutes"""
    threads: Count | None = None
    """threads of torch on a CPU; pinned, equal seeds give equal bits"""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """of weights, order and augmentation"""


class Eval(Section):
    split: Literal["train", "val", "test"] = "test"
    """the split that is tested"""
    batch: Count = 64
    """clips, or views of them, at a time"""
    clips: Count = 1
    """of a video, evenly spread over it, in the last test; while a network trains it is one"""
    crops: Literal[1, 3] = 1
    """of a clip: from the middle, or from both ends of the longer side too"""
    crop: Count | None = None
    """square that is cut out in the last test, where it is not data.crop; at most data.resize"""
    average: Literal["softmax", "logits"] = "softmax"
    """what is averaged over the views of a video"""


class Episodes(Section):
    ways: Annotated[int, Field(ge=2)] = 5
    """classes of an episode"""
    shots: Count = 1
    """images of each that are told"""
    queries: Count = 15
    """images of each that are to be told apart"""
    weight: NotBelow0 = 0.25
    """of the loss of an episode beside that of classification"""
    eval: Count = 2000
    """fixed episodes that a split is tested on"""


class Source(Section):
    source: Name
    """where it is told: a file of the released code, a log, a page"""
    tier: Tier
    """what that is; memory: nowhere that could be looked up"""


class PaperValue(Source):
    value: float
    """as the paper prints it: % of top1 and the like, millions of params_m, 1e9 of gflops"""


PaperValues = dict[Literal["top1", "top5", "mean_class", "params_m", "gflops"], PaperValue]


class Row(Section):
    name: Name
    """what the table calls it"""
    kind: Literal["train", "eval", "profile"] = "train"
    """eval: another row's weights, tested otherwise; profile: what the network costs, without data or training"""
    of: str | None = None
    """of an eval row: the row whose weights it tests"""
    weights: dict[Name, str] = {}
    """rows above, trained with the same seed, from whose weights parts of the network start, as in rgb: RGB only"""
    control_of: str | None = None
    """the row for which this one is a control of equal MACs"""
    set: dict[str, Any] = {}
    """dotted keys and their values, as in model.ops: [{op: tsm}]"""
    paper: PaperValues = {}
    """what the paper prints for this very row"""

    @property
    def takes(self) -> list[str]:
        """Names of the rows whose weights it needs."""
        return [*([] if self.of is None else [self.of]), *self.weights.values()]


class Quoted(Section):
    name: Name
    """a line of the paper's table that is not built here"""
    paper: PaperValues
    """what the paper prints for it"""


class Claim(Section):
    claim: Name
    """what the paper says, in a sentence"""
    metric: Metric | Cost = "top1"
    """that is compared: an accuracy, or a cost"""
    better: str
    """the row that is said to be ahead"""
    worse: str
    """of this row"""
    least: float = 0.0
    """smallest effect, in points, that bears the claim; below 0: the loss that is allowed"""
    most: float | None = None
    """of a cost: by how many percent the better row may lie above the worse; below 0: so much below it"""


class Ablation(Section):
    metric: Metric = "top1"
    """what the table compares"""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """one run of each row for each"""
    rates: list[Above0] = []
    """learning rates, as multiples of a row's own, at which the rows of claims are run again"""
    reference: str | None = None
    """the row that others are compared with; the first, unless told"""
    listed: Source | None = None
    """where the paper's list of rows is known from"""
    rows: Annotated[list[Row], Field(min_length=1)]
    quoted: list[Quoted] = []
    """lines of the paper that stand beside ours"""
    claims: list[Claim] = []
    """judged by `vidops ablate --claims`"""

    @property
    def compared_with(self) -> str:
        return self.reference or self.rows[0].name

    @property
    def run_again(self) -> set[str]:
        """Names of the rows that `rates` are for: those of claims on accuracy, and those whose weights they take."""
        named = {name for claim in self.claims if claim.metric not in COSTS for name in (claim.better, claim.worse)}
        found: set[str] = set()
        for row in reversed(sorted(self.rows, key=lambda row: row.kind == "eval")):  # a row's weights stand above it
            if row.kind != "profile" and row.name in named | found:
                found |= {row.name, *row.takes}
        return found


class Recipe(Section):
    title: str = ""
    """heading of the table"""
    claim: str = ""
    """what the table is to show"""
    paper: str = ""
    """the paper it comes from"""
    convention: Literal["macs", "flops", "motionsqueeze"] | None = None
    """how its paper counts what it prints as FLOPs: multiply-adds, 2 of them + all else, or MotionSqueeze's mixture"""
    scale: Literal["full", "mini", "smoke"] = "full"
    """mini: smaller than the paper's data or schedule; smoke: one epoch, to see that it runs"""
    data: Data
    model: Model
    train: Train
    eval: Eval = Eval()
    episodes: Episodes | None = None
    """few-shot classification: an episode beside each batch, and tests on classes that training never sees"""
    mini: dict[Literal["data", "model", "train", "eval", "episodes"], dict[str, Any]] | None = None
    """what --mini changes: data, width and depth of the network, schedule; never operators or rows"""
    ablation: Ablation | None = None
    """a table: the recipe changed row by row"""

    @property
    def rates(self) -> list[float]:
        """Those of its ablation; a smoke is of one learning rate."""
        return [] if self.ablation is None or self.scale == "smoke" else self.ablation.rates

    def identity(self) -> dict[str, Any]:
        """What decides a run's result: no title, no folder, no number of workers, no time-out."""
        told = self.model_dump(mode="json", exclude={"title", "claim", "paper", "convention", "mini", "ablation"})
        for key in ("root", "workers", "classes", "timeout", "links"):
            told["data"].pop(key)
        told["model"].pop("places")  # `at` says them
        if told["data"]["cache"] == "disk":
            told["data"]["cache"] = "memory"  # the same frames
        for key in ("save_every", "activation_checkpointing"):
            told["train"].pop(key)
        later = {
            "model": {
                "inflate": False,
                "width": 1.0,
                "weights": {},
                "skeleton": None,
                "drop_path": 0.0,
                "fresh_blocks": False,
            },
            "data": {
                "generated": None,
                "corruption": None,
                "sampling": "segments",
                "stride": None,
                "flip_keep": [],
                "flip_swap": [],
                "augment": None,
            },
            "train": {
                **{"gate_weight": 0.0, "frozen": [], "mixup": 0.0, "cutmix": 0.0},
                **{"accumulate": 1, "batch_norm": "train", "ema": 0.0, "compile": False},
            },
            "eval": {"clips": 1, "crops": 1, "crop": None, "average": "softmax"},
        }
        inner = {
            "optimizer": {"groups": [], "layer_decay": 1.0},
            "schedule": {"start": 0.0, "at": [], "by": 0.1, "per": "step"},
        }
        for section, absent in inner.items():
            given = told["train"][section]
            told["train"][section] = {key: value for key, value in given.items() if absent.get(key, ...) != value}
        if self.eval.crop == self.data.crop:
            told["eval"]["crop"] = None  # the same
        if self.eval.clips == self.eval.crops == 1:
            told["eval"]["average"] = "softmax"  # of one it is the same
        if self.data.augment == Augment():
            told["data"]["augment"] = None
        for section, absent in later.items():  # as if they were not there: recipes older than a key keep their hash
            told[section] = {key: value for key, value in told[section].items() if absent.get(key, ...) != value}
        if self.episodes is None:
            told.pop("episodes")
        return told

    def parts(self) -> dict[str, str]:
        """data.splits, and the train set of this seed where each seed has its own."""
        own = {"train": f"train-{self.train.seed}"} if self.data.generated else {}
        return {**own, **self.data.splits}

    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]


def keys() -> Iterator[tuple[str, str, str, str]]:
    """(dotted key, type, default, meaning) of every key; N stands for an entry of a list."""
    schema = Recipe.model_json_schema()
    yield "base", "word", "-", "another recipe, which this one changes"
    yield from _walk(schema, schema["$defs"], "")


def _walk(section: dict[str, Any], defs: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for key, told in section["properties"].items():
        inner, list_of = _inner(told)
        if inner:
            if told.get("default", ...) is None:  # off unless it is told: its keys' defaults hold from then on
                yield prefix + key, "keys below, or null", "null", told.get("description", "")
            yield from _walk(defs[inner], defs, f"{prefix}{key}." + ("N." if list_of else ""))
            continue
        default = "required" if key in section.get("required", ()) else json.dumps(told.get("default"))
        yield prefix + key, _kind(told), default, told.get("description", "")


def _inner(told: dict[str, Any]) -> tuple[str | None, bool]:
    """The section a key holds, and whether it holds a list of them."""
    for part in (told, told.get("items", {}), *told.get("anyOf", ())):
        if "$ref" in part:
            return part["$ref"].rpartition("/")[2], part is told.get("items")
    return None, False


def _kind(told: dict[str, Any]) -> str:
    if "anyOf" in told:
        return " or ".join(_kind(part) for part in told["anyOf"])
    if "enum" in told:
        return " | ".join(map(str, told["enum"]))
    words = {"string": "word", "boolean": "true or false", "object": "keys and values", "null": "null"}
    name = str(words.get(told["type"], told["type"]))
    if name == "array":
        return f"list of {_kind(told['items'])}"
    bounds = {"minimum": ">= ", "exclusiveMinimum": "> ", "maximum": "<= ", "exclusiveMaximum": "< "}
    limits = [sign + str(told[key]) for key, sign in bounds.items() if key in told and abs(told[key]) < 1e9]
    return name + (f" {', '.join(limits)}" if limits else "")
