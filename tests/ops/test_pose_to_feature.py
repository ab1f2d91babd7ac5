import itertools
import math

import pytest
import torch
from safetensors.torch import load_file

from vidops_cli.ops.pose_maps import SKELETONS, Skeleton
from vidops_cli.ops.pose_to_feature import PoseToFeature
from vidops_cli.textbook import textbook
from vidops_cli.verify import SHIPPED
from vidops_cli.verify.fill import fill

TRIANGLE = Skeleton(3, ((0, 1), (1, 2), (0, 2)))
SIZE = (7, 9)


def people(persons=3, joints=3, frames=2, batch=2, dtype=torch.float64):
    """Joints on and around a map of 7 x 9, half of them scoring below 0.5."""
    torch.manual_seed(0)
    coords = torch.rand(batch, frames, persons, joints, 2, dtype=dtype) * 12 - 2
    return coords, torch.rand(batch, frames, persons, joints, dtype=dtype)


def one(*joints, scores=None):
    """One person in one frame."""
    coords = torch.tensor(joints, dtype=torch.float32).view(1, 1, 1, -1, 2)
    return coords, torch.tensor(scores or [1.0] * len(joints)).view(1, 1, 1, -1)


@pytest.mark.parametrize("sigma, threshold", [(0.5, 0.1), (2.0, 0.5)])
def test_heatmaps_as_loops(sigma, threshold):
    op = PoseToFeature(4, skeleton=TRIANGLE, heatmap_sigma=sigma, threshold=threshold)
    coords, scores = people()
    maps = op.heatmaps(coords, scores, SIZE)
    assert maps.shape == (2, 3, 2, *SIZE)
    clipped = 0
    for b, t, j, y, x in itertools.product(range(2), range(2), range(3), *map(range, SIZE)):
        value = sum(
            math.exp(-(math.dist((x, y), coords[b, t, p, j].tolist()) ** 2) / (2 * sigma**2))
            for p in range(3)
            if scores[b, t, p, j] > threshold
        )
        clipped += value > 1
        assert maps[b, j, t, y, x].item() == pytest.approx(min(1, value), abs=1e-12)
    assert clipped or sigma < 1


@pytest.mark.parametrize("sigma, threshold", [(1.0, 0.1), (2.5, 0.5)])
def test_fields_as_loops(sigma, threshold):
    op = PoseToFeature(4, skeleton=TRIANGLE, field_sigma=sigma, threshold=threshold)
    coords, scores = people()
    maps = op.fields(coords, scores, SIZE)
    assert maps.shape == (2, 6, 2, *SIZE)
    met = set()
    for b, t, (s, (i, j)) in itertools.product(range(2), range(2), enumerate(TRIANGLE.limbs)):
        for y, x in itertools.product(*map(range, SIZE)):
            hits = []
            for p in range(3):
                start, end = coords[b, t, p, i].tolist(), coords[b, t, p, j].tolist()
                length = math.dist(start, end)
                v = [(to - at) / length for at, to in zip(start, end, strict=True)]
                along = v[0] * (x - start[0]) + v[1] * (y - start[1])
                away = math.sqrt(max(0.0, math.dist((x, y), start) ** 2 - along**2))
                scored = min(scores[b, t, p, i], scores[b, t, p, j]) >= threshold
                hits += [v] if scored and 0 <= along <= length and away <= sigma else []
            met.add(len(hits))
            for axis in (0, 1):
                true = sum(v[axis] for v in hits) / max(1, len(hits))
                assert maps[b, 2 * s + axis, t, y, x].item() == pytest.approx(true, abs=1e-12)
    assert met >= {0, 1, 2}


def test_a_limb_to_the_right_and_one_down():
    op = PoseToFeature(4, skeleton=TRIANGLE)
    maps = op.fields(*one((2, 3), (5, 3), (5, 6)), SIZE)[0, :, 0]
    right, down = torch.zeros(2, *SIZE), torch.zeros(2, *SIZE)
    right[0, 2:5, 2:6] = 1  # three rows, from its first joint to its second
    down[1, 3:7, 4:7] = 1
    assert torch.equal(maps[:4], torch.cat([right, down]))
    assert maps[4:, 4, 3].tolist() == pytest.approx([math.sqrt(0.5)] * 2)


def test_a_score_at_the_threshold_draws_limbs_but_no_joint():
    op = PoseToFeature(4, skeleton=TRIANGLE)
    given = one((2, 3), (5, 3), (5, 6), scores=[0.1, 1.0, 0.0999])
    heat, field = op.heatmaps(*given, SIZE)[0, :, 0], op.fields(*given, SIZE)[0, :, 0]
    assert [bool(joint.any()) for joint in heat] == [False, True, False]
    assert [bool(limb.any()) for limb in field.unflatten(0, (3, 2))] == [True, False, False]


def test_a_limb_of_no_length_draws_nothing_and_has_gradients():
    op = PoseToFeature(4, skeleton=TRIANGLE)
    coords, scores = one((2, 3), (2, 3), (5, 6))
    coords.requires_grad_()
    maps = op.fields(coords, scores, SIZE)
    assert not maps[0, :2].any()
    assert maps[0, 2:].any()
    maps.sum().backward()
    assert coords.grad.isfinite().all()


def test_persons_that_are_not_there_change_nothing():
    torch.manual_seed(0)
    op = PoseToFeature(4, skeleton=TRIANGLE).double().eval()
    coords, scores = people()
    padded = torch.cat([coords, torch.ones_like(coords)], dim=2), torch.cat([scores, torch.zeros_like(scores)], dim=2)
    assert torch.equal(op(*padded, SIZE), op(coords, scores, SIZE))
    assert not op.heatmaps(padded[0][:, :, 3:], padded[1][:, :, 3:]).any()


def test_half_precision_draws_in_single():
    op = PoseToFeature(4, skeleton=TRIANGLE)
    coords, scores = (x.bfloat16() for x in people())
    for draw in (op.heatmaps, op.fields):
        assert torch.equal(draw(coords, scores, SIZE), draw(coords.float(), scores.float(), SIZE))
    assert op.bfloat16()(coords, scores, SIZE).dtype == torch.bfloat16


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("skeleton", SKELETONS)
def test_skeletons_and_several_persons_equal_the_textbook_form(skeleton, train):
    torch.manual_seed(0)
    op = PoseToFeature(4, skeleton=skeleton).double().train(train)
    torch.nn.init.normal_(op.conv[0].weight)
    wanted = [*people(joints=op.joints), *op.parameters()]
    wanted[0].requires_grad_()
    ours, true = op(*wanted[:2], SIZE), textbook("pose_to_feature")(op, *wanted[:2], SIZE)
    torch.testing.assert_close(ours, true)
    seed, wanted = torch.randn_like(ours), [wanted[0], *wanted[2:]]
    for mine, theirs in zip(
        torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(true, wanted, seed), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("name, joints, limbs, ends", [("openpose18", 18, 17, 6), ("ntu25", 25, 24, 5)])
def test_skeletons_are_trees_over_all_joints(name, joints, limbs, ends):
    skeleton = SKELETONS[name]
    assert (skeleton.joints, len(skeleton.limbs)) == (joints, limbs)
    reached = {skeleton.limbs[0][0]}
    for a, b in skeleton.limbs * limbs:
        reached |= {a, b} if reached & {a, b} else set()
    assert reached == set(range(joints))
    counts = [sum(joint in limb for limb in skeleton.limbs) for joint in range(joints)]
    assert counts.count(1) == ends


def test_equals_the_released_network_where_it_draws_five_persons():
    """Its statistics over the whole map, and the corner that is stored."""
    told = load_file(SHIPPED / "ia_net" / "integralaction_rgb_pose_i18_p18.safetensors")
    op = PoseToFeature(64).eval()
    gains = [("pose2feat.conv.0.weight", 10.0)]
    op.load_state_dict({key: fill(f"pose2feat.{key}", x.shape, gains) for key, x in op.state_dict().items()})
    assert told["input.pose_coords"].shape[2] == 5
    with torch.no_grad():
        y = op(told["input.pose_coords"], told["input.pose_scores"], (24, 24)).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(y[:8, :16, :4, :4], told["feat.pose2feat"])
    y = y.double()
    assert [y.mean().item(), y.std().item(), y.abs().max().item()] == pytest.approx(
        told["featstat.pose2feat"].tolist(), abs=1e-7
    )


@pytest.mark.parametrize(
    "options, said",
    [
        ({"skeleton": "coco17"}, "skeleton"),
        ({"skeleton": Skeleton(2, ((0, 2),))}, "skeleton"),
        ({"heatmap_sigma": 0.0}, "heatmap_sigma"),
        ({"field_sigma": -1.0}, "field_sigma"),
    ],
)
def test_refuses(options, said):
    with pytest.raises(ValueError, match=said):
        PoseToFeature(8, **options)


def test_refuses_other_joints():
    with pytest.raises(ValueError, match="18 joints, got 3"):
        PoseToFeature(8)(*people(dtype=torch.float32))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_joints_that_were_not_found_may_have_no_numbers(value):
    torch.manual_seed(0)
    op = PoseToFeature(4)
    coords, scores = 10 * torch.rand(1, 2, 3, 18, 2), torch.rand(1, 2, 3, 18)
    scores[..., ::3] = 0
    unknown = coords.masked_fill((scores == 0)[..., None], value)
    for maps in (op.heatmaps, op.fields):
        assert torch.equal(maps(unknown, scores, (12, 11)), maps(coords, scores, (12, 11)))


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="take joints"):
        PoseToFeature(4)(torch.rand(1, 2, 3, 18, 2), torch.rand(1, 2, 1, 18))
