"""Convolution and attention: what the papers start from."""

from ..card import Card, Option

_CONV = {
    "kernel": Option("ints", None, "size of the kernel (time, height, width), all odd", least=1, odd=True),
    "stride": Option("int", 1, "stride in space", least=1),
    "bias": Option("bool", False, "learn a bias"),
}

CARDS = (
    Card(
        name="conv2d",
        cls="Conv2d",
        title="2-D convolution of each frame",
        paper="the plain layer that the others replace",
        venue="-",
        arxiv="-",
        slot="conv2",
        equation="y[t,n] = sum over d in K x K of W[d] x[t, n + d]",
        layer=(128, 8, 28, 28),
        options={
            "kernel": Option("int", 3, "height and width of the kernel, odd", least=1, odd=True),
            "stride": _CONV["stride"],
            "bias": _CONV["bias"],
        },
        status="standard layer",
    ),
    Card(
        name="conv3d",
        cls="Conv3d",
        title="3-D convolution",
        paper="Learning Spatiotemporal Features with 3D Convolutional Networks",
        venue="ICCV 2015",
        arxiv="1412.0767",
        slot="conv2",
        equation="y[n] = sum over d in L x K x K of W[d] x[n + d]",
        layer=(128, 8, 28, 28),
        options={
            "kernel": Option("ints", (3, 3, 3), "size of the kernel (time, height, width), all odd", least=1, odd=True),
            "stride": _CONV["stride"],
            "bias": _CONV["bias"],
        },
        status="standard layer",
    ),
    Card(
        name="self_attention",
        cls="SelfAttention",
        title="Multi-head self-attention over all positions of the clip",
        paper="Attention Is All You Need",
        venue="NeurIPS 2017",
        arxiv="1706.03762",
        slot="mixer",
        equation="y = softmax(q k^T / sqrt(c)) v, followed by a linear projection",
        layer=(256, 1, 14, 14),
        options={
            "heads": Option("int", 8, "number of heads; they divide the channels", least=1),
            "bias": Option("bool", True, "bias in the projections"),
            "rpe": Option(
                "str",
                "none",
                "relative positions: none, added to the logits, or multiplied to the softmax (not renormalised)",
                ("none", "bias", "multiplicative"),
            ),
            "grid": Option("ints", (1, 14, 14), "grid on which the relative positions are learned", least=1),
        },
        status="standard layer",
    ),
)
