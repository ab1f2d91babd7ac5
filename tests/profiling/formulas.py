"""Every operator in many of its forms, and what each costs by three counts."""

from functools import partial
from itertools import combinations

import torch

from vidops_cli.ops import OPS
from vidops_cli.profiling.cost import count
from vidops_cli.profiling.counter import count_forward, on_meta
from vidops_cli.textbook import published

WIDTHS = {"ext_channels": (2, 4, 8, 8), "int_channels": (8, 8, 8, 8), "hidden": 8}
_SQUEEZES = [
    {},
    *(
        {"displacement": reading, "confidence": fed}
        for reading in ("soft_argmax", "correlation")
        for fed in (True, False)
    ),
    {"confidence": False},
    {"backward": True, "max_displacement": 2},
    {"backward": True, "displacement": "correlation", "refinement": "conv"},
    {"refinement": "conv", "reduced": 1},
    {"refinement": "pointwise", "max_displacement": 1, "sigma": 2.0, "temperature": 0.1},
]
_SELVES = [
    {},
    {"hidden": 24},
    {"window": 11, **WIDTHS},
    {"offsets": (0,), **WIDTHS, "hidden": 1},
    {"offsets": (-3, 0, 1, 2), "integration": "mlp", **WIDTHS},
    {"extraction": "soft_argmax", "window": 5, **WIDTHS},
    {"extraction": "soft_argmax", "integration": "mlp", "window": 3, **WIDTHS},
    {"extraction": "mlp", "window": 7, **WIDTHS},
    {"extraction": "mlp", "integration": "mlp", "window": 1, **WIDTHS},
    {"extraction": "soft_argmax", "window": 1, **WIDTHS},
]
_KINDS = [
    {"kernel": kernel, "context": context, "window": (3, 5, 5)}
    for kernel in ("basic", "projected", "relational", "both")
    for context in ("basic", "relational", "both")
]
_RELATIONS = [
    {},
    *_KINDS,
    {"heads": 2, "latent": 3, "window": (3, 3, 5)},
    {"heads": 1, "key_channels": 5, "value_channels": 6, "out_channels": 6, "window": (1, 3, 1)},
    {"heads": 16, "latent": 1, "window": (1, 3, 3)},
    {"heads": 16, "kernel": "projected", "context": "relational", "window": (1, 3, 3)},
    {"stride": 2, "out_channels": 32, "window": (1, 7, 7)},
    {"stride": 3, "kernel": "relational", "context": "basic", "window": (5, 3, 3)},
]
_FRAMES = [
    {},
    *({"offsets": name} for name in ("next", "difference", "conv3d", "regular", "colocated")),
    {"modulation": "paper"},
    {"kernel": 5, "dilation": 2, "groups": 4},
    {"kernel": 1, "groups": 16},
    {"kernel": 3, "groups": 2, "norm": True, "offsets": "regular", "dilation": 2},
    {"norm": True},
]
_FORMS = {
    "motion_squeeze": _SQUEEZES,
    "selfy": _SELVES,
    "rsa": _RELATIONS,
    "sifa": _FRAMES,
    "conv2d": [
        {},
        {"kernel": 1, "bias": True},
        {"kernel": 5, "stride": 2},
        {"kernel": 7, "stride": 3, "out_channels": 6, "bias": True},
        {"stride": 4},
    ],
    "conv3d": [
        {},
        {"kernel": (1, 3, 5), "bias": True},
        {"kernel": (3, 1, 1), "out_channels": 6},
        {"kernel": (5, 7, 3), "stride": 2, "bias": True},
        {"stride": 3},
    ],
    "conv2plus1d": [
        {},
        {"kernel": (1, 3, 5), "mid": 7},
        {"kernel": (5, 7, 3), "stride": 2, "out_channels": 6},
        {"kernel": (3, 1, 1), "stride": 3},
    ],
    "channel_separated_conv": [
        {},
        {"interaction": "reduced"},
        {"kernel": (1, 3, 5), "out_channels": 6},
        {"kernel": (5, 7, 3), "stride": 2},
        {"interaction": "reduced", "kernel": (3, 1, 1), "stride": 3},
    ],
    "dynamic_conv": [
        {},
        {"kernel": (3, 3, 5), "bias": True, "out_channels": 6},
        {"kernels": 1, "stride": 2},
        {"kernels": 3, "reduction": 8, "temperature": 2.0},
        {"per_frame": True, "stride": 3, "bias": True},
    ],
    "involution": [
        {},
        {"frames": 3, "window": 3, "group_channels": 4},
        {"window": 1, "group_channels": 1},
        {"reduction": 16, "group_channels": 32},
    ],
    "lambda_layer": [
        {},
        {"heads": 2, "key_channels": 3, "window": 3, "frames": 5},
        {"heads": 16, "window": 1, "key_channels": 1},
        {"heads": 1, "window": 5, "out_channels": 6},
    ],
    "deformable_conv": [
        {},
        {"modulated": False},
        {"kernel": 5, "dilation": 2, "bias": True, "out_channels": 6},
        {"kernel": 1, "modulated": False},
    ],
    "tsm": [{}, {"fold_div": 4, "first": "previous"}, {"padding": "circular"}, {"fold_div": 2}],
    "temporal_conv": [{}, {"kernel": 1}, {"kernel": 5, "bias": True}, {"residual": False}, {"kernel": 9}],
    "global_context": [{}, {"ratio": 1}, {"ratio": 4}],
    "self_attention": [
        {},
        {"heads": 1, "bias": False},
        {"heads": 16},
        *(
            {"rpe": rpe, "grid": grid}
            for rpe in ("bias", "multiplicative")
            for grid in ((1, 14, 14), (3, 5, 6), (2, 1, 4))
        ),
        {"rpe": "multiplicative", "heads": 2},
    ],
    "structsa": [
        {},
        {"heads": 2, "patterns": 3, "bias": False},
        {"window": (3, 3, 5), "patterns": 1},
        {"window": (1, 1, 1), "heads": 1},
        {"window": (3, 7, 9), "heads": 4, "patterns": 2},
    ],
    "non_local": [
        {},
        {"reduced": 3},
        {"subsample": True},
        {"norm": False},
        {"space_time": False},
        {"subsample": True, "space_time": False, "norm": False, "reduced": 5},
    ],
    "lisa": [
        {},
        *({"phi": phi} for phi in ("softmax", "l2", "gelu")),
        *({"rpe": rpe, "patterns": 3} for rpe in ("dense", "fourier", "separable")),
        *({"rpe": rpe, "grid": (3, 5, 6), "shared": True} for rpe in ("dense", "fourier", "separable")),
        *({"rpe": rpe, "window": (3, 3, 5), "heads": 2} for rpe in ("dense", "fourier", "separable")),
        {"padding": "circular"},
        {"padding": "circular", "window": (1, 5, 3), "phi": "l2", "rpe": "separable"},
        {"padding": "circular", "rpe": "fourier", "patterns": 1, "heads": 4, "phi": "softmax"},
        {"heads": 1, "patterns": 1, "shared": True},
    ],
    "window_attention": [
        {},
        *(
            {"window": window, "shift": shift, "padding": padding}
            for window in ((1, 3, 3), (2, 5, 2))
            for shift in (False, True)
            for padding in ("masked", "zero")
        ),
        {"heads": 1, "window": (3, 2, 6)},
    ],
    "cross_covariance": [{}, {"heads": 1, "bias": False}, {"heads": 4}],
    "linear_attention": [{}, {"heads": 1, "bias": False}, {"heads": 16}],
    "global_filter": [{}, {"grid": (3, 5, 6)}, {"grid": (2, 7, 7)}, {"grid": (1, 7, 4)}],
    "afno": [{}, {"blocks": 1, "expansion": 2}, {"blocks": 16, "threshold": 0.0}],
    "scr": [
        {"planes": planes, "window": 2 * len(planes) - 1, "skip": skip}
        for planes in ((7,), (8, 4), (6, 5, 9), (3, 4, 5, 6))
        for skip in ("relu", "identity", "none")
    ],
    "cca": [
        {"reduced": 8},
        {"reduced": 1, "planes": (1,), "kernels": (5,), "temperature": 1.0},
        {"planes": (4, 4, 1), "kernels": (3, 1, 5), "attention_temperature": 2.0},
        {"planes": (3, 5, 1), "kernels": (1, 3, 3)},
    ],
    "se": [{"planes": None}, {"planes": None, "reduction": 3}, {"planes": 24, "reduction": 5}],
    "sce": [{"planes": planes, "window": window} for planes in ((8, 12), (1, 5)) for window in (1, 3, 7)],
    "local_attention": [{"heads": heads, "window": window} for heads in (None, 1, 4, 16) for window in (1, 3, 5, 7)]
    + [{"attention": False}, {"frames": 3}, {"frames": 5, "heads": 4, "window": 3, "pointwise": False}],
    "motion_excitation": [{}, {"reduction": 4}, {"reduction": 3, "gate": "released"}, {"reduction": 1}],
    "correlation": [
        {},
        {"reduction": 2, "window": 3, "groups": 4},
        {"window": 5, "dilation": 1, "filter": False},
        {"reduction": 1, "window": 1, "dilation": 3},
        {"reduction": 1, "window": 3, "groups": 16},
        {"reduction": 3, "window": 3, "groups": 1, "filter": False},
    ],
    "temporal_difference": [
        {},
        {"reduction": 4},
        {"reduction": 3, "bidirectional": False},
        {"reduction": 2, "gate": "released"},
    ],
    "divided_attention": [{}, {"heads": 1, "bias": False}, {"heads": 16}],
    "integral_action": [
        {"features": 20, "pose_channels": pose, "gate": gate, "pose_frame_factor": factor, "block_frames": frames}
        for gate in ("pose", "appearance", "both", "none")
        for pose, factor, frames in ((None, 1, 1), (7, 2, 3), (5, 3, 1), (16, 1, 5))
    ],
    "score_average": [{"classes": 3}, {"pose_channels": 7, "classes": 100}],
    "pose_to_feature": [
        {"skeleton": "ntu25"},
        {"heatmap_sigma": 1.5, "field_sigma": 2.0, "threshold": 0.5},
    ],
}
OPTIONS = {name: [{}, *(options for options in forms if options)] for name, forms in _FORMS.items()}
_MOTION = dict.fromkeys(
    ("motion_squeeze", "selfy", "rsa", "sifa", "motion_excitation", "temporal_difference"), ((2, 5, 8), (3, 9, 7))
)
_GRIDS = {"cca": ((1, 5, 5), (1, 6, 3)), **_MOTION}
CASES = [
    (name, grid, options)
    for name, choices in OPTIONS.items()
    for grid in _GRIDS.get(name, ((3, 5, 6), (1, 7, 4)))
    for options in choices
]


def made(name, grid, options, channels=16):
    """The operator in evaluation mode, no parameter or statistic of it zero, and inputs of two clips."""
    torch.manual_seed(0)
    card = OPS[name]
    op = card.load()(channels, **options).eval()
    for value in (*op.parameters(), *(buffer for buffer in op.buffers() if buffer.is_floating_point())):
        torch.nn.init.uniform_(value, 0.02, 0.1)  # what starts at zero would hide errors
    if card.draws:
        op.size = grid[1:]
    return op, card.example(2, channels, grid, options=options)


def counts(name, grid, options):
    """(macs, other FLOPs) by the formula, by fvcore on the operator, by the dispatcher on the published algorithm."""
    op, inputs = made(name, grid, options)
    formula, traced = op.cost(*(tuple(x.shape) for x in inputs)), count(op, *inputs)
    meta, shapes = on_meta(op, inputs)
    ran = count_forward(partial(published(name), meta), *shapes)
    assert traced.uncounted == ran.uncounted == ()
    return [(found.macs, found.other_flops) for found in (formula, traced, ran.cost)]


def agree(*found):
    """Each two within 1 %, in macs and in other FLOPs; nothing only where there is nothing."""
    return all(abs(a - b) <= 0.01 * min(a, b) for x, y in combinations(found, 2) for a, b in zip(x, y, strict=True))


def exact(name, grid, options):
    op, inputs = made(name, grid, options)
    return op.double(), [x.double() for x in inputs]
