"""timm's ViT, DeiT and Swin."""

from __future__ import annotations

from .layout import Layout, Shapes

DEITS = {192: "deit_ti", 384: "deit_s", 768: "deit_b"}
SWINS = {(96, 12): "swin_t", (96, 24): "swin_s", (128, 24): "swin_b"}


def timm(shapes: Shapes) -> Layout:
    """timm's ViT and DeiT of 16 x 16 patches with a class token, and Swin; DeiT's and Swin's own files too."""
    return deit(shapes) if "cls_token" in shapes else swin(shapes)


def deit(shapes: Shapes) -> Layout:
    """timm/models/vision_transformer.py, with one class token; positions of images of 224 x 224."""
    width = shapes["patch_embed.proj.weight"][0]
    if width not in DEITS:
        raise ValueError(f"no DeiT of ours has {width} channels", f"known: {', '.join(DEITS.values())}")
    keys = {"cls_token": "class_token", "pos_embed": "positions", "patch_embed.proj.": "patch_embed."}
    numbers = {key.split(".")[1] for key in shapes if key.startswith("blocks.")}
    keys |= {f"blocks.{number}.attn.": f"blocks.{number}.mixer." for number in numbers}
    return Layout(DEITS[width], shapes["head.weight"][0], keys=keys)


def swin(shapes: Shapes) -> Layout:
    """timm/models/swin_transformer.py, where a stage begins with what halves its map; in Swin's own files it ends."""
    blocks = list(dict.fromkeys(key.split(".attn.")[0] for key in shapes if key.endswith("attn.qkv.weight")))
    told = (shapes["patch_embed.proj.weight"][0], len(blocks))
    if told not in SWINS:
        raise ValueError(
            f"no Swin of ours has {told[0]} channels and {told[1]} blocks", f"known: {', '.join(SWINS.values())}"
        )
    keys = {"patch_embed.proj.": "patch_embed.", "patch_embed.norm.": "patch_norm.", "head.fc.": "head."}
    if "layers.0.downsample.norm.weight" not in shapes:
        keys |= {f"layers.{i + 1}.downsample.": f"layers.{i}.downsample." for i in range(3)}
    idle = tuple(f"{block}.{name}" for block in blocks for name in ("attn_mask", "attn.relative_position_index"))
    classifier = "head.fc.weight" if "head.fc.weight" in shapes else "head.weight"
    return Layout(SWINS[told], shapes[classifier][0], keys=keys, idle=idle)
