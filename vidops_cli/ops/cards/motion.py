"""Motion and space-time operators that others compare with: TEA, CorrNet, TDN, TimeSformer."""

from ..card import Card, Option

_GATE = ("paper", "released")

CARDS = (
    Card(
        name="motion_excitation",
        cls="MotionExcitation",
        title="Motion excitation of TEA",
        paper="TEA: Temporal Excitation and Aggregation for Action Recognition",
        venue="CVPR 2020",
        arxiv="2004.01398",
        slot="block_input",
        equation=(
            "M(t) = conv_trans * (conv_red * X)(t+1) - (conv_red * X)(t); A = 2 sigmoid(conv_exp * mean M) - 1; "
            "Y = X + X A"
        ),
        layer=(208, 8, 28, 28),
        options={
            "reduction": Option("int", 16, "how many times fewer channels are compared", least=1),
            "gate": Option("str", "paper", "the factor: 2 sigmoid - 1, or as released, sigmoid - 1/2", _GATE),
        },
        deviations=(
            "batch norms as in the released code, which no numbers of ours hold; there it stands between a "
            "bottleneck's first convolution and the 3x3 one, a place that our networks do not have"
        ),
        status="by the paper's equation: no numbers of the released code",
        min_frames=2,
    ),
    Card(
        name="correlation",
        cls="Correlation",
        title="Correlation block of CorrNet",
        paper="Video Modeling with Correlation Networks",
        venue="CVPR 2020",
        arxiv="1906.03349",
        slot="after_stage",
        equation=(
            "S_g(p,d) = (G / C') sum_{c in g} W_c(d) f_t,c(p) f_t-1,c(p + d), f = relu(bn(W_in x)); y = x + bn(W_out S)"
        ),
        layer=(512, 8, 28, 28),
        options={
            "reduction": Option("int", 4, "how many times fewer channels are matched", least=1),
            "window": Option("int", 7, "size K of the K x K window in the frame before, odd", least=1, odd=True),
            "dilation": Option("int", 2, "positions from one of the window to the next", least=1),
            "groups": Option(
                "int?", None, "groups G of channels; null: as many as give G K^2 no more channels than x has", least=1
            ),
            "filter": Option("bool", True, "weigh products by channel and offset; false: plain correlation"),
        },
        deviations=(
            "one filter for all pairs of frames, where the paper has one for each; it starts at 1; how many groups "
            "the paper has we could not read; the window lies in the frame before; no ReLU after the sum"
        ),
        status="by the paper's equation: no released code known",
    ),
    Card(
        name="temporal_difference",
        cls="TemporalDifference",
        title="Long-term temporal difference module of TDN",
        paper="TDN: Temporal Difference Networks for Efficient Action Recognition",
        venue="CVPR 2021",
        arxiv="2012.10071",
        slot="block_input",
        equation=(
            "C = F_i - Conv(F_i+1); M(F_i, F_i+1) = sigmoid(Conv(sum_j CNN_j(C))); "
            "Y_i = F_i + F_i (M(F_i, F_i+1) + M(F_i, F_i-1)) / 2"
        ),
        layer=(128, 8, 28, 28),
        options={
            "reduction": Option("int", 16, "how many times fewer channels are compared", least=1),
            "bidirectional": Option("bool", True, "compare with the frame before too"),
            "gate": Option("str", "paper", "the factor: sigmoid, or as released, sigmoid - 1/2", _GATE),
        },
        deviations=(
            "the short-term module, of raw frames around each sampled one, is left out; batch norms and the frame "
            "before as second direction are of the released code, which no numbers of ours hold and whose slip in "
            "the backward direction is not followed; it stands between a bottleneck's first convolution and the 3x3 "
            "one, a place that our networks do not have"
        ),
        status="by the paper's equation: no numbers of the released code",
        min_frames=2,
    ),
    Card(
        name="divided_attention",
        cls="DividedAttention",
        title="Divided space-time attention",
        paper="Is Space-Time Attention All You Need for Video Understanding?",
        venue="ICML 2021",
        arxiv="2102.05095",
        slot="mixer",
        equation="z_time = z + W_t MSA_time(z); y = z_time + W_s MSA_space(LN(z_time)); the mixer gives y - z",
        layer=(768, 8, 14, 14),
        options={
            "heads": Option("int", 8, "number of heads in either attention; they divide the channels", least=1),
            "bias": Option("bool", True, "bias in the projections"),
        },
        deviations=(
            "the first norm and the residual are the block's, so that the spatial half reads LN(LN(x) + time), not "
            "LN(x + time); no class token; without the released code's linear layer after the temporal half"
        ),
        status="by the paper's equation: no numbers of the released code",
    ),
)
