"""Pure functions on (B, C, T, H, W) feature maps: tensors in, tensors out; no module, no parameter, no paper's name."""

from . import kernels
from .convolution import conv2d, conv3d, planewise_conv3d
from .deformable import attend, sample
from .displacement import soft_argmax
from .fourier import relative_conv
from .hadamard import mixed_self_correlation
from .norm import l2norm
from .product import linear
from .shift import temporal_shift
from .window import aggregate, correlate, mirror

__all__ = [
    "aggregate",
    "attend",
    "conv2d",
    "conv3d",
    "correlate",
    "kernels",
    "l2norm",
    "linear",
    "mirror",
    "mixed_self_correlation",
    "planewise_conv3d",
    "relative_conv",
    "sample",
    "soft_argmax",
    "temporal_shift",
]
