"""LiSA."""

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
            "grid": Option("ints", (1, 14, 14), "grid on which dense and separable tables are learned", least=1),
        },
        deviations="reconstructed from the abstract and from RSA, its first author's previous operator",
        status="reconstruction: no code released",
    ),
)
