"""RENet, and what it compares with."""

from typing import Any

from ..card import Card, Input, Option

RENET: dict[str, Any] = {
    "paper": "Relational Embedding for Few-Shot Classification",
    "venue": "ICCV 2021",
    "arxiv": "2108.09666",
}
LAYER = (640, 1, 5, 5)

CARDS: tuple[Card, ...] = (
    Card(
        name="scr",
        cls="SCR",
        title="Self-correlational representation",
        **RENET,
        slot="after_stage",
        equation="R[c,x,d] = Z[c,x] Z[c,x+d], Z = relu(x) / |relu(x)|; y = g(R) + relu(x)",
        layer=LAYER,
        options={
            "planes": Option(
                "ints", (64, 64, 64), "widths of g: one, and one for each ring of the window", least=1, length=None
            ),
            "window": Option("int", 5, "positions of the window on each axis", least=1, odd=True),
            "skip": Option("str", "relu", "what is added to g(R): relu(x), x, nothing", ("relu", "identity", "none")),
        },
        deviations="the paper adds x itself (skip: identity); an in-place ReLU makes the released code add relu(x)",
        status="equal to the released code; the paper's form as an option",
    ),
    Card(
        name="cca",
        cls="CCA",
        title="Cross-correlational attention",
        **RENET,
        slot="few_shot_head",
        equation=(
            "C = <f_s(xs), f_q(xq)>; h = conv(C) + conv(C^T)^T; A_s = sum_xq softmax_xs(norm(h) / gamma); "
            "y = cos(mean A_s F_s, mean A_q F_q) / tau"
        ),
        layer=LAYER,
        options={
            "reduced": Option("int", 64, "channels of the features that are correlated", least=1),
            "planes": Option("ints", (16, 1), "widths of the 4-D convolutions; the last is 1", least=1, length=None),
            "kernels": Option("ints", (3, 3), "sizes of the 4-D convolutions", least=1, odd=True, length=None),
            "attention_temperature": Option("float", 5.0, "temperature gamma of the attention", above=0),
            "temperature": Option("float", 0.2, "temperature tau of the scores", above=0),
        },
        deviations="averages and sums of the attention stand in the released code's order, which the cosine ignores",
        status="equal to the released code",
        max_frames=1,
        inputs=(Input("support", "5 C T H W"), Input("query", "B C T H W")),
    ),
    Card(
        name="se",
        cls="SE",
        title="Squeeze-and-excitation, between 1x1 convolutions",
        paper="Squeeze-and-Excitation Networks",
        venue="CVPR 2018",
        arxiv="1709.01507",
        slot="after_stage",
        equation="z = relu(bn(W_in x)); s = sigmoid(W2 relu(W1 mean z)); y = relu(bn(W_out (s z)))",
        layer=LAYER,
        options={
            "planes": Option("int?", 64, "channels that are squeezed; null: those of x, no convolutions", least=1),
            "reduction": Option("int", 16, "how many times narrower the hidden layer is", least=1),
        },
        deviations="RENet's variant; planes: null is the module of Hu et al. without biases",
        status="equal to RENet's released code",
    ),
    Card(
        name="sce",
        cls="SCE",
        title="Spatial context encoder",
        paper="Dynamic Context Correspondence Network for Semantic Alignment",
        venue="ICCV 2019",
        arxiv="1909.03444",
        slot="after_stage",
        equation="z = relu(bn(W_in x)); s[n,d] = <z[n], z[n+d]>; y = bn(W_out relu(bn(W [z, s / |s|])))",
        layer=LAYER,
        options={
            "planes": Option("ints", (64, 64), "widths of W_in and W", least=1, length=2),
            "window": Option("int", 5, "positions of the window on each axis", least=1, odd=True),
        },
        deviations="as RENet uses it",
        status="equal to RENet's released code",
    ),
    Card(
        name="local_attention",
        cls="LocalSelfAttention",
        title="Local self-attention",
        paper="Stand-Alone Self-Attention in Vision Models",
        venue="NeurIPS 2019",
        arxiv="1906.05909",
        slot="after_stage",
        equation="w[c,n,d] = softmax_d(q[c,n] (k[c,n+d] + r[c,d])); y = bn(W relu(bn(sum_d w[c,n,d] v[c,n+d])))",
        layer=LAYER,
        options={
            "window": Option("int", 5, "positions of the window on each axis", least=1, odd=True),
            "frames": Option("int", 1, "frames of the window", least=1, odd=True),
            "heads": Option("int?", None, "heads of a dot product; null: a softmax for each channel", least=1),
            "attention": Option("bool", True, "false: what RENet really runs, whose softmax has one element"),
            "pointwise": Option("bool", True, "bn(W relu(bn(.))) behind it; false, with heads: the stand-alone layer"),
        },
        deviations=(
            "a softmax for each channel and a pointwise layer, as in RENet's module; heads: M with pointwise: false is "
            "the layer of Ramachandran et al.; RENet builds it without padding, so that its softmax runs over one "
            "number: attention: false is what it trained; frames are ours"
        ),
        status="equal to RENet's released code; heads by the paper's text",
    ),
    Card(
        name="non_local",
        cls="NonLocal",
        title="Non-local block, embedded Gaussian",
        paper="Non-local Neural Networks",
        venue="CVPR 2018",
        arxiv="1711.07971",
        slot="after_stage",
        equation="y[n] = sum_m softmax_m(theta(x[n]) . phi(x[m])) g(x[m]); z = x + bn(W y)",
        layer=LAYER,
        options={
            "reduced": Option("int?", None, "channels of theta, phi and g; null: half of those of x", least=1),
            "subsample": Option("bool", False, "2x2 max pooling in phi and g"),
            "norm": Option("bool", True, "a batch norm after W"),
            "space_time": Option("bool", True, "attend to all frames; false: each frame alone"),
        },
        deviations="none; RENet uses it on images, where space_time changes nothing",
        status="equal to RENet's released code on images",
    ),
)
