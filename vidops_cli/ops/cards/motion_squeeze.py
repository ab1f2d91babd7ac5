"""MotionSqueeze."""

from ..card import Card, Option

CARDS = (
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
            "max_displacement": Option("int", 7, "largest displacement P in positions; the window is 2P + 1", least=1),
            "displacement": Option(
                "str",
                "kernel_soft_argmax",
                "how a displacement is read of the scores; correlation feeds all (2P + 1)^2 scores instead",
                ("kernel_soft_argmax", "soft_argmax", "correlation"),
            ),
            "sigma": Option("float", 5.0, "width of the Gaussian around the best match, in positions", above=0),
            "temperature": Option("float", 0.01, "temperature tau of the softmax over the window", above=0),
            "confidence": Option("bool", True, "feed the best score beside the displacement"),
            "backward": Option("bool", False, "feed the displacement to the previous frame too, and its best score"),
            "refinement": Option(
                "str",
                "separable",
                "the four convolutions: depthwise-separable, dense, or 1 x 1 alone",
                ("separable", "conv", "pointwise"),
            ),
        },
        deviations=(
            "as in the released code: the last frame takes the displacement of the frame before it, the epsilon of "
            "the L2 norm stands inside the root, no ReLU follows the sum; displacement soft_argmax and correlation, "
            "confidence false, backward, refinement conv and pointwise are the paper's ablations in their evident "
            "form, not from code"
        ),
        status="equal to the released code; ablations by the paper's text",
        min_frames=2,
    ),
)
