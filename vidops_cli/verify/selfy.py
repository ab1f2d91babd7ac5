"""Cases of SELFY/ops/selfy.py: the block, and its three parts alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidops_cli.models.released.clips import SELFY_KEYS
from vidops_cli.ops.selfy import SELFY

from .adapter import Adapted, Tensors, arguments, clips, frames_of, nothing, only, options
from .cases import Case

OPTIONS = {
    "num_segments": nothing,
    "use_corr_sampler": nothing,  # two forms of one sum
    "window": lambda window: {"offsets": [i - window[0] // 2 for i in range(window[0])]},
    "d_hid": "hidden",
    "ext_chnls": "ext_channels",
    "int_chnls": "int_channels",
}
# what a name means depends on the part
WHOLE = OPTIONS | {"d_in": "channels"}
EXTRACTION = OPTIONS | {"chnls": "ext_channels"}
INTEGRATION = OPTIONS | {
    "d_in": lambda features: {"ext_channels": [1, 1, 1, features]},
    "d_out": "channels",
    "chnls": "int_channels",
}

EXTRACTION_KEYS, INTEGRATION_KEYS = (
    {key.removeprefix(part): ours for key, ours in SELFY_KEYS.items() if key.startswith(part)}
    for part in ("stss_extraction.", "stss_integration.")
)


def build(case: Case, table: Mapping[str, Any], **sizes: int) -> SELFY:
    told = arguments(case)
    op = SELFY(**sizes, **options(told, table))
    op.window = tuple(told.get("window", (5, 9, 9))[1:])  # parts alone take windows of any height and width
    return op


def block(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    op, frames = build(case, WHOLE), arguments(case).get("num_segments", 8)
    return Adapted(op, lambda given: {"out": frames_of(op(clips(given["x"], frames)))}, keys=SELFY_KEYS)


def transformation(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    op, frames = only(build(case, WHOLE), "downsample"), arguments(case).get("num_segments", 8)

    def run(given: Tensors) -> Tensors:
        stss = op.similarity(clips(given["x"], frames))  # b l u v t h w
        return {"out": stss.permute(0, 4, 5, 6, 1, 2, 3).unsqueeze(4)}

    return Adapted(op, run)


def extraction(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    op = only(build(case, EXTRACTION, channels=1), "extraction")

    def run(given: Tensors) -> Tensors:
        stss = given["x"].squeeze(4).permute(0, 4, 5, 6, 1, 2, 3)
        return {"out": op.extract(stss).flatten(0, 1)}

    return Adapted(op, run, keys=EXTRACTION_KEYS)


def integration(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    op = only(build(case, INTEGRATION), "integration", "fuse", "upsample", "norm")

    def run(given: Tensors) -> Tensors:
        features = given["x"].unflatten(0, (-1, len(op.offsets)))
        height, width = features.shape[-2:]
        return {"out": frames_of(op.integrate(features, (2 * height, 2 * width)))}

    return Adapted(op, run, keys=INTEGRATION_KEYS)
