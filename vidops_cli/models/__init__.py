"""Networks with holes for operators. This page is their index and imports no torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Network:
    """One network, and the places an operator can take: res2 is its first stage, res2.0 the first block of that."""

    name: str
    title: str
    paper: str
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    stem: str

    def places(self, slot: str) -> list[str]:
        """Names of all places of a slot; ValueError if the network has no such slot."""
        if slot not in SLOTS:
            raise ValueError(f"{self.name} has no slot {slot!r}", f"its slots: {', '.join(SLOTS)}")
        if slot == "after_stage":
            return [f"res{i + 2}" for i in range(len(self.blocks))]
        return [f"res{i + 2}.{j}" for i, depth in enumerate(self.blocks) for j in range(depth)]

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

    def build(self, *, classes: int, ops: list[dict[str, Any]] | None = None, dropout: float = 0.0):
        """The network with operators in place; `ops` are mappings of op, at, slot and options. Imports torch."""
        from vidops_cli.ops import OPS

        module = importlib.import_module("vidops_cli.models.resnet")
        network = module.ResNet(
            classes=classes, widths=self.widths, blocks=self.blocks, stem=self.stem, dropout=dropout
        )
        holes = network.places()
        for spec in ops or []:
            card = OPS[spec["op"]]
            slot = spec.get("slot") or card.slot
            for place in self.select(slot, spec.get("at", "all")):
                parent, attribute, channels = holes[slot][place]
                try:
                    op = card.load()(channels, **spec.get("options", {}))
                except ValueError as error:
                    hint = f"see `vidops show {card.name}`"
                    raise ValueError(f"{card.name} at {place}: {error.args[0]}", hint) from None
                setattr(parent, attribute, op)
        return network


MODELS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            name="resnet_tiny",
            title="ResNet of three stages for clips of 24 to 64 pixels",
            paper="He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385 (made small)",
            widths=(16, 32, 64),
            blocks=(1, 1, 1),
            stem="small",
        ),
        Network(
            name="resnet18",
            title="ResNet-18",
            paper="He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385",
            widths=(64, 128, 256, 512),
            blocks=(2, 2, 2, 2),
            stem="imagenet",
        ),
    )
}

__all__ = ["MODELS", "SLOTS", "Network"]
