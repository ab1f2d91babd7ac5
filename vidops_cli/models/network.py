"""A network with holes for operators: its places, and how it is built. Imports no torch until it is."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    "after_mixer": "after a transformer block's token mixer and its sum",
    "few_shot_head": "from maps of support and query images to class scores",
    "two_stream": "from the features of an RGB and a pose stream to one",
    "pose_input": "from joints to the first map of a pose stream",
}
JOINTS = {"openpose18": 18, "ntu25": 25, "stick9": 9}  # of a person, by the skeletons of ops/pose_maps.py
OTHER_INPUTS = ("few_shot_head", "two_stream", "pose_input")  # slots that do not take one map to a map of its size


@dataclass(frozen=True)
class Network:
    """One network, and the places an operator can take: res2 is its first stage, res2.0 the first block of that.

    Of several streams rgb is one, rgb.res2 its first stage. `inputs` are what of a batch it takes, in this order.
    """

    name: str
    title: str
    paper: str
    builder: str  # module:class, below vidops_cli.models
    arguments: Mapping[str, Any]
    slots: Mapping[str, tuple[str, ...]]  # slot -> its places
    strided: tuple[str, ...] = ()  # blocks that halve the map in conv2: what stands there must take a stride
    inflates: bool = False  # has a form with kernels in time
    episodes: bool = False  # scores classes that are told by a few images
    inputs: tuple[str, ...] = ("clip",)
    skeleton: str = ""  # of the persons, where the network takes poses

    @property
    def joints(self) -> int:
        """Of a person."""
        return JOINTS[self.skeleton] if self.skeleton else 0

    def drawing(self, skeleton: str | None) -> Network:
        """The network for persons of another skeleton; None: its own. ValueError, with a hint, where it can not be."""
        if skeleton is None:
            return self
        if not self.skeleton:
            raise ValueError(f"{self.name} sees no joints", "leave model.skeleton out")
        if skeleton not in JOINTS:
            raise ValueError(f"unknown skeleton {skeleton!r}", f"skeletons: {', '.join(JOINTS)}")
        given, told = dict(self.arguments), {"skeleton": skeleton}
        given |= {"pose": {**given["pose"], **told}} if "pose" in given else told
        return replace(self, arguments=given, skeleton=skeleton)

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
            found = [place for place in places if name == "all" or f"{place}.".startswith(f"{name}.")]
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

    def occupied(self, ops: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Slot and place -> the operator there and all of its options, for `ops` as `build` takes them.

        ValueError on an operator or a place that is not known.
        """
        from vidops_cli.ops import OPS

        found = {}
        for spec in ops:
            if spec["op"] not in OPS:
                raise ValueError(f"unknown operator {spec['op']!r}", f"operators: {', '.join(OPS)}")
            card = OPS[spec["op"]]
            for place in self.select_for(card, spec.get("slot"), spec.get("at", "all")):
                found[f"{spec.get('slot') or card.slot} {place}"] = {
                    "op": card.name,
                    **card.defaults,
                    **spec.get("options", {}),
                }
        return found

    @staticmethod
    def take(taken: dict[tuple[str, str], str], slot: str, place: str, name: str) -> None:
        """Note that an operator stands in a place; ValueError if another stands there."""
        if (slot, place) in taken:
            told = f"{taken[slot, place]} and {name} both stand at {place} of slot {slot}"
            raise ValueError(told, "give each a place of its own with `at:`")
        taken[slot, place] = name

    def widened(self, width: float) -> dict[str, Any]:
        """Its arguments with channels times `width`: of ResNets in multiples of 4, of transformers of 16."""
        given = dict(self.arguments)
        if width != 1 and not {"widths", "channels"} & set(given):
            raise ValueError(f"{self.name} has one width", "leave model.width out")
        if width != 1 and "widths" in given:
            given["widths"] = tuple(max(4, 4 * round(channels * width / 4)) for channels in given["widths"])
        elif width != 1:
            given["channels"] = max(16, 16 * round(given["channels"] * width / 16))
        return given

    def build(
        self,
        *,
        classes: int,
        ops: list[dict[str, Any]] | None = None,
        dropout: float = 0.0,
        inflate: bool = False,
        width: float = 1.0,
        drop_path: float = 0.0,
        fresh_blocks: bool = False,
    ):
        """The network with operators in place; `ops` are mappings of op, at, slot and options. Imports torch."""
        from vidops_cli.ops import OPS

        from .fresh import renew
        from .stochastic_depth import deepen

        if fresh_blocks:
            self.places("conv2")
        if inflate and not self.inflates:
            from . import MODELS

            able = ", ".join(name for name, network in MODELS.items() if network.inflates)
            raise ValueError(f"{self.name} has no inflated form", f"networks: {able}")
        module, _, cls = self.builder.partition(":")
        given = {
            **self.widened(width),
            "classes": classes,
            "dropout": dropout,
            **({"inflate": True} if inflate else {}),
        }
        network = getattr(importlib.import_module(f"vidops_cli.models.{module}"), cls)(**given)
        holes = network.places()
        taken: dict[tuple[str, str], str] = {}
        put = []
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
                takes = inspect.signature(card.load()).parameters
                kept = {"out_channels": channels, "classes": classes, **getattr(network, "given", {})}
                options |= {key: value for key, value in kept.items() if key in takes}  # whatever the options say
                if "classes" in takes:  # it is the classifier
                    network.fc = None
                if slot == "conv2" and place in self.strided:
                    options["stride"] = 2
                try:
                    op = card.load()(channels, **options)
                except ValueError as error:
                    hint = error.args[1] if len(error.args) > 1 else f"see `vidops show {card.name}`"
                    raise ValueError(f"{card.name} at {place}: {error.args[0]}", hint) from None
                setattr(parent, attribute, op)
                put.append(op)
        if drop_path:
            deepen(network, drop_path)
        if fresh_blocks:
            renew(network, [holes[slot][place][0] for slot, place in taken if slot == "conv2"])
        network.operators = tuple(name for name, module in network.named_modules() if any(module is op for op in put))
        return network

    def example(self, clip: tuple[int, ...]) -> list[Any]:
        """Random inputs: a clip of shape (3, T, H, W) in a batch of one, and a person's joints where it takes them."""
        import torch

        person = (1, clip[1], 1, self.joints)
        made = {
            "clip": torch.randn(1, *clip),
            "coords": torch.rand(*person, 2) * torch.tensor([clip[3] - 1.0, clip[2] - 1.0]),
            "scores": torch.rand(person),
        }
        return [made[name] for name in self.inputs]
