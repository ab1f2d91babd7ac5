"""SELFY."""

from ..card import Card, Option

CARDS: tuple[Card, ...] = (
    Card(
        name="selfy",
        cls="SELFY",
        title="SELFY block",
        paper="Learning Self-Similarity in Space and Time as Generalized Motion for Video Action Recognition",
        venue="ICCV 2021",
        arxiv="2102.07092",
        slot="after_stage",
        equation=(
            "S[t,n,l,d] = <f_t[n], f_t+l[n+d]>; F[t,n,l] = extract(S[t,n,l]); y = relu(x + upsample(integrate(F)))"
        ),
        layer=(512, 8, 28, 28),
        options={
            "hidden": Option("int", 128, "channels of the features that are compared, at half the size", least=1),
            "offsets": Option(
                "ints", (-2, -1, 0, 1, 2), "offsets in time l, each once; 0 is the frame itself", length=None
            ),
            "window": Option(
                "int",
                9,
                "height and width of the window in space, odd; 9 or 11 with extraction conv",
                least=1,
                odd=True,
            ),
            "extraction": Option(
                "str",
                "conv",
                "from each offset's map of similarities to features",
                ("conv", "soft_argmax", "mlp"),
            ),
            "integration": Option("str", "conv", "from the features of all offsets to one map", ("conv", "mlp")),
            "ext_channels": Option(
                "ints",
                (4, 16, 64, 64),
                "channels of the extraction's four convolutions; the last is the width of mlp",
                least=1,
                length=4,
            ),
            "int_channels": Option(
                "ints", (64, 64, 64, 64), "channels of the integration's four layers", least=1, length=4
            ),
        },
        deviations=(
            "as in the released code: no ReLU on the similarities, zeros outside the clip, upsampling fills only the "
            "even rows and columns; maps of odd height or width, on which the released code fails, are cropped; "
            "extraction soft_argmax and mlp, integration mlp and offsets that are not centred are the paper's "
            "ablations in their evident form, not from code"
        ),
        status="equal to the released code; ablations by the paper's text",
    ),
)
