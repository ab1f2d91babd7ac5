"""LiSA, and StructSA, one of the forms it is ablated against."""

from ..card import Card, Option

CARDS = (
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
            "phi": Option("str", "identity", "how the pattern code is formed", ("identity", "softmax", "l2", "gelu")),
            "rpe": Option("str", "dense", "form of the relative weights", ("dense", "fourier", "separable")),
            "padding": Option("str", "zero", "zero is exact, circular wraps around", ("zero", "circular")),
            "window": Option("ints?", None, "restrict offsets to this (time, height, width) window", least=1, odd=True),
            "shared": Option("bool", False, "one set of relative weights for all heads"),
            "grid": Option("ints", (1, 14, 14), "grid on which tables are learned, and fourier starts", least=1),
        },
        deviations=(
            "reconstructed from the abstract and from RSA, its first author's previous operator; the defaults of phi "
            "and patterns are the definition's, not chosen yet: they are to be, on validation data with seeds apart "
            "from those of any table, attention given the same search budget; ablated against self_attention with "
            "rpe none, bias, multiplicative, and against structsa"
        ),
        status="reconstruction: no code released",
    ),
    Card(
        name="structsa",
        cls="StructSA",
        title="Structural self-attention",
        paper="Learning Correlation Structures for Vision Transformers",
        venue="CVPR 2024",
        arxiv="2404.03924",
        slot="mixer",
        equation="A_i = softmax(conv(q_i K^T / sqrt(c); U_K)) over all N D entries; y_i = sum_j (A_ij U_V^T) V_j",
        layer=(256, 1, 14, 14),
        options={
            "heads": Option("int", 8, "number of heads; they divide the channels", least=1),
            "patterns": Option("int", 8, "number of kernels D over the correlation map", least=1),
            "window": Option("ints", (1, 3, 3), "window of U_K and U_V (time, height, width), odd", least=1, odd=True),
            "bias": Option("bool", True, "bias in the projections"),
        },
        deviations=(
            "the scale 1/sqrt(c), kernels for each head, the options' defaults and the initial values are ours; costs "
            "are those of applying U_K and U_V to keys and values first, which is equal to the equation"
        ),
        status="by the paper's equation: no released code at hand",
    ),
)
