"""Networks with holes for operators. This page is their index and imports no torch."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidops_cli.ops import Card

SLOTS = {
    "block_input": "at the input of a block's residual branch",
    "conv2": "instead of a block's second convolution",
    "after_conv2": "after a block's second convolution, its norm and its ReLU",
    "block_output": "at the end of a block's residual branch, before the sum",
    "after_stage": "after a stage of blocks",
    "mixer": "the token mixer of a transformer block",
    "few_shot_head": "from maps of support and query images to class scores",
    "two_stream": "from the features of an RGB and a pose stream to one",
    "pose_input": "from joints to the first map of a pose stream",
}
OTHER_INPUTS = ("few_shot_head", "two_stream", "pose_input")  # slots that do not take one map to a map of its size


@dataclass(frozen=True)
class Network:
    """One network, and the places an operator can take: res2 is its first stage, res2.0 the first block of that."""

    name: str
    title: str
    paper: str
    builder: str  # module:class, below vidops_cli.models
    arguments: Mapping[str, Any]
    slots: Mapping[str, tuple[str, ...]]  # slot -> its places
    strided: tuple[str, ...] = ()  # blocks that halve the map in conv2: what stands there must take a stride
    inflates: bool = False  # has a form with kernels in time

    def places(self, slot: str) -> list[str]:
        """Names of all places of a slot; ValueError if the network has no such slot."""
        if slot not in self.slots:
            raise ValueError(f"{self.name} has no slot {slot!r}", f"its slots: {', '.join(self.slots)}")
        return list(self.slots[slot])

    def select(self, slot: str, at: str | list[str]) -> list[str]:
        """Places of `slot` that `at` names: "all", a stage, a block, or a list of these. ValueError on any other."""
        places = self.places(slot)
        chosen: list[str] = []
        for name in [at] if isinstance(at, str) else at:
            found = [place for place in places if name in ("all", place, place.split(".")[0])]
            if not found:
                raise ValueError(
                    f"no place {name!r} for slot {slot} in {self.name}", f"its places: {', '.join(places)}"
                )
            chosen += [place for place in found if place not in chosen]
        return chosen

    def select_for(self, card: Card, slot: str | None, at: str | list[str]) -> list[str]:
        """`select`, in the operator's own slot unless another is told. ValueError where it cannot stand."""
        slot = slot or card.slot
        chosen = self.select(slot, at)
        one_map = [told.shape for told in card.inputs] == ["B C T H W"]
        if slot != card.slot and (slot in OTHER_INPUTS or card.slot in OTHER_INPUTS or not one_map):
            raise ValueError(f"slot {slot} has other inputs than {card.name} takes", f"its own slot: {card.slot}")
        strided = [place for place in chosen if slot == "conv2" and place in self.strided]
        if strided and "stride" not in card.options:
            rest = [place for place in chosen if place not in strided] or [
                place for place in self.places(slot) if place not in self.strided
            ]
            raise ValueError(
                f"conv2 of {self.name} halves the map at {', '.join(strided)}, for which {card.name} has no stride",
                f"at: [{', '.join(rest)}]",
            )
        return chosen

    @staticmethod
    def take(taken: dict[tuple[str, str], str], slot: str, place: str, name: str) -> None:
        """Note that an operator stands in a place; ValueError if another stands there."""
        if (slot, place) in taken:
            told = f"{taken[slot, place]} and {name} both stand at {place} of slot {slot}"
            raise ValueError(told, "give each a place of its own with `at:`")
        taken[slot, place] = name

    def build(
        self, *, classes: int, ops: list[dict[str, Any]] | None = None, dropout: float = 0.0, inflate: bool = False
    ):
        """The network with operators in place; `ops` are mappings of op, at, slot and options. Imports torch."""
        from vidops_cli.ops import OPS

        if inflate and not self.inflates:
            able = ", ".join(name for name, network in MODELS.items() if network.inflates)
            raise ValueError(f"{self.name} has no inflated form", f"networks: {able}")
        module, _, cls = self.builder.partition(":")
        given = {**self.arguments, "classes": classes, "dropout": dropout, **({"inflate": True} if inflate else {})}
        network = getattr(importlib.import_module(f"vidops_cli.models.{module}"), cls)(**given)
        holes = network.places()
        taken: dict[tuple[str, str], str] = {}
        for spec in ops or []:
            if spec["op"] not in OPS:
                raise ValueError(f"unknown operator {spec['op']!r}", f"operators: {', '.join(OPS)}")
            card = OPS[spec["op"]]
            slot = spec.get("slot") or card.slot
            for place in self.select_for(card, slot, spec.get("at", "all")):
                self.take(taken, slot, place, card.name)
                parent, attribute, channels = holes[slot][place]
                options = dict(spec.get("options", {}))
                if unknown := set(options) - set(card.options):
                    raise ValueError(f"{card.name} has no option {min(unknown)!r}", f"see `vidops show {card.name}`")
                if "out_channels" in inspect.signature(card.load()).parameters:
                    options["out_channels"] = channels  # a slot keeps them, whatever the options would give
                if slot == "conv2" and place in self.strided:
                    options["stride"] = 2
                try:
                    op = card.load()(channels, **options)
                except ValueError as error:
                    hint = error.args[1] if len(error.args) > 1 else f"see `vidops show {card.name}`"
                    raise ValueError(f"{card.name} at {place}: {error.args[0]}", hint) from None
                setattr(parent, attribute, op)
        return network


def _resnet(
    name: str,
    title: str,
    *,
    block: str,
    blocks: tuple[int, ...],
    widths: tuple[int, ...] = (64, 128, 256, 512),
    stem: str = "imagenet",
    note: str = "",
) -> Network:
    stages = tuple(f"res{i + 2}" for i in range(len(blocks)))
    inside = tuple(f"{stage}.{j}" for stage, depth in zip(stages, blocks, strict=True) for j in range(depth))
    slots = ["block_input", "conv2", *(["after_conv2"] if block == "bottleneck" else []), "block_output"]
    return Network(
        name=name,
        title=title,
        paper=f"He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385{note}",
        builder="resnet:ResNet",
        arguments={"block": block, "blocks": blocks, "widths": widths, "stem": stem},
        slots={**dict.fromkeys(slots, inside), "after_stage": stages},
        strided=tuple(f"{stage}.0" for stage in stages[1:]) if block == "bottleneck" else (),
        inflates=True,
    )


def _vit(name: str, title: str, *, note: str, patch: int, channels: int, blocks: int, heads: int) -> Network:
    return Network(
        name=name,
        title=title,
        paper=f"Dosovitskiy et al., An Image is Worth 16x16 Words, arXiv 2010.11929 ({note})",
        builder="vit:ViT",
        arguments={"patch": patch, "channels": channels, "blocks": blocks, "heads": heads},
        slots={"mixer": tuple(f"block{i}" for i in range(blocks))},
    )


MODELS: dict[str, Network] = {
    network.name: network
    for network in (
        _resnet(
            "resnet_tiny",
            "ResNet of three stages for clips of 24 to 64 pixels",
            block="basic",
            blocks=(1, 1, 1),
            widths=(16, 32, 64),
            stem="small",
            note=" (made small)",
        ),
        _resnet(
            "bottleneck_tiny",
            "ResNet of bottlenecks, three stages, for clips of 24 to 64 pixels",
            block="bottleneck",
            blocks=(2, 2, 2),
            widths=(16, 32, 64),
            stem="small",
            note=" (made small)",
        ),
        _resnet("resnet18", "ResNet-18", block="basic", blocks=(2, 2, 2, 2)),
        _resnet("resnet34", "ResNet-34", block="basic", blocks=(3, 4, 6, 3)),
        _resnet("resnet50", "ResNet-50", block="bottleneck", blocks=(3, 4, 6, 3)),
        _resnet("resnet101", "ResNet-101", block="bottleneck", blocks=(3, 4, 23, 3)),
        Network(
            name="resnet12",
            title="ResNet-12, of few-shot classification",
            paper="Kang et al., Relational Embedding for Few-Shot Classification, arXiv 2108.09666",
            builder="resnet12:ResNet12",
            arguments={},
            slots={"after_stage": ("res2", "res3", "res4", "res5")},
        ),
        _vit(
            "vit_mini",
            "Vision transformer for clips of 24 to 64 pixels, attention over space and time",
            note="made small",
            patch=4,
            channels=64,
            blocks=4,
            heads=4,
        ),
        _vit(
            "vit_tiny",
            "ViT of DeiT-Ti's size, attention over space and time",
            note="sizes of DeiT-Ti, arXiv 2012.12877",
            patch=16,
            channels=192,
            blocks=12,
            heads=3,
        ),
    )
}


__all__ = ["MODELS", "SLOTS", "Network"]
