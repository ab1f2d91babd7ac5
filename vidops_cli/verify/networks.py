"""Cases of whole networks: the fill rule makes their weights from a manifest; they are converted and run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.models import released
from vidops_cli.models.released import Layout
from vidops_cli.ops.sifa import SIFA

from .adapter import Tensors, frames_of
from .cases import Case
from .fill import clip, fill, normal
from .sifa import Released, accidents

Shapes = dict[str, tuple[int, ...]]
FILLED = 1e-4  # largest difference from a manifest's sum of absolute values, as a share of it


@dataclass(frozen=True)
class Run:
    """`whole` is our network, called `name`; `outputs` gives official outputs; `seen`: official features -> parts."""

    whole: nn.Module
    name: str
    outputs: Callable[[], Tensors]
    seen: Mapping[str, str] = field(default_factory=dict)
    flat: bool = True  # features hold a clip's frames one by one, (B T, C, H, W)


def manifest_of(case: Case) -> list[dict[str, Any]]:
    """Official weights of a network: names, shapes, and whether the rule fills them. ValueError without a manifest.

    It stands beside the case under its name; else it is one of that folder of as many parameters.
    """
    for path in (case.path.with_suffix(".manifest.json"), *sorted(case.path.parent.glob("*.manifest.json"))):
        if path.is_file():
            told = json.loads(path.read_text())
            if path.name.startswith(f"{case.path.stem}.") or told["n_params"] == case.meta.get("n_params"):
                return told["keys"]
    raise ValueError(f"no manifest of {case.meta.get('n_params')} parameters beside the case")


def weights(case: Case) -> Tensors:
    """The official state dict. ValueError where a weight is not as the manifest has it."""
    gains = case.meta.get("fill_gains") or ()
    found = {}
    for told in manifest_of(case):
        if not told["filled"]:
            continue
        value = fill(told["key"], told["shape"], gains)
        total = value.double().abs().sum().item()
        if abs(total - told["abssum"]) > FILLED * max(1.0, told["abssum"]):
            raise ValueError(f"{told['key']} sums up to {total:.6g}, the manifest says {told['abssum']:.6g}")
        found[told["key"]] = value
    return found


def made(case: Case, read: Callable[[Shapes], Layout], device: torch.device) -> tuple[nn.Module, str]:
    """Our network with the official weights, in evaluation mode, and what it is called."""
    state = weights(case)
    layout = read({key: tuple(value.shape) for key, value in state.items()})
    network = layout.build()
    network.load_state_dict(released.convert(state, layout), strict=layout.classes is not None)
    if wrong := accidents(case):
        for module in list(network.modules()):
            for name, op in list(module.named_children()):
                if isinstance(op, SIFA):
                    setattr(module, name, as_run(op, **wrong))
    return network.to(device).eval(), " + ".join([layout.network, *(op["op"] for op in layout.ops)])


def as_run(op: SIFA, **wrong: bool) -> Released:
    """The operator with the released code's accidents."""
    given = {name: getattr(op, name) for name in ("offsets", "kernel", "dilation", "groups", "modulation")}
    other = Released(op.channels, norm=op.norm is not None, **given, **wrong)
    other.load_state_dict(op.state_dict())
    return other


def clips_of(case: Case, device: torch.device, **names: str) -> Tensor:
    """(B, 3, T, H, W), by the rule that the case tells."""
    rule = case.meta["input_rule"]
    found = re.search(r"fill\.clip\(\s*'?([\w/]+)'?\s*,\s*(\d+),\s*(\d+),\s*(\d+),\s*(\d+)(?:,\s*step=(\d+))?", rule)
    if found is None:
        raise ValueError(f"the rule of its input is not known: {rule[:80]}")
    name, *sizes, step = found.groups()
    name = case.meta["input_name"] if name == "input_name" else name
    given = {} if step is None else {"step": int(step)}
    return clip(name, *map(int, sizes), **given).transpose(1, 2).to(device)


# --- one function for each source -------------------------------------------------------------------------------------

STAGES = {f"layer{i}": f"layer{i}" for i in range(1, 5)}


def _clip_network(layout_of: Callable[[Shapes], Layout], seen: Mapping[str, str], *, flat: bool = True) -> Any:
    def run(case: Case, inputs: Tensors, device: torch.device) -> Run:
        network, name = made(case, layout_of, device)
        x = clips_of(case, device)
        return Run(network, name, lambda: {"logits": network(x)}, {**STAGES, **seen}, flat)

    return run


motionsqueeze = _clip_network(released.motionsqueeze, {"flow_refinement": "after_res3"})
selfy = _clip_network(released.selfy, {"selfy": "after_res3"})
tsm = _clip_network(released.tsm, {})
rsa = _clip_network(released.rsa, {"layer3.1.conv2(RSA).out": "layer3.1.conv2"}, flat=False)

torchvision = _clip_network(released.torchvision, {}, flat=False)
timm = _clip_network(released.timm, {})


def resnet12(case: Case, inputs: Tensors, device: torch.device) -> Run:
    network, name = made(case, lambda shapes: Layout("resnet12", None, keys={"": "encoder."}), device)
    x = clips_of(case, device)
    seen = {f"layer{i}": f"encoder.layer{i}" for i in range(1, 5)}
    return Run(network, name, lambda: {"features": network.encoder(x).squeeze(2)}, seen)


def renet_encode(case: Case, inputs: Tensors, device: torch.device) -> Run:
    network, name = made(case, released.renet, device)
    x = clips_of(case, device)
    return Run(network, name, lambda: {"encoded": network.maps(x).squeeze(2)[:, ::8]})


def renet_episode(case: Case, inputs: Tensors, device: torch.device) -> Run:
    """Images of one class are the same texture in other noise; the first are the support, one of each class."""
    network, name = made(case, released.renet, device)
    ways = case.meta["args"]["way"]
    base = clips_of(case, device)
    noise = normal(
        re.search(r"fill\.randn\('([\w/]+)'", case.meta["input_rule"])[1], (3 * ways, *base.shape[1:2], *base.shape[3:])
    )
    x = base.repeat(3, 1, 1, 1, 1) + 0.5 * noise.unsqueeze(2).to(device)

    def outputs() -> Tensors:
        maps = network.maps(x)
        return {
            "encoded": maps.squeeze(2)[:, ::16],
            "logits": network.scores(maps[:ways].unsqueeze(0), maps[ways:]),
            "fc_logits": network.logits(maps),
        }

    return Run(network, name, outputs)


def integral_action(case: Case, inputs: Tensors, device: torch.device) -> Run:
    cfg = case.meta["cfg"]
    factor = cfg["pose_frame_factor"]
    told = {"mode": cfg["mode"], "gate": cfg["pose_gate"], "factor": factor}
    network, name = made(case, lambda shapes: released.integral_action(shapes, **told), device)
    x = clips_of(case, device)
    B, _, T = x.shape[:3]
    frames = factor * (T - 1) + 1
    coords, scores = (
        inputs[name].reshape(B, frames, *inputs[name].shape[2:]) for name in ("pose_coords", "pose_scores")
    )
    size = tuple(cfg["input_hm_shape"])

    def logits(features: Tensor) -> Tensor:
        return network.fc(features.flatten(3).mean(3).transpose(1, 2)).mean(1)

    def outputs() -> Tensors:
        found: Tensors = {}
        if cfg["mode"] == "rgb_only":
            found["logits"] = network(x)
        else:
            stream = network.pose
            pose = stream.resnet(stream.pose_input(coords, scores, size))
            if cfg["mode"] == "pose_only":
                found["logits"] = logits(pose)
            else:
                op = network.two_stream
                vectors = op.vectors(network.rgb(x), pose)
                found["logits"] = logits(op.integrate(*vectors))
                if cfg["pose_gate"]:
                    gate = op.gate(*vectors)
                    push = -gate.clamp_min(torch.finfo(gate.dtype).tiny).log() * cfg["reg_weight"]
                    found |= {"loss_pose_gate": push.flatten(0, 1)[..., None, None], "pose_gate": gate.mean((1, 2))}
        label = torch.arange(B, device=device) + 3
        found["action_prob"] = found["logits"].softmax(-1)
        found["loss_action_cls"] = nn.functional.cross_entropy(found["logits"], label, reduction="none")
        return found

    if cfg["mode"] == "rgb_only":
        return Run(network, name, outputs, {"img_backbone": "after_res5"})
    parts = {"pose_backbone": "pose.resnet", "pose2feat": "pose.pose_input"}
    return Run(network, name, outputs, parts | ({} if cfg["mode"] == "pose_only" else {"img_backbone": "rgb"}))


def sifa_net(case: Case, inputs: Tensors, device: torch.device) -> Run:
    network, name = made(case, released.sifa_net, device)
    x = clips_of(case, device)

    def outputs() -> Tensors:
        one, other = network.streams(x)
        return {"logits": one, "logits_dual": other}

    return Run(network, name, outputs, {**STAGES, "layer4_dual": "layer4_dual"}, flat=False)


def sifa_swin(case: Case, inputs: Tensors, device: torch.device) -> Run:
    network, name = made(case, released.sifa_swin, device)
    x = clips_of(case, device)
    return Run(network, name, lambda: {"logits": network(x)})


# --- features ---------------------------------------------------------------------------------------------------------


def features(run: Run, expected: Tensors) -> Iterator[tuple[str, Tensor]]:
    """(name, ours) of stored features: a corner of each, and mean, standard deviation and largest size of the whole."""
    kept: Tensors = {}
    hooks = []
    for name, part in run.seen.items():
        if name in expected:
            hooks.append(
                run.whole.get_submodule(part).register_forward_hook(lambda _, x, y, name=name: kept.update({name: y}))
            )
    try:
        run.outputs()
    finally:
        for hook in hooks:
            hook.remove()
    for name, value in kept.items():
        ours = frames_of(value) if run.flat else value
        yield name, ours[tuple(slice(size) for size in expected[name].shape)]
        whole = ours.double()
        yield f"{name} (whole)", torch.stack([whole.mean(), whole.std(), whole.abs().max()])
