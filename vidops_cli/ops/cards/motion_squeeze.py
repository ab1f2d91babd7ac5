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
)
