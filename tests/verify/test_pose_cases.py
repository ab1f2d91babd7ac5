"""Cases that are not shipped, made here as the released code is described: its other options reach the adapters too."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from vidops_cli.ops.pose_maps import SKELETONS
from vidops_cli.verify import find
from vidops_cli.verify.fill import fill
from vidops_cli.verify.run import verify

MODULE = "common/nets/module.py"
LIMBS = SKELETONS["openpose18"].limbs


def row_of(tensors, tmp_path, name="ia_op/case", **meta):
    path = tmp_path / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path, told)
    (case,) = find(tmp_path)
    return verify(case, torch.device("cpu"))


def filled(shapes, prefix=""):
    return {f"{prefix}{key}": fill(f"{prefix}{key}", shape) for key, shape in shapes.items()}


def norm_shapes(name, width):
    shapes = {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def block_shapes(name, out, channels, *kernel):
    return {f"{name}.0.weight": (out, channels, *kernel), f"{name}.0.bias": (out,), **norm_shapes(f"{name}.1", out)}


def batch_norm(x, w, name, train):
    stats = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    return F.batch_norm(x, *stats, w[f"{name}.weight"], w[f"{name}.bias"], training=train)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("gated", [True, False])
def test_aggregator(gated, factor, tmp_path):
    torch.manual_seed(0)
    T, img, dim, out = 4, 6, 5, 7
    shapes = {
        **block_shapes("pose_temporal_conv", dim, dim, 5, 1, 1),
        **{"pose_gate_fc.0.weight": (out, dim), "pose_gate_fc.0.bias": (out,)},
        **block_shapes("img_conv", out, img, 1, 1),
        **block_shapes("pose_conv", out, dim, 1, 1),
        **{f"{name}_norm.{key}": (out, 1, 1) for name in ("img", "pose") for key in ("weight", "bias")},
    }
    w = filled(shapes, "aggregator.")
    given = {
        "video_feat": torch.randn(2 * T, img, 3, 2),
        "pose_feat": torch.randn(2 * (factor * (T - 1) + 1), dim, 2, 2),
    }
    given = {key: value.requires_grad_() for key, value in given.items()}

    def aggregate(w, train=False):
        video, pose = (x.mean((2, 3), keepdim=True) for x in given.values())
        if factor > 1:
            pose = pose.unflatten(0, (2, -1)).transpose(1, 2)
            kernel, bias = (w[f"aggregator.pose_temporal_conv.0.{key}"] for key in ("weight", "bias"))
            pose = F.conv3d(pose, kernel, bias, stride=(factor, 1, 1), padding=(2, 0, 0))
            pose = batch_norm(pose, w, "aggregator.pose_temporal_conv.1", train).relu()
            pose = pose.transpose(1, 2).flatten(0, 1)
        found = []
        for name, x in (("img", video), ("pose", pose)):
            y = F.conv2d(x, w[f"aggregator.{name}_conv.0.weight"], w[f"aggregator.{name}_conv.0.bias"])
            y = batch_norm(y, w, f"aggregator.{name}_conv.1", train).relu()
            scale, shift = (w[f"aggregator.{name}_norm.{key}"] for key in ("weight", "bias"))
            found.append(F.layer_norm(y, [out, 1, 1], scale, shift) if gated else y)
        if not gated:
            return {"feat": sum(found)}
        score = F.linear(pose[..., 0, 0], w["aggregator.pose_gate_fc.0.weight"], w["aggregator.pose_gate_fc.0.bias"])
        gate = score.sigmoid()[..., None, None]
        return {"feat": found[0] * (1 - gate) + found[1] * gate, "gate": gate}

    outputs = aggregate(w)
    seeds = {name: torch.randn_like(y) for name, y in outputs.items()}
    sum((outputs[name] * seed).sum() for name, seed in seeds.items()).backward()
    after = {name: value.clone() for name, value in w.items()}
    trained = aggregate(after, train=True)
    tensors = {
        **{f"input.{name}": value for name, value in given.items()},
        **{f"weight.{name}": value for name, value in w.items()},
        **{f"output.{name}": value for name, value in outputs.items()},
        **{f"gradseed.{name}": value for name, value in seeds.items()},
        **{f"grad.input.{name}": value.grad for name, value in given.items()},
        **{f"train_output.{name}": value for name, value in trained.items()},
        **{f"train_stat.{name}": value for name, value in after.items() if "running" in name},
    }
    cfg = {"pose_gate": gated, "pose_frame_factor": factor, "frame_per_seg": T}
    cfg |= {"img_dim": img, "pose_dim": dim, "agg_feat_dim": out}
    row = row_of(tensors, tmp_path, official=f"{MODULE}::Aggregator (keys prefixed aggregator.)", cfg=cfg)
    assert row["passed"] is True, row
    assert None not in (row["err_grad"], row["err_train"])


@pytest.mark.parametrize("joints, limbs", [(25, SKELETONS["ntu25"].limbs), (4, ((3, 1), (1, 0)))])
def test_pose_to_feature_of_any_skeleton(joints, limbs, tmp_path):
    torch.manual_seed(0)
    w = filled(block_shapes("conv", 8, joints + 2 * len(limbs), 3, 3))
    heat, paf = torch.randn(3, joints, 5, 4), torch.randn(3, 2 * len(limbs), 5, 4)
    y = F.conv2d(torch.cat([heat, paf], 1), w["conv.0.weight"], w["conv.0.bias"], padding=1)
    tensors = {"input.heatmap": heat, "input.paf": paf, "output.out": batch_norm(y, w, "conv.1", False).relu()}
    tensors |= {f"weight.{name}": value for name, value in w.items()}
    row = row_of(
        tensors,
        tmp_path,
        official=f"{MODULE}::Pose2Feat",
        ctor={"joint_num": joints, "skeleton": [list(s) for s in limbs]},
    )
    assert row["passed"] is True, row


def rendered(coords, scores, size, heat_sigma, paf_sigma, threshold):
    """Person by person; also how far each pixel is from the border of a limb's band, and who was counted."""
    N, P, J, _ = coords.shape
    H, W = size
    y, x = torch.meshgrid(torch.arange(H).to(coords), torch.arange(W).to(coords), indexing="ij")
    heat, paf = torch.zeros(N, J, H, W).to(coords), torch.zeros(N, 2 * len(LIMBS), H, W).to(coords)
    for n in range(N):
        for j, p in ((j, p) for j in range(J) for p in range(P) if scores[n, p, j] > threshold):
            px, py = coords[n, p, j]
            heat[n, j] += torch.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * heat_sigma**2))
        for s, (a, b) in enumerate(LIMBS):
            count = torch.zeros(H, W)
            for p in range(P):
                if min(scores[n, p, a], scores[n, p, b]) >= threshold:
                    v = coords[n, p, b] - coords[n, p, a]
                    length, dx, dy = v.norm(), x - coords[n, p, a, 0], y - coords[n, p, a, 1]
                    v = v / length
                    along, across = v[0] * dx + v[1] * dy, v[0] * dy - v[1] * dx
                    inside = (along >= 0) & (along <= length) & (across.abs() <= paf_sigma)
                    paf[n, 2 * s : 2 * s + 2] += v[:, None, None] * inside
                    count += inside
            paf[n, 2 * s : 2 * s + 2] /= count.clamp(min=1)
    return heat.clamp(max=1), paf


def rendering(coords, scores, size=(14, 17), heat_sigma=0.5, paf_sigma=1, threshold=0.1):
    heat, paf = rendered(coords, scores, size, heat_sigma, paf_sigma, threshold)
    tensors = {"input.coord": coords, "input.score": scores, "output.heatmap": heat, "output.paf": paf}
    meta = {"official": "IntegralAction main/model.py::Model.render_gaussian_heatmap / render_paf", "skeleton": LIMBS}
    meta |= {"hm_shape": size, "hm_sigma": heat_sigma, "paf_sigma": paf_sigma, "pose_score_thr": threshold}
    return tensors, meta


@pytest.mark.parametrize("options", [{}, {"heat_sigma": 2, "paf_sigma": 0.7, "threshold": 0.4, "size": (20, 9)}])
@pytest.mark.parametrize("persons", [1, 3, 5])
def test_rendering(persons, options, tmp_path):
    torch.manual_seed(persons)
    coords, scores = torch.rand(2, persons, 18, 2) * 20 - 3, torch.rand(2, persons, 18)
    tensors, meta = rendering(coords, scores, **options)
    row = row_of(tensors, tmp_path, **meta)
    assert row["passed"] is True, row
    assert row["left_out"] == 0


def border_case():
    """A diagonal limb that ends at a pixel: whether that pixel counts is decided in the last digit."""
    torch.manual_seed(0)
    coords, scores = torch.rand(1, 2, 18, 2) * 12, torch.ones(1, 2, 18)
    coords[0, 0, 0], coords[0, 0, 1] = torch.tensor([2.0, 3.0]), torch.tensor([9.0, 8.0])
    scores[0, 1, :2] = 0
    tensors, meta = rendering(coords, scores)
    limb = tensors["output.paf"][0, :2]
    v = torch.tensor([7.0, 5.0]) / 74**0.5
    return tensors, meta, limb, v


def test_a_pixel_at_the_border_of_a_limb_may_count_or_not(tmp_path):
    tensors, meta, limb, v = border_case()
    rows = []
    for i, value in enumerate((v, 0 * v)):
        limb[:, 8, 9] = value
        rows.append(row_of(tensors, tmp_path / str(i), **meta))
    assert [row["passed"] for row in rows] == [True, True], rows
    assert sorted(row["left_out"] for row in rows) == [0, 2]


def test_nothing_else_may_differ_there_and_nothing_elsewhere(tmp_path):
    tensors, meta, limb, v = border_case()
    for i, (place, value) in enumerate(
        [
            ((slice(None), 8, 9), v / 2),  # neither in nor out
            ((0, 8, 9), v[1] - 0.02),
            ((slice(None), 5, 5), 0 * v),  # well inside
            ((slice(None), 9, 10), v),  # just beyond
        ]
    ):
        before = limb.clone()
        limb[place] = value
        row = row_of(tensors, tmp_path / str(i), **meta)
        assert row["passed"] is False, (place, row)
        assert "output.paf" in row["note"]
        limb.copy_(before)


def loops(x, frames, fold, step, circular):
    y = x.unflatten(0, (-1, frames)).clone()
    for t in range(frames):
        for part, at in ((slice(fold), t + step), (slice(fold, 2 * fold), t - step)):
            inside = circular or 0 <= at < frames
            y[:, t, part] = x.unflatten(0, (-1, frames))[:, at % frames, part] if inside else 0
    return y.flatten(0, 1)


@pytest.mark.parametrize("told", [{}, {"split": "C//4 , C//4, C//2", "direction": "first 1/4: out[t]=in[t-1]"}])
@pytest.mark.parametrize(
    "official", ["IntegralAction common/nets/tsm/tsm_util.py::tsm", "IntegralAction/tsm_util.py::tsm"]
)
def test_shift_of_integral_action(official, told, tmp_path):
    torch.manual_seed(0)
    x8, other = torch.randn(8, 8, 3, 3), torch.randn(6, 12, 2, 2)
    tensors = {
        "input.x8": x8,
        "input.x_other": other,
        "output.zero_x8": loops(x8, 4, 2, -1, False),
        "output.circulant_x8": loops(x8, 4, 2, -1, True),
        "output.zero_x8_T2": loops(x8, 2, 2, -1, False),
        "output.zero_x_other_T3": loops(other, 3, 3, -1, False),
        "output.zero_x_other_T364": loops(other.double(), 3, 3, -1, False),
    }
    row = row_of(tensors, tmp_path, "tsm/case", official=official, duration=4, **told)
    assert row["passed"] is True, row


def test_shift_of_one_input(tmp_path):
    x = torch.randn(4, 16, 1, 2)
    tensors = {"input.x": x, "output.zero": loops(x, 4, 2, 1, False), "output.circulant": loops(x, 4, 2, -1, True)}
    row = row_of(tensors, tmp_path, "tsm/case", official="SELFY/ops/tsm_util.py::tsm", args={"duration": 4})
    assert row["passed"] is True, row
    tensors["output.zero"] = loops(x, 4, 2, -1, False)
    row = row_of(tensors, tmp_path, "tsm/case", official="SELFY/ops/tsm_util.py::tsm", args={"duration": 4})
    assert row["passed"] is False
