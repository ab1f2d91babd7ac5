"""RSA."""

from ..card import Card, Option

_CONTEXTS = ("basic", "relational", "both")

CARDS = (
    Card(
        name="rsa",
        cls="RSA",
        title="Relational self-attention",
        paper="Relational Self-Attention: What's Missing in Attention for Video Understanding",
        venue="NeurIPS 2021",
        arxiv="2111.01673",
        slot="conv2",
        equation=(
            "q_h, k, v = l2norm(W x); kappa_h = q_h (P1 + H1 * k); F = (I + G * v)^T (H2 * v); y[u,h] = <kappa_h, F[u]>"
        ),
        layer=(256, 8, 14, 14),
        options={
            "heads": Option("int", 8, "queries of each position, which share one key and one value map", least=1),
            "key_channels": Option("int?", None, "channels of queries and key; null: those of the value", least=1),
            "value_channels": Option("int?", None, "channels of the value; null: output channels / heads", least=1),
            "latent": Option("int?", None, "latent dimensions D of a kernel; null: the key's channels", least=1),
            "window": Option("ints", (5, 7, 7), "size of the window (time, height, width), all odd", least=1, odd=True),
            "stride": Option("int", 1, "stride in space, by an average of the output over 3 x 3", least=1),
            "kernel": Option(
                "str",
                "both",
                "kernel from the query alone (itself, or projected), from its products with the keys",
                ("basic", "projected", "relational", "both"),
            ),
            "context": Option(
                "str", "both", "context of values alone, of their correlations with each other", _CONTEXTS
            ),
        },
        deviations=(
            "a basic kernel is q itself, as in the released code, and the paper's q P1 is kernel=projected; I has the "
            "value's channels where the released code gives it the key's (equal by default); a released network starts "
            "projection and convolutions again by its own rule"
        ),
        status="equal to the released code; the paper's form as an option",
    ),
)
