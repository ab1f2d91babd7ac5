"""torchvision's networks: ResNets, whose names ours are, and R(2+1)D."""

from __future__ import annotations

from .layout import Layout, Shapes, inside, prefixed

DEPTHS = {(2, 2, 2, 2, False): "resnet18", (3, 4, 6, 3, False): "resnet34"}
DEPTHS |= {(3, 4, 6, 3, True): "resnet50", (3, 4, 23, 3, True): "resnet101"}


def resnet(shapes: Shapes, prefix: str) -> str:
    """Our network with as many blocks in each stage; ValueError if there is none."""
    blocks = [
        {key.split(".")[1] for key in inside(shapes, prefix) if key.startswith(f"layer{i}.")} for i in range(1, 5)
    ]
    told = (*map(len, blocks), f"{prefix}layer1.0.conv3.weight" in shapes)
    if told not in DEPTHS:
        raise ValueError(
            f"no ResNet of ours has {told[:4]} blocks in its stages", f"known: {', '.join(DEPTHS.values())}"
        )
    return DEPTHS[told]


def torchvision(shapes: Shapes) -> Layout:
    """torchvision's ResNets, whose names ours are, and its R(2+1)D."""
    if "stem.0.weight" in shapes:
        return r2plus1d(shapes)
    return Layout(resnet(shapes, ""), shapes["fc.weight"][0])


def r2plus1d(shapes: Shapes) -> Layout:
    """torchvision/models/video/resnet.py::r2plus1d_18, and the networks of 34 layers in its form."""
    parts = {"0.": "spatial.", "1.": "norm.", "3.": "temporal."}
    keys = {"stem.4.": "bn1.", **prefixed(parts, "stem.", "conv1.")}
    for block in blocks_of(shapes):
        for i in (1, 2):
            keys |= prefixed(parts, f"{block}.conv{i}.0.", f"{block}.conv{i}.")
            keys[f"{block}.conv{i}.1."] = f"{block}.bn{i}."
    depth = {8: "r2plus1d_18", 16: "r2plus1d_34"}
    if len(blocks_of(shapes)) not in depth:
        raise ValueError(
            f"no R(2+1)D of ours has {len(blocks_of(shapes))} blocks", f"known: {', '.join(depth.values())}"
        )
    return Layout(depth[len(blocks_of(shapes))], shapes["fc.weight"][0], keys=keys)


def blocks_of(shapes: Shapes) -> list[str]:
    """Names of a ResNet's blocks, as layer1.0."""
    return list(dict.fromkeys(".".join(key.split(".")[:2]) for key in shapes if key.startswith("layer")))
