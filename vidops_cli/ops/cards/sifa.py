"""SIFA, and what else its released networks have: global context and temporal convolution."""

from ..card import Card, Option

CARDS = (
    Card(
        name="sifa",
        cls="SIFA",
        title="Stand-alone inter-frame attention",
        paper="Stand-Alone Inter-Frame Attention in Video Models",
        venue="CVPR 2022",
        arxiv="2206.06931",
        slot="after_conv2",
        equation=(
            "D_t = W * f_t+1 (1 + sigmoid(f_t+1 - f_t)); s_k = f_t+1(p + r_k + D_t[k]); a_k = <f_t(p), s_k> / C; "
            "y_t = f_t + sum_k a_k s_k; y_T = f_T"
        ),
        layer=(128, 8, 28, 28),
        options={
            "offsets": Option(
                "str",
                "motion",
                "what the offsets are read from; regular: none, colocated: none and a single tap",
                ("motion", "next", "difference", "conv3d", "regular", "colocated"),
            ),
            "kernel": Option("int", 3, "size K of the K x K taps in the next frame, odd", least=1, odd=True),
            "dilation": Option("int", 1, "pixels from a tap to the next one", least=1),
            "groups": Option("int", 1, "groups of channels with weights of their own", least=1),
            "modulation": Option(
                "str",
                "released",
                "what offsets=motion reads: released, f + sigmoid(difference) f; paper, without the f",
                ("released", "paper"),
            ),
            "norm": Option("bool", False, "a LayerNorm, zero at the start, of what is added (released Swin blocks)"),
        },
        deviations=(
            "f + sigmoid(difference) f as released, where the paper has no f +; the frame before without the "
            "released copy in place, which is undefined; groups aggregate their own channels, the released ones all "
            "of them; offsets next, difference, conv3d and colocated are the paper's table, not from code; the "
            "released network starts the offset convolution again, not at zero"
        ),
        status="equal to the released code; ablations by the paper's text",
        min_frames=2,
    ),
    Card(
        name="global_context",
        cls="GlobalContext",
        title="Additive global context",
        paper="Stand-Alone Inter-Frame Attention in Video Models (released code)",
        venue="CVPR 2022",
        arxiv="2206.06931",
        slot="block_output",
        equation="y[n] = x[n] + W2 relu(W1 mean_m x[m] + b1) + b2",
        layer=(512, 8, 28, 28),
        options={"ratio": Option("int", 16, "the hidden layer has C / ratio channels", least=1)},
        status="equal to the released code",
    ),
    Card(
        name="temporal_conv",
        cls="TemporalConv",
        title="Temporal convolution",
        paper="A Closer Look at Spatiotemporal Convolutions for Action Recognition",
        venue="CVPR 2018",
        arxiv="1711.11248",
        slot="after_conv2",
        equation="y[t] = x[t] + sum over |d| <= K // 2 of W[d] x[t + d]",
        layer=(128, 8, 28, 28),
        options={
            "kernel": Option("int", 3, "frames of the kernel, odd", least=1, odd=True),
            "residual": Option("bool", True, "add the input; the kernel then starts at zero"),
            "bias": Option("bool", False, "learn a bias"),
        },
        deviations="residual as in the released SIFA-Swin blocks; R(2+1)D has none (residual=false)",
        status="equal to SIFA-Swin's released code",
    ),
)
