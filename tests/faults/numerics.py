"""Numbers at their edges: what each operator and network gives, and its gradients, of inputs that are zero, constant,
vanishing or huge, in each precision; whether NaN is handed on; and whether equal seeds give equal bits.

Options are those of tests/ops/test_contract.py, tried in training and in evaluation, on clips and on single pixels.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.models import MODELS
from vidops_cli.ops import OPS, Card

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("ops", "models")]
from test_contract import awaken, example, make, variants, with_gradients
from test_networks import FRAMES, LEAST, RUN

Options = dict[str, Any]
SCALES = (1.0, 2.0**-8, 2.0**-16)  # of a loss, as a gradient scaler would find them


@dataclass(frozen=True)
class Precision:
    """How an operator runs, and which of its numbers are large and vanishing: denormal ones."""

    dtype: torch.dtype
    autocast: torch.dtype | None = None
    large: float = 1e4
    vanishing: float = 1e-40

    @property
    def narrow(self) -> bool:
        """float16: a batch norm over a constant map makes gradients 316 times larger, which it holds once."""
        return torch.float16 in (self.dtype, self.autocast)

    def kinds(self) -> dict[str, Callable[[Tensor], Tensor]]:
        return {
            "zeros": torch.zeros_like,
            "ones": torch.ones_like,
            "minus ones": lambda x: -torch.ones_like(x),
            "large": lambda x: self.large * x,
            "denormal": lambda x: self.vanishing * x,
        }


PRECISIONS = {
    "float32": Precision(torch.float32),
    "bfloat16": Precision(torch.bfloat16),
    "float16": Precision(torch.float16, large=10, vanishing=1e-6),
    "bfloat16 autocast": Precision(torch.float32, torch.bfloat16),
    "float16 autocast": Precision(torch.float32, torch.float16, large=10),
}


def some(card: Card, most: int) -> list[Options]:
    """Options of an operator, the defaults first, spread over all: LiSA's are many, each with each other."""
    found = variants(card)
    return found[:: -(-len(found) // most)]


def changed(card: Card, inputs: Iterable[Tensor], change: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Scores of joints stay what they are: from 0 to 1."""
    return [x if told.values == "score" else change(x) for x, told in zip(inputs, card.inputs, strict=True)]


def not_finite(module: nn.Module, inputs: Iterable[Tensor], precision: Precision = PRECISIONS["float32"]) -> list[str]:
    """Names of outputs and gradients that are not finite, or the function that anomaly detection names."""
    module = module.to(precision.dtype)
    inputs = [x.to(precision.dtype) for x in inputs]
    cast = contextlib.nullcontext()
    if precision.autocast:
        cast = torch.autocast("cpu", precision.autocast)
    told: list[str] = []
    for scale in SCALES if precision.narrow else SCALES[:1]:
        try:
            with torch.autograd.set_detect_anomaly(True), cast:
                found = with_gradients(lambda *x, by=scale: Scaled.apply(module(*x), by), inputs, module)
        except RuntimeError as error:
            told = [str(error).splitlines()[0]]
            if "nan values" not in told[0]:
                raise
            continue
        told = [name for name, value in found.items() if not value.isfinite().all()]
        if not told:
            break
    return told


class Scaled(torch.autograd.Function):
    """The same, and its gradient times a number."""

    @staticmethod
    def forward(ctx, y, by):
        ctx.by = by
        return y.clone()

    @staticmethod
    def backward(ctx, grad):
        return ctx.by * grad, None


def at_once(card: Card, precision: Precision, batch: int = 5) -> list[Tensor]:
    """Inputs of which each item is of another kind, for operators in evaluation, which treat items apart."""
    kinds = list(precision.kinds().values())

    def mixed(x: Tensor) -> Tensor:
        return torch.stack([kinds[i % len(kinds)](item) for i, item in enumerate(x)])

    return changed(card, example(card, batch=batch), mixed)


def same_bits(card: Card, options: Options, device: str = "cpu") -> bool:
    """Whether two operators of one seed give the same outputs and gradients, in deterministic mode."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            op = make(card, **options)
            awaken(op)
            op = op.to(device)
            runs.append(with_gradients(op, [x.to(device) for x in example(card)], op))
    finally:
        torch.use_deterministic_algorithms(before)
    return all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def hands_on_nan(card: Card, options: Options) -> bool:
    """Whether one NaN in any of its features shows in its output. A frame that a shift drops is not the one."""
    for i, told in enumerate(card.inputs):
        if told.values != "feature":
            continue
        op, inputs = make(card, **options).eval(), [x.clone() for x in example(card)]
        inputs[i][(0, *(size // 2 for size in inputs[i].shape[1:]))] = torch.nan
        if not op(*inputs).isnan().any():
            return False
    return True


def network_inputs(name: str, change: Callable[[Tensor], Tensor], batch: int, size: int) -> list[Tensor]:
    """What a network takes, of clips as short as can be, changed; the person that stands anywhere is not."""
    network, generator = MODELS[name], torch.Generator().manual_seed(1)
    clip = torch.randn(batch, 3, FRAMES.get(name, 1 if network.episodes else 2), size, size, generator=generator)
    person = (batch, clip.shape[2], 1, network.joints)
    joints = {"clip": change(clip), "coords": torch.rand(*person, 2, generator=generator) * size}
    joints["scores"] = torch.ones(person)
    return [joints[key] for key in network.inputs]


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[name].build(classes=5)


class Tally:
    """A row in the making: what was lost is named, not just counted."""

    def __init__(self, kind: str, what: str):
        self.kind, self.what, self.began = f"numerics: {kind}", what, time.perf_counter()
        self.tries, self.lost = 0, []

    def count(self, name: str, told: object) -> None:
        """`told` is what went wrong, if anything."""
        self.tries += 1
        if told:
            self.lost.append(f"{name}: {told}")

    def row(self) -> dict[str, Any]:
        what = self.what + "".join(f"; {told}" for told in self.lost[:5])
        seconds = round(time.perf_counter() - self.began, 1)
        lost = len(self.lost)
        return {
            "kind": self.kind,
            "tries": self.tries,
            "survived": self.tries - lost,
            "lost": lost,
            "seconds": seconds,
            "what": what,
        }


def rows(most: int = 12) -> Iterator[dict[str, Any]]:
    """Every operator with so many of its options, and the networks."""
    every = [(card, options) for card in OPS.values() for options in some(card, most)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anomaly detection tells where a gradient came from
        for name in PRECISIONS:
            yield edges(name, every)
        yield widths()
        for threads in (1, 2):
            yield repeats(every, threads)
        if torch.cuda.is_available():
            yield repeats(every, 1, "cuda")
        tally = Tally("NaN", "operators given one NaN; survived: it shows in the output")
        for card, options in every:
            tally.count(f"{card.name} {options}", not hands_on_nan(card, options) and "hidden")
        yield tally.row()
        yield networks()


def edges(precision: str, every: list[tuple[Card, Options]]) -> dict[str, Any]:
    chosen = PRECISIONS[precision]
    amounts = f"{chosen.large:g} and {chosen.vanishing:g} times noise"
    told = f"operators given zeros, constants, {amounts}, under anomaly detection"
    scaled = " of a scaled loss" if chosen.narrow else ""
    tally = Tally(precision, f"{told}; survived: outputs and gradients{scaled} are finite")
    for card, options in every:
        for kind, change in chosen.kinds().items():
            for training in (True, False):
                for batch, frames, grid in ((2, 3, (4, 5)), (1, 2, (1, 1))):
                    if training and grid == (1, 1) and (chosen.narrow or card.name == "cca"):
                        continue  # batch norms of one number, which torch refuses, or of two that are equal, see narrow
                    frames = min(frames, card.max_frames or frames)
                    op = make(card, **options).train(training)
                    awaken(op)
                    inputs = changed(card, example(card, frames, batch, grid), change)
                    name = f"{card.name} {options} {kind} on {grid}, {'training' if training else 'evaluation'}"
                    tally.count(name, not_finite(op, inputs, chosen))
    return tally.row()


def widths() -> dict[str, Any]:
    tally = Tally("widths", "operators as wide as in their papers, in half precision; survived: all is finite")
    for card in OPS.values():
        for name in ("bfloat16", "float16"):
            torch.manual_seed(0)
            op, channels = card.load()(card.layer[0]).eval(), card.layer[0]
            frames = min(2, card.max_frames or 2)
            inputs = card.example(1, channels, (frames, 5, 5), torch.Generator().manual_seed(1))
            inputs = changed(card, inputs, PRECISIONS[name].kinds()["large"])
            tally.count(f"{card.name} {name}", not_finite(op, inputs, PRECISIONS[name]))
    return tally.row()


def repeats(every: list[tuple[Card, Options]], threads: int, device: str = "cpu") -> dict[str, Any]:
    what = f"operators made and run twice on {device} with {threads} threads, deterministic algorithms"
    tally = Tally(f"same bits, {device}, {threads}", f"{what}; survived: outputs and gradients have the same bits")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    for card, options in every:
        try:
            told = "" if same_bits(card, options, device) else "other bits"
        except RuntimeError as error:
            told = str(error).splitlines()[0]
        tally.count(f"{card.name} {options}", told)
    torch.set_num_threads(before)
    return tally.row()


def networks() -> dict[str, Any]:
    tally = Tally("networks", "small networks given zeros and constants, also one clip; survived: all is finite")
    kinds = PRECISIONS["float32"].kinds()
    for name in RUN:
        for kind in ("zeros", "ones", "minus ones"):
            for batch in (1, 2):
                for training in (True, False):
                    network = built(name).train(training)
                    inputs = network_inputs(name, kinds[kind], batch, max(32, LEAST.get(name, 32)))
                    told = not_finite(network, inputs)
                    tally.count(f"{name} {kind}, {batch} clips, {'training' if training else 'evaluation'}", told)
    return tally.row()
