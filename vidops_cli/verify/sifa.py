"""Cases of SIFA/model/: its two primitives, its ResNet blocks and its Swin block."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidops_cli.functional import sample
from vidops_cli.models.resnet import Bottleneck
from vidops_cli.models.swin import SwinBlock, relative_index, shift_mask
from vidops_cli.ops.global_context import GlobalContext
from vidops_cli.ops.sifa import SIFA
from vidops_cli.ops.temporal_conv import TemporalConv

from .adapter import Adapted, Tensors, arguments, nothing, options
from .cases import Case


def repeated(x: Tensor) -> Tensor:
    """The first frame twice: the released code compares it to itself, and drops what comes of that."""
    return torch.cat([x[:, :, :1], x], dim=2)


class Released(SIFA):
    """What released blocks do to SIFA: `copied` and `raw` are their accidents, wanted by cases of the code as it runs.

    `copied`: the clip is moved by a frame within its own memory, which on a CPU fills all frames with the first one;
    gradients are those of what was meant. `raw`: the kernel reads the memory of (N, T, H, W, C) as (N, C, T, H, W).
    """

    def __init__(self, channels: int, *, copied: bool = False, raw: bool = False, **given: object):
        super().__init__(channels, **given)
        self.copied, self.raw = copied, raw

    def modulated(self, x: Tensor) -> Tensor:
        if not self.copied:
            return super().modulated(x)
        now, then = x[:, :, :-1], x[:, :, 1:]
        now = x[:, :, :1].detach() + (now - now.detach())
        return then * (1 + torch.sigmoid(then - now))

    def attention(self, x: Tensor) -> Tensor:
        return super().attention(x.permute(0, 2, 3, 4, 1).reshape(x.shape) if self.raw else x)

    def forward(self, x: Tensor) -> Tensor:
        """One frame alone is its clip's last: nothing is added but the norm's bias."""
        return super().forward(x) if x.shape[2] > 1 else super().forward(repeated(x))[:, :, 1:]


def accidents(case: Case) -> dict[str, bool]:
    """Which of the released accidents a case has, by its `variant`: none where it says what was meant."""
    told = str(case.meta.get("variant", "")).lower()
    if not told or told.startswith(("int", "contig")):
        return {}
    return {"raw": True} if told.startswith("raw") else {"copied": True}


# --- primitives -------------------------------------------------------------------------------------------------------

PRIMITIVES = {
    "in_channels": nothing,
    "times": nothing,
    "K": "kernel",
    "dilation": "dilation",
    "group": "groups",
    "padding": nothing,
}


def primitives(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    ctor = arguments(case)
    op = SIFA(ctor["in_channels"], offsets="regular", **options(ctor, PRIMITIVES))
    centred = op.dilation * (op.kernel - 1) // 2
    start = centred - ctor.get("padding", centred)  # less padding: a smaller map, and taps that start further inside

    def run(given: Tensors) -> Tensors:
        feat, offset = given["feat"], given["offset"]
        H, W = offset.shape[-2:]
        offset = F.pad(offset + start, (0, feat.shape[-1] - W, 0, feat.shape[-2] - H))
        samples = sample(feat, offset, op.kernel, op.dilation)
        weight = op.correlation(repeated(feat)[:, :, :-1], samples)
        agg = [op.aggregation(one, samples) for one in weight.split(1, dim=1)]  # each group aggregates all channels
        return {"weight": weight.flatten(1, 2)[..., :H, :W], "agg": torch.cat(agg, dim=1)[..., :H, :W]}

    return Adapted(op, run, idle=("def_cor.",))


# --- ResNet blocks ----------------------------------------------------------------------------------------------------

BLOCK = {
    "inplanes": "channels",
    "planes": "width",
    "stride": "stride",
    "downsample": nothing,  # its weights say it
    "clip_len": nothing,  # of the idle weight
}
ATTENTION = {"dilation": "dilation", "cor_group": "groups"}


def block(case: Case, weights: Tensors, taken: Iterable[str] = ()) -> Bottleneck:
    rest = {name: value for name, value in arguments(case).items() if name not in taken}
    given = {"stride": 1, **options(rest, BLOCK)}
    made = Bottleneck(**given)
    if "downsample.0.weight" in weights and isinstance(made.downsample, nn.Identity):
        conv = nn.Conv3d(given["channels"], 4 * given["width"], 1, bias=False)
        made.downsample = nn.Sequential(conv, nn.BatchNorm3d(4 * given["width"]))
    return made


def bottleneck(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    made = block(case, weights, ATTENTION)
    given = options({name: value for name, value in arguments(case).items() if name in ATTENTION}, ATTENTION)
    kernel = weights["def_cor.weight"].shape[-1]
    made.after_conv2 = op = Released(made.conv2.out_channels, kernel=kernel, **given, **accidents(case))
    seen: list[Tensor] = []
    op.register_forward_pre_hook(lambda module, given: seen.append(given[0]))

    def run(given: Tensors) -> Tensors:
        out = made(given["x"])
        feat = seen.pop()
        clip = repeated(feat)
        samples = op.samples(clip)
        corr = op.correlation(clip[:, :, :-1], samples)
        agg = op.aggregation(corr, samples)
        looked_at = {"offset_in": op.modulated(clip), "offset": op.offset(clip), "corr": corr.flatten(1, 2)}
        return {"out": out, "feat": feat, "agg": agg, **looked_at}

    return Adapted(made, run, keys={"conv_offset.": "after_conv2.conv_offset."}, idle=("def_cor.",))


def global_context(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    made = block(case, weights)
    hidden, channels = weights["fc1.weight"].shape[:2]
    made.block_output = GlobalContext(channels, ratio=channels // hidden)
    keys = {"fc1.": "block_output.fc1.", "fc2.": "block_output.fc2."}
    return Adapted(made, lambda given: {"out": made(given["x"])}, keys=keys)


# --- Swin block -------------------------------------------------------------------------------------------------------

SWIN = {
    "dim": "channels",
    "num_heads": "heads",
    "window_size": "window",
    "shift_size": "shift",
    "input_resolution": nothing,
    "clip_len": nothing,
    "mlp_ratio": nothing,  # its weights say it
    "qkv_bias": nothing,
    "qk_scale": nothing,
    "drop": nothing,  # what is dropped in training only
    "attn_drop": nothing,
    "drop_path": nothing,
}


def swin_block(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    ctor = {"window_size": 7, "shift_size": 0, **arguments(case)}
    height, width = ctor["input_resolution"]
    if min(height, width) <= ctor["window_size"]:
        ctor |= {"window_size": min(height, width), "shift_size": 0}
    made = SwinBlock(**options(ctor, SWIN))
    channels, window, shift = ctor["dim"], ctor["window_size"], ctor["shift_size"]
    made.attn.scale = ctor.get("qk_scale") or made.attn.scale
    if "attn.qkv.bias" not in weights:
        made.attn.qkv = nn.Linear(channels, 3 * channels, bias=False)
    hidden = weights["mlp.fc1.weight"].shape[0]
    made.mlp.fc1, made.mlp.fc2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
    if shift:
        made.after_mixer = TemporalConv(channels, kernel=weights["conv.weight"].shape[-1], bias="conv.bias" in weights)
        idle: tuple[str, ...] = ("tda_norm.", "def_cor.")
    else:
        kernel = weights["def_cor.weight"].shape[-1]
        made.after_mixer = Released(channels, offsets="regular", kernel=kernel, norm=True, **accidents(case))
        idle = ("conv.", "def_cor.")
    frames = ctor.get("clip_len") or weights["def_cor.weight"].shape[1]

    def run(given: Tensors) -> Tensors:
        x = given["x"].unflatten(1, (height, width)).unflatten(0, (-1, frames)).permute(0, 4, 1, 2, 3)
        return {"out": made(x).permute(0, 2, 3, 4, 1).flatten(0, 1).flatten(1, 2)}

    built = {"attn.relative_position_index": relative_index(window, window, window)}
    if shift:
        built["attn_mask"] = shift_mask((height, width), (window, window), shift)
    keys = {"tda_norm.": "after_mixer.norm.", "conv.": "after_mixer.conv."}
    return Adapted(made, run, keys=keys, idle=idle, built=built)
