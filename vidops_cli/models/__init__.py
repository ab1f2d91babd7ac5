"""Networks with holes for operators. This page is their index and imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .network import SLOTS, Network


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


def _deit(name: str, title: str, *, channels: int, heads: int) -> Network:
    return Network(
        name=name,
        title=title,
        paper="Touvron et al., Training data-efficient image transformers, arXiv 2012.12877",
        builder="deit:DeiT",
        arguments={"channels": channels, "blocks": 12, "heads": heads},
        slots={},
    )


def _r2plus1d(name: str, title: str, *, like: Network) -> Network:
    return replace(
        like,
        name=name,
        title=title,
        paper="Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, arXiv 1711.11248",
        builder="r2plus1d:R2Plus1D",
        arguments={**like.arguments, "block": "factored"},
        inflates=False,
    )


def _sifa_net(name: str, title: str, *, like: Network) -> Network:
    """A ResNet with SIFA-Net's stem, and its last stage twice."""
    dual = tuple(place.replace("res5", "res5_dual") for place in like.slots["conv2"] if place.startswith("res5."))
    return replace(
        like,
        name=name,
        title=title,
        paper=f"{SIFA}; blocks with operators in their slots",
        builder="sifa_net:SIFANet",
        slots={slot: places + (dual if slot != "after_stage" else ()) for slot, places in like.slots.items()},
        inflates=False,
    )


def _swin(name: str, title: str, *, paper: str, channels: int, blocks: tuple[int, ...], **given: Any) -> Network:
    places = tuple(f"stage{i + 1}.{j}" for i, depth in enumerate(blocks) for j in range(depth))
    return Network(
        name=name,
        title=title,
        paper=paper,
        builder="swin:Swin",
        arguments={"channels": channels, "blocks": blocks, **given},
        slots={"mixer": places, "after_mixer": places},
    )


SWIN = "Liu et al., Swin Transformer, arXiv 2103.14030"
SIFA = "Long et al., Stand-Alone Inter-Frame Attention in Video Models, arXiv 2206.06931"
_POSES = {"paper": "Moon et al., IntegralAction, arXiv 2007.06317", "inputs": ("clip", "coords", "scores")}


def _pose(name: str, title: str, *, skeleton: str, stride: int, note: str, like: Network) -> Network:
    """The pose stream of a ResNet, alone."""
    given = {key: value for key, value in like.arguments.items() if key != "stem"}
    return Network(
        name=name,
        title=title,
        builder="integral_action:PoseNetwork",
        arguments={**given, "skeleton": skeleton, "stride": stride},
        slots={**like.slots, "pose_input": ("stem",)},
        strided=like.strided,
        skeleton=skeleton,
        **{**_POSES, "paper": _POSES["paper"] + note},
    )


def _two_streams(name: str, title: str, *, rgb: Network, pose: Network, note: str) -> Network:
    """A ResNet on frames and a pose stream, of one width."""
    streams = {"rgb": rgb, "pose": pose}
    given = {
        stream: {key: value for key, value in network.arguments.items() if key != "widths"}
        for stream, network in streams.items()
    }
    slots: dict[str, tuple[str, ...]] = {"two_stream": ("end",)}
    for stream, network in streams.items():
        for slot, places in network.slots.items():
            slots[slot] = slots.get(slot, ()) + tuple(f"{stream}.{place}" for place in places)
    return Network(
        name=name,
        title=title,
        builder="integral_action:TwoStream",
        arguments={"widths": rgb.arguments["widths"], **given},
        slots=slots,
        strided=tuple(f"{stream}.{place}" for stream, network in streams.items() for place in network.strided),
        skeleton=pose.skeleton,
        **{**_POSES, "paper": _POSES["paper"] + note},
    )


_RESNET_TINY = _resnet(
    "resnet_tiny",
    "ResNet of three stages for clips of 24 to 64 pixels",
    block="basic",
    blocks=(1, 1, 1),
    widths=(16, 32, 64),
    stem="small",
    note=" (made small)",
)
_POSE_TINY = _pose(
    "pose_tiny",
    "Pose stream of resnet_tiny: joints drawn as maps, frames not seen",
    skeleton="stick9",
    stride=2,
    note=" (made small)",
    like=_RESNET_TINY,
)

RENET = "Kang et al., Relational Embedding for Few-Shot Classification, arXiv 2108.09666"
RESNET12 = (64, 160, 320, 640)


def _renet(name: str, title: str, *, widths: tuple[int, ...], note: str = "") -> Network:
    return Network(
        name=name,
        title=title,
        paper=RENET + note,
        builder="renet:RENet",
        arguments={"widths": widths},
        slots={"after_stage": tuple(f"res{i + 2}" for i in range(len(widths))), "few_shot_head": ("end",)},
        episodes=True,
    )


_RESNET18 = _resnet("resnet18", "ResNet-18", block="basic", blocks=(2, 2, 2, 2))
_RESNET34 = _resnet("resnet34", "ResNet-34", block="basic", blocks=(3, 4, 6, 3))
_RESNET50 = _resnet("resnet50", "ResNet-50", block="bottleneck", blocks=(3, 4, 6, 3))
_RESNET101 = _resnet("resnet101", "ResNet-101", block="bottleneck", blocks=(3, 4, 23, 3))
_POSE_OF = {"skeleton": "openpose18", "stride": 4, "note": ""}
_POSE18 = _pose("pose18", "Pose stream of ResNet-18: joints drawn as maps, frames not seen", **_POSE_OF, like=_RESNET18)
_POSE50 = _pose("pose50", "Pose stream of ResNet-50: joints drawn as maps, frames not seen", **_POSE_OF, like=_RESNET50)

MODELS: dict[str, Network] = {
    network.name: network
    for network in (
        _RESNET_TINY,
        _resnet(
            "bottleneck_tiny",
            "ResNet of bottlenecks, three stages, for clips of 24 to 64 pixels",
            block="bottleneck",
            blocks=(2, 2, 2),
            widths=(16, 32, 64),
            stem="small",
            note=" (made small)",
        ),
        _resnet(
            "bottleneck_mini",
            "ResNet of three bottlenecks for clips of 24 to 64 pixels",
            block="bottleneck",
            blocks=(1, 1, 1),
            widths=(16, 32, 64),
            stem="small",
            note=" (made small)",
        ),
        _RESNET18,
        _RESNET34,
        _RESNET50,
        _RESNET101,
        _r2plus1d("r2plus1d_18", "R(2+1)D-18, convolutions in space, then in time", like=_RESNET18),
        _r2plus1d("r2plus1d_34", "R(2+1)D-34, convolutions in space, then in time", like=_RESNET34),
        _sifa_net("sifa_net50", "SIFA-Net of ResNet-50: four frames a step, two last stages", like=_RESNET50),
        _sifa_net("sifa_net101", "SIFA-Net of ResNet-101: four frames a step, two last stages", like=_RESNET101),
        _POSE_TINY,
        _two_streams(
            "two_stream_tiny",
            "Two streams of resnet_tiny, of frames and of joints",
            rgb=_RESNET_TINY,
            pose=_POSE_TINY,
            note=" (made small)",
        ),
        _POSE18,
        _POSE50,
        _two_streams(
            "two_stream18", "Two streams of ResNet-18, of frames and of joints", rgb=_RESNET18, pose=_POSE18, note=""
        ),
        _two_streams(
            "two_stream50", "Two streams of ResNet-50, of frames and of joints", rgb=_RESNET50, pose=_POSE50, note=""
        ),
        _two_streams(
            "two_stream50_18",
            "Two streams, a ResNet-50 of frames and a ResNet-18 of joints",
            rgb=_RESNET50,
            pose=_POSE18,
            note="",
        ),
        Network(
            name="resnet12",
            title="ResNet-12, of few-shot classification",
            paper=RENET,
            builder="resnet12:ResNet12",
            arguments={"widths": RESNET12},
            slots={"after_stage": ("res2", "res3", "res4", "res5")},
        ),
        _renet("renet", "RENet: ResNet-12 with a head that compares images of an episode", widths=RESNET12),
        _renet(
            "renet_tiny",
            "RENet of three stages for images of 24 to 64 pixels",
            widths=(8, 24, 64),
            note=" (made small)",
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
            "vit_micro",
            "Vision transformer of two blocks for images of 24 to 64 pixels",
            note="made small",
            patch=4,
            channels=64,
            blocks=2,
            heads=4,
        ),
        *(
            _vit(
                name,
                f"ViT of {like}'s size, attention over space and time",
                note=f"sizes of {like}, arXiv 2012.12877",
                patch=16,
                channels=64 * heads,
                blocks=12,
                heads=heads,
            )
            for name, like, heads in (
                ("vit_tiny", "DeiT-Ti", 3),
                ("vit_small", "DeiT-S", 6),
                ("vit_base", "DeiT-B", 12),
            )
        ),
        *(
            _deit(name, f"{title} with a class token, frame by frame", channels=64 * heads, heads=heads)
            for name, title, heads in (("deit_ti", "DeiT-Ti", 3), ("deit_s", "DeiT-S", 6), ("deit_b", "DeiT-B", 12))
        ),
        _swin(
            "swin_mini",
            "Swin for clips of 32 to 128 pixels",
            paper=f"{SWIN} (made small)",
            channels=24,
            blocks=(2, 2, 2),
            heads=(2, 4, 8),
        ),
        _swin("swin_t", "Swin-T", paper=SWIN, channels=96, blocks=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
        _swin("swin_s", "Swin-S", paper=SWIN, channels=96, blocks=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
        _swin("swin_b", "Swin-B", paper=SWIN, channels=128, blocks=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
        *(
            _swin(
                name,
                f"{title} that reads four frames at once, as the SIFA-Transformer",
                paper=SIFA,
                channels=channels,
                blocks=blocks,
                heads=heads,
                tube=4,
                first_norm=False,
            )
            for name, title, channels, blocks, heads in (
                ("sifa_swin_mini", "A small Swin", 24, (2, 2, 2), (2, 4, 8)),
                ("sifa_swin_s", "Swin-S", 96, (2, 2, 18, 2), (3, 6, 12, 24)),
                ("sifa_swin_b", "Swin-B", 128, (2, 2, 18, 2), (4, 8, 16, 32)),
            )
        ),
    )
}


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
CHECKPOINTS: dict[str, tuple[str, ...]] = {  # sources of `vidops import` -> the networks that their checkpoints are of
    "torchvision": (*_RESNETS, "r2plus1d_18", "r2plus1d_34"),
    "timm": ("deit_ti", "deit_s", "deit_b", "swin_t", "swin_s", "swin_b"),
    **dict.fromkeys(("tsm", "motionsqueeze", "selfy", "rsa"), _RESNETS),
    "renet": ("renet",),
    "integral_action": (*_RESNETS, "pose18", "pose50", "two_stream18", "two_stream50", "two_stream50_18"),
    "sifa_net": ("sifa_net50", "sifa_net101"),
    "sifa_swin": ("sifa_swin_mini", "sifa_swin_s", "sifa_swin_b"),
}

__all__ = ["CHECKPOINTS", "MODELS", "SLOTS", "Network"]
