"""The zoo: one file for each operator, named as in its paper. This page is its index and imports no torch."""

from .card import Card, Option

_CONV = {
    "kernel": Option("ints", None, "size of the kernel (time, height, width), all odd", least=1, odd=True),
    "stride": Option("int", 1, "stride in space", least=1),
    "bias": Option("bool", False, "learn a bias"),
}

OPS: dict[str, Card] = {
    card.name: card
    for card in (
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
                "kernel": Option(
                    "ints", (3, 3, 3), "size of the kernel (time, height, width), all odd", least=1, odd=True
                ),
                "stride": _CONV["stride"],
                "bias": _CONV["bias"],
            },
            status="standard layer",
        ),
        Card(
            name="tsm",
            cls="TemporalShift",
            title="Temporal shift module",
            paper="TSM: Temporal Shift Module for Efficient Video Understanding",
            venue="ICCV 2019",
            arxiv="1811.08383",
            slot="block_input",
            equation="y[t] = (x[t+1] | first C/fold_div channels, x[t-1] | next C/fold_div, x[t] | rest)",
            layer=(128, 8, 28, 28),
            options={"fold_div": Option("int", 8, "share of the channels moved each way is 1 / fold_div", least=2)},
            deviations="zero padding in time, as in the released code; its 'circulant' padding is not built",
            status="faithful to the released code",
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
            },
            status="standard layer",
        ),
        Card(
            name="motion_squeeze",
            cls="MotionSqueeze",
            title="MotionSqueeze module",
            paper="MotionSqueeze: Neural Motion Feature Learning for Video Understanding",
            venue="ECCV 2020",
            arxiv="2007.09933",
            slot="after_stage",
            equation=(
                "s[n,d] = relu(<f_t[n], f_t+1[n+d]>); w = softmax_d(gauss(d - argmax s) s / tau); "
                "u[n] = sum_d w[n,d] d; y = x + refine(u / P, max_d s)"
            ),
            layer=(512, 8, 28, 28),
            options={
                "reduced": Option("int", 64, "channels of the features that are matched", least=1),
                "max_displacement": Option(
                    "int", 7, "largest displacement P in positions; the window is 2P + 1", least=1
                ),
                "displacement": Option(
                    "str", "kernel_soft_argmax", "how a displacement is read", ("kernel_soft_argmax", "soft_argmax")
                ),
                "sigma": Option("float", 5.0, "width of the Gaussian around the best match, in positions", above=0),
                "temperature": Option("float", 0.01, "temperature tau of the softmax over the window", above=0),
                "confidence": Option("bool", True, "feed the best score beside the displacement"),
            },
            deviations="the last frame takes the displacement of the frame before it, as in the released code",
            status="written from the released code's description; parity cases are not run yet",
            min_frames=2,
        ),
        Card(
            name="lisa",
            cls="LiSA",
            title="Lightweight structure-aware attention",
            paper="Lightweight Structure-Aware Attention for Visual Understanding",
            venue="IJCV 2025",
            arxiv="2211.16289",
            slot="mixer",
            equation=(
                "s[n,d] = 1/sqrt(c) sum_m P_d(m-n) <q_n, k_m>; y[n] = sum_d phi(s[n,:])_d sum_m R_d(m-n) v_m, "
                "both sums as FFT products"
            ),
            layer=(256, 1, 14, 14),
            options={
                "heads": Option("int", 8, "number of heads; they divide the channels", least=1),
                "patterns": Option("int", 8, "number of structural patterns D", least=1),
                "phi": Option(
                    "str", "identity", "how the pattern code is formed", ("identity", "softmax", "l2", "gelu")
                ),
                "rpe": Option("str", "dense", "form of the relative weights", ("dense", "fourier", "separable")),
                "padding": Option("str", "zero", "zero is exact, circular wraps around", ("zero", "circular")),
                "window": Option(
                    "ints?", None, "restrict offsets to this (time, height, width) window", least=1, odd=True
                ),
                "shared": Option("bool", False, "one set of relative weights for all heads"),
                "grid": Option("ints", (1, 14, 14), "grid on which dense and separable tables are learned", least=1),
            },
            deviations="reconstructed from the abstract and from RSA, its first author's previous operator",
            status="reconstruction: no code released",
        ),
    )
}

__all__ = ["OPS", "Card", "Option"]
