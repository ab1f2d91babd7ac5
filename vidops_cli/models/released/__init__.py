"""Checkpoints of released code: which network of ours one is, and where each of its weights goes."""

from .clips import motionsqueeze, rsa, selfy, tsm
from .few_shot import renet
from .images import timm
from .layout import Layout, Shapes, check, convert
from .poses import integral_action
from .resnets import torchvision
from .sifa import sifa_net, sifa_swin

__all__ = [
    "Layout",
    "Shapes",
    "check",
    "convert",
    "integral_action",
    "motionsqueeze",
    "renet",
    "rsa",
    "selfy",
    "sifa_net",
    "sifa_swin",
    "timm",
    "torchvision",
    "tsm",
]
