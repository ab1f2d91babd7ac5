"""IntegralAction."""

from typing import Any

from ..card import Card, Input, Option

_PAPER: dict[str, Any] = {
    "paper": "IntegralAction: Pose-driven Feature Integration for Robust Human Action Recognition in Videos",
    "venue": "CVPRW 2021",
    "arxiv": "2007.06317",
}
_JOINTS = {"openpose18": 18, "ntu25": 25, "stick9": 9}
_POSE_CHANNELS = Option("int?", None, "channels of the pose stream; null: as many as of the RGB stream", least=1)

CARDS = (
    Card(
        name="integral_action",
        cls="IntegralAction",
        title="Pose-driven gate of two streams",
        **_PAPER,
        slot="two_stream",
        equation="F = (1 - g) LN(relu(bn(W_A f_A))) + g LN(relu(bn(W_P f_P))); g = sigmoid(W_g f_P + b)",
        layer=(512, 8, 7, 7),
        options={
            "pose_channels": _POSE_CHANNELS,
            "features": Option("int", 512, "channels of the integrated feature", least=1),
            "gate": Option(
                "str",
                "pose",
                "what the gate is computed from; none: the plain sum of both streams, without LayerNorm",
                ("pose", "appearance", "both", "none"),
            ),
            "pose_frame_factor": Option("int", 1, "f: the pose stream has f (T - 1) + 1 frames", least=1),
            "block_frames": Option("int", 1, "frames that W and W_g reach over, odd", least=1, odd=True),
        },
        deviations=(
            "the blocks that the paper calls temporal convolutions have no extent in time in the released code "
            "(block_frames=1); released are gate=pose and gate=none, by the paper's text gate=appearance and gate=both"
        ),
        status="equal to the released code; ablations by the paper's text",
        inputs=(Input("rgb", "B C T H W"), Input("pose", "B C2 T2 H W")),
        letters={
            "C2": lambda size, options: options["pose_channels"] or size["C"],
            "T2": lambda size, options: options["pose_frame_factor"] * (size["T"] - 1) + 1,
        },
    ),
    Card(
        name="score_average",
        cls="ScoreAverage",
        title="Two streams' scores averaged",
        **_PAPER,
        slot="two_stream",
        equation="p = (softmax(mean_t(W_A f_A + b_A)) + softmax(mean_t(W_P f_P + b_P))) / 2; y = log p",
        layer=(512, 8, 7, 7),
        options={
            "pose_channels": _POSE_CHANNELS,
            "classes": Option("int", 50, "number of classes", least=1),
        },
        deviations="gives log p, so that it serves as logits do",
        status="by the paper's text: no code released",
        inputs=(Input("rgb", "B C T H W"), Input("pose", "B C2 T H W")),
        letters={"C2": lambda size, options: options["pose_channels"] or size["C"]},
    ),
    Card(
        name="pose_to_feature",
        cls="PoseToFeature",
        title="Joints as heat maps and limb fields",
        **_PAPER,
        slot="pose_input",
        equation=(
            "heat[j,n] = min(1, sum_p exp(-|n - c_pj|^2 / 2 sigma^2)); field[s,n] = mean_p v_ps where n is in limb s; "
            "y = relu(bn(conv3x3([heat | field])))"
        ),
        layer=(64, 8, 56, 56),
        options={
            "skeleton": Option(
                "str", "openpose18", "joints and limbs: openpose18 (18, 17), ntu25 (25, 24), stick9 (9, 8)"
            ),
            "heatmap_sigma": Option("float", 0.5, "width of the Gaussian at a joint, in pixels of the map", above=0),
            "field_sigma": Option("float", 1.0, "half the width of a limb's band, in pixels of the map", above=0),
            "threshold": Option("float", 0.1, "joints that score less are not drawn"),
        },
        status="equal to the released code",
        inputs=(Input("coords", "B T 1 J 2", "position"), Input("scores", "B T 1 J", "score")),
        letters={"J": lambda size, options: _JOINTS[options["skeleton"]]},
        draws=True,
    ),
)
