"""Cases that are not shipped, made here as the released code is described: its other options reach the adapters too."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vidops_cli.verify import find
from vidops_cli.verify.fill import fill
from vidops_cli.verify.run import verify


def row_of(tmp_path, tensors, **meta):
    path = tmp_path / "sifa_op" / "case.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path, told)
    (case,) = find(tmp_path)
    return verify(case, torch.device("cpu"))


def case_of(function, inputs, weights):
    """Tensors of a case: outputs of a function of (inputs, weights), and gradients of their seeded sum to inputs."""
    inputs = {name: value.requires_grad_() for name, value in inputs.items()}
    outputs = function(inputs, weights)
    seeds = {name: torch.randn(value.shape) for name, value in outputs.items()}
    grads = torch.autograd.grad(
        sum((outputs[name] * seed).sum() for name, seed in seeds.items()), list(inputs.values())
    )
    return {
        **{f"input.{name}": value for name, value in inputs.items()},
        **{f"weight.{name}": value for name, value in weights.items()},
        **{f"output.{name}": value for name, value in outputs.items()},
        **{f"gradseed.{name}": value for name, value in seeds.items()},
        **{f"grad.input.{name}": value for name, value in zip(inputs, grads, strict=True)},
    }


def coragg(feat, offset, K, dilation=1, padding=1, group=1):
    """Weights and aggregate of the released kernels, by grid_sample."""
    _, C, T, H, W = feat.shape
    rows, columns = offset.shape[-2:]
    weight, agg = [], []
    for t in range(T):
        query, reads = feat[:, :, max(t - 1, 0), :rows, :columns], []
        for k in range(K * K):
            y = torch.arange(rows)[:, None] - padding + k // K * dilation + offset[:, 2 * k, t]
            x = torch.arange(columns) - padding + k % K * dilation + offset[:, 2 * k + 1, t]
            grid = torch.stack([(2 * x + 1) / W - 1, (2 * y + 1) / H - 1], dim=-1)
            reads.append(F.grid_sample(feat[:, :, t], grid, align_corners=False))
        reads = torch.stack(reads, dim=2)  # N C K*K rows columns
        dots = (query[:, :, None] * reads / C).unflatten(1, (group, -1)).sum(2)
        weight.append(dots.flatten(1, 2))
        agg.append((dots[:, :, None] * reads[:, None]).sum(3).flatten(1, 2))
    return torch.stack(weight, dim=2), torch.stack(agg, dim=2)


@pytest.mark.parametrize(
    "ctor",
    [
        {"K": 3, "dilation": 1, "group": 2, "padding": 1},
        {"K": 5, "dilation": 1, "group": 1, "padding": 2},
        {"K": 1, "dilation": 1, "group": 4, "padding": 0},
        {"K": 3, "dilation": 2, "group": 1, "padding": 1},  # a smaller map
    ],
)
def test_primitives(ctor, tmp_path):
    torch.manual_seed(0)
    C, T, H, W, K = 4, 3, 6, 7, ctor["K"]
    less = ctor["dilation"] * (K - 1) - 2 * ctor["padding"]
    inputs = {"feat": torch.randn(2, C, T, H, W), "offset": 1.5 * torch.randn(2, 2 * K * K, T, H - less, W - less)}
    weights = {"def_cor.weight": fill("def_cor.weight", (C, T, K, K))}
    tensors = case_of(
        lambda given, _: dict(zip(("weight", "agg"), coragg(given["feat"], given["offset"], **ctor), strict=True)),
        inputs,
        weights,
    )
    official = "SIFA/model/defcor.py (DefCorFixW, DefAgg)"
    row = row_of(tmp_path, tensors, official=official, ctor={"in_channels": C, "times": T, **ctor})
    assert row["passed"] is True, row
    assert row["err_grad"] is not None


def norm(x, w, name):
    stats = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return F.batch_norm(x, *stats, w[f"{name}.weight"], w[f"{name}.bias"])


def shapes_of_block(inplanes, planes, frames=None, downsample=False):
    shapes = {
        "conv1.weight": (planes, inplanes, 1, 1, 1),
        "conv2.weight": (planes, planes, 1, 3, 3),
        "conv3.weight": (4 * planes, planes, 1, 1, 1),
    }
    norms = {"bn1": planes, "bn2": planes, "bn3": 4 * planes}
    if downsample:
        shapes["downsample.0.weight"] = (4 * planes, inplanes, 1, 1, 1)
        norms["downsample.1"] = 4 * planes
    if frames:
        shapes |= {"conv_offset.weight": (18, planes, 1, 3, 3), "def_cor.weight": (planes, frames, 3, 3)}
    for name, width in norms.items():
        shapes |= {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}
        shapes[f"{name}.num_batches_tracked"] = ()
    return shapes


def moved_back(agg):
    return torch.cat([agg[:, :, 1:], torch.zeros_like(agg[:, :, :1])], dim=2)


def released_bottleneck(x, w, stride, copied):
    feat = norm(F.conv3d(x, w["conv1.weight"]), w, "bn1").relu()
    feat = norm(F.conv3d(feat, w["conv2.weight"], stride=(1, stride, stride), padding=(0, 1, 1)), w, "bn2").relu()
    before = feat[:, :, [0, *range(feat.shape[2] - 1)]]
    if copied:  # a copy onto itself: on a CPU all frames hold the first one, and gradients are still those of the above
        before = before + (feat[:, :, :1] - before).detach()
    offset_in = feat * (1 + torch.sigmoid(feat - before))
    offset = F.conv3d(offset_in, w["conv_offset.weight"], padding=(0, 1, 1))
    corr, agg = coragg(feat, offset, 3)
    out = norm(F.conv3d(feat + moved_back(agg), w["conv3.weight"]), w, "bn3")
    if "downsample.0.weight" in w:
        x = norm(F.conv3d(x, w["downsample.0.weight"], stride=(1, stride, stride)), w, "downsample.1")
    extra = {"offset_in": offset_in, "offset": offset, "corr": corr, "feat": feat, "agg": agg}
    return {"out": (out + x).relu(), **extra}


@pytest.mark.parametrize("variant", ["intended: t-1 feature is a CLONE", "AS RUN: literal overlapping copy on CPU"])
@pytest.mark.parametrize(
    "frames, stride, downsample", [(4, 1, False), (2, 1, True), (1, 1, False), (3, 2, True), (1, 2, True)]
)
def test_bottleneck(frames, stride, downsample, variant, tmp_path):
    torch.manual_seed(0)
    inplanes, planes = 16, 4
    weights = {key: fill(key, shape) for key, shape in shapes_of_block(inplanes, planes, frames, downsample).items()}
    copied = variant.startswith("AS RUN")
    inputs = {"x": torch.randn(2, inplanes, frames, 6, 6)}
    tensors = case_of(lambda given, w: released_bottleneck(given["x"], w, stride, copied), inputs, weights)
    ctor = {"inplanes": inplanes, "planes": planes, "clip_len": frames, "stride": stride}
    official = {"official": "SIFA/model/c2d_sifa_resnet.py", "cls": "DEFLocalTransBottleneck"}
    row = row_of(tmp_path, tensors, **official, ctor=ctor, variant=variant)
    assert row["passed"] is True, row
    if frames > 2:
        row = row_of(tmp_path, tensors, **official, ctor=ctor, variant="intended" if copied else "as run")
        assert row["passed"] is False


@pytest.mark.parametrize("inplanes, planes, stride", [(16, 4, 1), (32, 16, 2)])
def test_global_context_block(inplanes, planes, stride, tmp_path):
    torch.manual_seed(0)
    downsample, hidden = stride > 1, max(1, 4 * planes // 16)
    shapes = shapes_of_block(inplanes, planes, None, downsample)
    shapes |= {"fc1.weight": (hidden, 4 * planes), "fc1.bias": (hidden,)}
    shapes |= {"fc2.weight": (4 * planes, hidden), "fc2.bias": (4 * planes,)}

    def released(given, w):
        x = given["x"]
        y = norm(F.conv3d(x, w["conv1.weight"]), w, "bn1").relu()
        y = norm(F.conv3d(y, w["conv2.weight"], stride=(1, stride, stride), padding=(0, 1, 1)), w, "bn2").relu()
        y = norm(F.conv3d(y, w["conv3.weight"]), w, "bn3")
        context = F.linear(y.mean((2, 3, 4)), w["fc1.weight"], w["fc1.bias"]).relu()
        y = y + F.linear(context, w["fc2.weight"], w["fc2.bias"])[:, :, None, None, None]
        if downsample:
            x = norm(F.conv3d(x, w["downsample.0.weight"], stride=(1, stride, stride)), w, "downsample.1")
        return {"out": (x + y).relu()}

    weights = {key: fill(key, shape) for key, shape in shapes.items()}
    tensors = case_of(released, {"x": torch.randn(2, inplanes, 3, 6, 6)}, weights)
    ctor = {"inplanes": inplanes, "planes": planes, "stride": stride, "downsample": str(downsample)}
    row = row_of(tmp_path, tensors, official="SIFA/model/c2d_sifa_resnet.py", cls="GBottleneck", ctor=ctor)
    assert row["passed"] is True, row


def swin_shapes(dim, heads, window, frames, ratio=4):
    return {
        **{f"norm{i}.{key}": (dim,) for i in (1, 2) for key in ("weight", "bias")},
        **{"tda_norm.weight": (dim,), "tda_norm.bias": (dim,)},
        **{"attn.qkv.weight": (3 * dim, dim), "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,)},
        "attn.relative_position_bias_table": ((2 * window - 1) ** 2, heads),
        **{"mlp.fc1.weight": (ratio * dim, dim), "mlp.fc1.bias": (ratio * dim,)},
        **{"mlp.fc2.weight": (dim, ratio * dim), "mlp.fc2.bias": (dim,)},
        **{"conv.weight": (dim, dim, 1, 3), "def_cor.weight": (dim, frames, 3, 3)},
    }


def released_swin(x, w, *, heads, frames, raw):
    """A block whose one window is the map: no shift."""
    tokens, dim = x.shape[1:]
    side = int(tokens**0.5)
    place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
    apart = place[:, :, None] - place[:, None, :] + side - 1
    index = apart[0] * (2 * side - 1) + apart[1]
    y = F.layer_norm(x, (dim,), w["norm1.weight"], w["norm1.bias"])
    q, k, v = (
        F.linear(y, w["attn.qkv.weight"], w.get("attn.qkv.bias")).view(-1, tokens, 3, heads, dim // heads).unbind(2)
    )
    logits = torch.einsum("bnhc,bmhc->bhnm", q, k) * (dim // heads) ** -0.5
    logits = logits + w["attn.relative_position_bias_table"][index].permute(2, 0, 1)
    y = torch.einsum("bhnm,bmhc->bnhc", logits.softmax(-1), v).flatten(2)
    x = x + F.linear(y, w["attn.proj.weight"], w["attn.proj.bias"])
    clip = x.view(-1, frames, side, side, dim)
    N = clip.shape[0]
    # raw: the memory of (N, T, H, W, C), read as (N, C, T, H, W)
    clip = clip.contiguous().view(N, dim, frames, side, side) if raw else clip.permute(0, 4, 1, 2, 3)
    _, agg = coragg(clip, torch.zeros(N, 18, frames, side, side), 3)
    agg = moved_back(agg).permute(0, 2, 3, 4, 1)
    x = x + F.layer_norm(agg, (dim,), w["tda_norm.weight"], w["tda_norm.bias"]).reshape(x.shape)
    y = F.layer_norm(x, (dim,), w["norm2.weight"], w["norm2.bias"])
    y = F.linear(F.gelu(F.linear(y, w["mlp.fc1.weight"], w["mlp.fc1.bias"])), w["mlp.fc2.weight"], w["mlp.fc2.bias"])
    return {"out": x + y, "index": index}


@pytest.mark.parametrize("variant", ["CONTIGUOUS: what was meant", "RAW MEMORY: what the official kernel really does"])
@pytest.mark.parametrize("frames, bias, ratio", [(4, True, 4), (2, False, 3), (1, True, 4)])
def test_swin_block(frames, bias, ratio, variant, tmp_path):
    """With the window and the shift of a map that is too small for them."""
    torch.manual_seed(0)
    dim, heads, side = 8, 2, 4
    raw = variant.startswith("RAW")
    shapes = swin_shapes(dim, heads, side, frames, ratio) | ({"attn.qkv.bias": (3 * dim,)} if bias else {})
    weights = {key: fill(key, shape) for key, shape in shapes.items()}
    index = []

    def released(given, w):
        found = released_swin(given["x"], w, heads=heads, frames=frames, raw=raw)
        index.append(found.pop("index"))
        return found

    tensors = case_of(released, {"x": torch.randn(2 * frames, side * side, dim)}, weights)
    tensors["weight.attn.relative_position_index"] = index[0]
    ctor = {"dim": dim, "input_resolution": [side, side], "num_heads": heads, "window_size": 7, "shift_size": 3}
    ctor |= {"clip_len": frames, "mlp_ratio": float(ratio), "qkv_bias": bias, "drop_path": 0.1}
    official = "SIFA/model/c2d_sifa_swin.py::SIFASwinTransformerBlock"
    row = row_of(tmp_path, tensors, official=official, ctor=ctor, variant=variant)
    assert row["passed"] is True, row
    if frames > 1:
        other = row_of(tmp_path, tensors, official=official, ctor=ctor, variant="contig" if raw else "raw memory")
        assert other["passed"] is False
