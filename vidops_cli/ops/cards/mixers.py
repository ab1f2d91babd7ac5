"""Token mixers that LiSA and attention are compared with: windows, channels, features and frequencies."""

from ..card import Card, Option

_HEADS = Option("int", 8, "number of heads; they divide the channels", least=1)
_BIAS = Option("bool", True, "bias in the projections")

CARDS = (
    Card(
        name="window_attention",
        cls="WindowAttention",
        title="Attention within windows that do not overlap, shifted or not",
        paper="Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        venue="ICCV 2021",
        arxiv="2103.14030",
        slot="mixer",
        equation="y = softmax(q k^T / sqrt(d) + B) v within windows of P x M x M, B[n,m] = B^[n - m]",
        layer=(384, 8, 14, 14),
        options={
            "heads": _HEADS,
            "window": Option("ints", (8, 7, 7), "window (frames, height, width), cut to the map", least=1),
            "shift": Option("bool", False, "shift the windows by half of their size, with a mask"),
            "padding": Option(
                "str", "masked", "what fills up the last windows: nothing is seen of it, or zeros", ("masked", "zero")
            ),
        },
        deviations=(
            "windows over frames as in Video Swin (CVPR 2022, arXiv 2106.13230), whose window is the default; released "
            "code lets padded zeros take part (padding: zero); an axis no longer than the window is not shifted"
        ),
        status="by the paper's equation: on images equal to timm's",
    ),
    Card(
        name="cross_covariance",
        cls="CrossCovariance",
        title="Cross-covariance attention (XCA), between channels",
        paper="XCiT: Cross-Covariance Image Transformers",
        venue="NeurIPS 2021",
        arxiv="2106.09681",
        slot="mixer",
        equation="y = v softmax(k^T q / tau), channels of k and q of length 1 over all positions",
        layer=(384, 1, 14, 14),
        options={"heads": _HEADS, "bias": Option("bool", True, "bias in the projections to q, k, v")},
        deviations=(
            "temperature is 1 / tau, as in the released code; an epsilon in the lengths; without the local patch "
            "interaction (LPI), which is another layer of the paper's block"
        ),
        status="by the paper's equation: on images equal to timm's",
    ),
    Card(
        name="linear_attention",
        cls="LinearAttention",
        title="Linear attention, features elu + 1",
        paper="Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
        venue="ICML 2020",
        arxiv="2006.16236",
        slot="mixer",
        equation="y_n = phi(q_n)^T sum_m phi(k_m) v_m^T / (phi(q_n)^T sum_m phi(k_m)), phi = elu + 1",
        layer=(256, 1, 14, 14),
        options={"heads": _HEADS, "bias": _BIAS},
        deviations="not causal, over all positions of a clip; an epsilon in the divisor, as in the released code",
        status="by the paper's equation: not held by released numbers",
    ),
    Card(
        name="global_filter",
        cls="GlobalFilter",
        title="Global filter layer",
        paper="Global Filter Networks for Image Classification",
        venue="NeurIPS 2021",
        arxiv="2107.00645",
        slot="mixer",
        equation="y = F^-1[K . F[x]] per channel, F over (T, H, W), K complex and learned",
        layer=(384, 1, 14, 14),
        options={"grid": Option("ints", (1, 14, 14), "grid on whose frequencies the filter is learned", least=1)},
        deviations=(
            "a transform over time too; on other grids the filter is read between its frequencies, with their period, "
            "which the interpolation of the released code leaves out"
        ),
        status="by the paper's equation: not held by released numbers",
    ),
    Card(
        name="afno",
        cls="AFNO",
        title="Adaptive Fourier neural operator",
        paper="Adaptive Fourier Neural Operators: Efficient Token Mixers for Transformers",
        venue="ICLR 2022",
        arxiv="2111.13587",
        slot="mixer",
        equation="y = F^-1[S(W2 relu(W1 F[x] + b1) + b2)] + x, block-diagonal W, S(u) = sign(u) max(|u| - lambda, 0)",
        layer=(768, 1, 14, 14),
        options={
            "blocks": Option("int", 8, "number of blocks k of the weights; they divide the channels", least=1),
            "threshold": Option("float", 0.01, "lambda of the soft threshold", least=0),
            "expansion": Option("int", 1, "width of the hidden layer, in widths of a block", least=1),
        },
        deviations=(
            "a transform over time too; defaults and initial values are the released code's, whose hard threshold of "
            "frequencies, off by default, is left out"
        ),
        status="by the paper's equation: not held by released numbers",
    ),
)
