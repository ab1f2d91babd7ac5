"""Cases of renet/models: scr.py, cca.py, renet.py and others/."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vidops_cli.models.released.few_shot import (
    LSA_KEYS,
    SCE_KEYS,
    SCR_KEYS,
    SE_KEYS,
    SEPARABLE_KEYS,
    matching_keys,
    prefixed,
)
from vidops_cli.ops.cca import CCA, Matching4d, SeparableConv4d, centred
from vidops_cli.ops.local_attention import LocalSelfAttention
from vidops_cli.ops.non_local import NonLocal
from vidops_cli.ops.sce import SCE
from vidops_cli.ops.scr import SCR, SelfCorrelationEmbedding
from vidops_cli.ops.scr import self_correlation as correlation_of
from vidops_cli.ops.se import SE

from .adapter import Adapted, Tensors, arguments, exactly, nothing, options
from .cases import Case

SCR_OPTIONS = {
    "planes": "planes",
    "kernel_size": lambda value: {"window": pair(value)},
    "padding": lambda value: {"padding": pair(value)},
    "stride": exactly("stride", 1, (1, 1, 1), [1, 1, 1]),
    "ksize": exactly("ksize", 3, [3, 3, 3, 3]),
    "do_padding": exactly("do_padding", False),
    "bias": exactly("bias", False),
}
CCA_OPTIONS = {"kernel_sizes": "kernels", "planes": "planes"}
SEPARABLE_OPTIONS = {
    "in_planes": "channels",
    "out_planes": "out_channels",
    "ksize": "kernel",
    "stride": exactly("stride", 1, [1, 1, 1]),
    "do_padding": exactly("do_padding", True),
    "bias": exactly("bias", False),
}
HEAD_OPTIONS = {
    "shot": "shots",
    "way": "ways",
    "temperature": "temperature",
    "temperature_attn": "attention_temperature",
    "num_class": "classes",
    **{name: nothing for name in ("query", "self_method", "encoder_dim")},  # the episode and the encoder
}
SE_OPTIONS = {"channel": "channels", "reduction": "reduction"}
SCE_OPTIONS = {"planes": "planes", "kernel_size": lambda value: {"window": square(value)}}
LSA_OPTIONS = {
    "in_channels": "channels",
    "out_channels": "out_channels",
    "kernel_size": "window",
    "padding": "padding",
    "groups": nothing,  # a softmax for each channel is the same in any groups
    "stride": exactly("stride", 1),
    "bias": exactly("bias", False),
}
NON_LOCAL_OPTIONS = {
    "in_channels": "channels",
    "inter_channels": "reduced",
    "sub_sample": "subsample",
    "bn_layer": "norm",
    "dimension": exactly("dimension", 2),
}


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def square(value: Any) -> int:
    height, width = pair(value)
    if height != width:
        raise ValueError(f"a window of {height} x {width} is not known")
    return height


def chosen(case: Case, table: Mapping[str, Any]) -> dict[str, Any]:
    return options(arguments(case), table)


def image(op: nn.Module) -> Any:
    """Run a module of clips on the official x (B, C, H, W)."""
    return lambda inputs: {"out": op(inputs["x"].unsqueeze(2)).squeeze(2)}


def window_of(given: dict[str, Any]) -> tuple[int, int]:
    """The window of a self-correlation, whose padding keeps the map's size."""
    window = given.pop("window", (5, 5))
    padding = given.pop("padding", (2, 2))
    if padding != (window[0] // 2, window[1] // 2):
        raise ValueError(f"a window of {window} with a padding of {padding} is not known")
    return window


def self_correlation(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    window = window_of(chosen(case, SCR_OPTIONS))

    def run(given: Tensors) -> Tensors:
        volume = correlation_of(given["x"].unsqueeze(2), window).squeeze(3)
        return {"out": volume.unflatten(2, window).permute(0, 1, 4, 5, 2, 3)}

    return Adapted(nn.Identity(), run)


def scr(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    """g alone, on a given self-correlation (B, C, H, W, U, V)."""
    planes = chosen(case, SCR_OPTIONS).get("planes") or [640, 64, 64, 64, 640]
    g = SelfCorrelationEmbedding(planes[0], planes[-1], planes[1:-1], inputs["x"].shape[-1])

    def run(given: Tensors) -> Tensors:
        volume = given["x"].permute(0, 1, 4, 5, 2, 3).flatten(2, 3).unsqueeze(3)
        return {"out": g(volume).squeeze(2)}

    return Adapted(g, run, SCR_KEYS)


def self_correlation_scr(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, SCR_OPTIONS)
    planes = given.pop("planes", [640, 64, 64, 64, 640])
    op = SCR(planes[0], planes=planes[1:-1], window=square(window_of(given)), skip="none")
    return Adapted(op, image(op), prefixed(SCR_KEYS, "1.", "g."))


def cca(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    """h alone, on given correlations."""
    h = Matching4d(**{"planes": (16, 1), "kernels": (3, 3), **chosen(case, CCA_OPTIONS)})
    return Adapted(h, lambda given: {"out": h(given["x"])}, matching_keys(weights, "conv.", "conv."))


def separable_conv4d(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, SEPARABLE_OPTIONS)
    conv = SeparableConv4d(given.pop("channels"), given.pop("out_channels"), **given)
    return Adapted(conv, lambda given: {"out": conv(given["x"])}, SEPARABLE_KEYS)


class Head(nn.Module):
    """The released head: CCA, and the classifier of base classes that training adds."""

    def __init__(self, op: CCA, channels: int, classes: int):
        super().__init__()
        self.op = op
        self.fc = nn.Linear(channels, classes)


def head(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, HEAD_OPTIONS)
    shots, ways, classes = given.pop("shots", 1), given.pop("ways", 5), given.pop("classes", 64)
    channels = inputs["qry"].shape[1]
    op = CCA(channels, reduced=weights["cca_1x1.0.weight"].shape[0], **given)
    module = Head(op, channels, classes)

    def run(given: Tensors) -> Tensors:
        support, query = (given[name].flatten(0, -4).unsqueeze(2) for name in ("spt", "qry"))
        if len(support) != shots * ways:
            raise ValueError(f"{len(support)} support images, but {shots} shots of {ways} classes")
        logits = op(support, query, shots=shots)
        return {"logits": logits, "abs_logits": module.fc(centred(query).mean((-2, -1)))}

    keys = {"cca_1x1.": "op.reduction.", **matching_keys(weights, "cca_module.conv.", "op.matching.conv.")}
    return Adapted(module, run, keys)


def se(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, SE_OPTIONS)
    op = SE(given.pop("channels"), planes=weights["conv1x1_in.0.weight"].shape[0], **given)
    return Adapted(op, image(op), SE_KEYS)


def sce(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, SCE_OPTIONS)
    first, *planes, last = given.pop("planes")
    if first != last:
        raise ValueError(f"a module from {first} to {last} channels is not known")
    op = SCE(first, planes=planes, **given)
    return Adapted(op, image(op), SCE_KEYS)


class Unpadded(nn.Module):
    """RENet's local self-attention without padding, with the weights that do nothing in it."""

    def __init__(self, channels: int, window: int):
        super().__init__()
        self.op = LocalSelfAttention(channels, window=window, attention=False)
        self.idle = LocalSelfAttention(channels, window=window)
        del self.idle.value, self.idle.output

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


def local_attention(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, LSA_OPTIONS)
    channels, window, padding = given.pop("channels"), given.pop("window"), given.pop("padding", 0)
    if given.pop("out_channels", channels) != channels:
        raise ValueError("other channels out than in are not known")
    if padding == window // 2:
        op = LocalSelfAttention(channels, window=window)
        return Adapted(op, image(op), LSA_KEYS)
    if padding != 0 or tuple(inputs["x"].shape[2:]) != (window, window):
        raise ValueError(f"a window of {window} with a padding of {padding} on {tuple(inputs['x'].shape)} is not known")
    module = Unpadded(channels, window)
    keys = {name: f"{'op' if name in ('value_conv.', 'agg.') else 'idle'}.{ours}" for name, ours in LSA_KEYS.items()}
    return Adapted(module, image(module), keys | {"rel_": "idle.rel_"})


def non_local(case: Case, inputs: Tensors, weights: Tensors) -> Adapted:
    given = chosen(case, NON_LOCAL_OPTIONS)
    op = NonLocal(given.pop("channels"), **{"subsample": "g.0.weight" in weights, **given})
    keys = {"g.0.": "g.", "phi.0.": "phi."} if op.subsample else {}
    return Adapted(op, image(op), keys if "W.0.weight" in weights else keys | {"W.": "W.0."})
