"""Augmentation of whole clips, held against Pillow where Pillow has the like."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from vidops_cli.data import Annotations, colour
from vidops_cli.data.augment import Augment, Erase, mirrored_labels
from vidops_cli.data.clips import ClipOptions, Clips, Order, batches
from vidops_cli.data.colour import Blur, Jitter
from vidops_cli.data.crops import MultiScale, ResizedCrop, random_box
from vidops_cli.data.mixing import mixed
from vidops_cli.data.rand_augment import OPERATIONS, RandAugment, affine, rotate
from vidops_cli.data.transforms import prepare
from vidops_cli.data.video import write_video

PLAIN = {"mean": [0.0] * 3, "std": [1 / 255] * 3}  # so that a clip has the levels of its frames
MULTI_SCALE = MultiScale([1, 0.875, 0.75, 0.66], 1, "fixed")
RESIZED = ResizedCrop([0.2, 1.0], [3 / 4, 4 / 3])
JITTER = Jitter(1.0, 0.4, 0.4, 0.4, 0.1)
EACH = {
    "multi_scale": Augment(multi_scale=MULTI_SCALE),
    "resized_crop": Augment(resized_crop=RESIZED),
    "rand_augment": Augment(rand_augment=RandAugment(3, 20)),
    "jitter": Augment(jitter=JITTER),
    "grey": Augment(grey=1.0),
    "blur": Augment(blur=Blur(1.0, [0.5, 2.0])),
    "erase": Augment(erase=Erase(1.0, [0.1, 0.3], [0.5, 2.0])),
}
ALL = Augment(MULTI_SCALE, None, RandAugment(2, 20), JITTER, 0.5, Blur(0.5, [0.5, 1.0]), EACH["erase"].erase)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A smooth picture (32, 40, 3) with all three channels different, from 20 to 219."""
    rough = np.random.default_rng(0).integers(20, 220, (8, 10, 3), dtype=np.uint8)
    return np.array(Image.fromarray(rough).resize((40, 32)))


def tensor(*frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def apart(images: torch.Tensor, picture: Image.Image) -> np.ndarray:
    """In grey levels, of each pixel; Pillow rounds."""
    return np.abs(255 * images[0].permute(1, 2, 0).numpy() - np.asarray(picture, dtype=float)).max(-1)


# --- colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colour.brightness, ImageEnhance.Brightness),
        (colour.contrast, ImageEnhance.Contrast),
        (colour.saturation, ImageEnhance.Color),
        (colour.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows(picture, ours, theirs, factor):
    assert apart(ours(tensor(picture), factor), theirs(Image.fromarray(picture)).enhance(factor)).max() < 1.5


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colour.autocontrast, ImageOps.autocontrast),
        (colour.equalize, ImageOps.equalize),
        (lambda x: colour.posterize(x, 3), lambda picture: ImageOps.posterize(picture, 3)),
        (lambda x: colour.solarize(x, 128 / 255), lambda picture: ImageOps.solarize(picture, 128)),
        (lambda x: colour.grey(x), lambda picture: picture.convert("L").convert("RGB")),
    ],
)
def test_tables_are_pillows(picture, ours, theirs):
    found = ours(tensor(picture))
    assert apart(found, theirs(Image.fromarray(picture))).max() <= 1
    assert (found - tensor(picture)).abs().max() > 0.05


@pytest.mark.parametrize("turns", [-0.3, 0.0, 0.1, 0.5])
def test_hue_is_that_of_colorsys(turns):
    colours = np.random.default_rng(1).random((50, 3))
    wanted = []
    for h, s, v in (colorsys.rgb_to_hsv(*rgb) for rgb in colours):
        wanted.append(colorsys.hsv_to_rgb((h + turns) % 1, s, v))
    found = colour.hue(torch.tensor(colours)[:, :, None, None], turns)
    assert torch.allclose(found[:, :, 0, 0], torch.tensor(wanted, dtype=torch.float64), atol=1e-6)
    greys = torch.full((1, 3, 2, 2), 0.4)
    assert torch.equal(colour.hue(greys, turns), greys)


def test_blur_is_a_gaussian():
    point = torch.zeros(1, 3, 21, 21)
    point[..., 10, 10] = 1
    at = torch.arange(-10, 11.0)
    wanted = torch.exp(-(at[:, None] ** 2 + at**2) / (2 * 1.5**2))
    found = colour.blur(point, 1.5)
    assert torch.allclose(found[0, 1], wanted / wanted.sum(), atol=1e-4)
    assert torch.allclose(colour.blur(torch.full((1, 3, 5, 6), 0.3), 2.0), torch.tensor(0.3))


def test_jitter_draws_within_its_amounts(picture):
    image, seen = tensor(picture), []
    for i in range(200):
        found = Jitter(0.8, 0.4, 0.0, 0.0, 0.0)(image, np.random.default_rng(i))
        seen.append((found[:, :, 5, 5] / image[:, :, 5, 5]).mean().item())
    changed = [factor for factor in seen if factor != 1]
    assert 0.7 < len(changed) / 200 < 0.9
    assert 0.6 <= min(changed) < 0.65 and 1.35 < max(changed) <= 1.4


def test_jitter_of_nothing_changes_nothing(picture):
    image = tensor(picture)
    assert torch.allclose(Jitter(1.0, 0, 0, 0, 0)(image, np.random.default_rng(0)), image, atol=1e-6)


# --- RandAugment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [(1, 0.2, 0, 0, 1, 0), (1, 0, 5.5, 0, 1, 0), (1, 0, 0, -0.2, 1, -3)])
def test_affine_maps_are_pillows(picture, matrix):
    wanted = Image.fromarray(picture).transform((40, 32), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    assert np.quantile(apart(affine(tensor(picture), matrix), wanted), 0.9) <= 1  # the rest: the edge of what is black


def test_rotation_is_pillows(picture):
    wanted = Image.fromarray(picture).rotate(20, Image.Resampling.BILINEAR)
    assert np.quantile(apart(rotate(tensor(picture), 20), wanted), 0.9) <= 1


def test_operations_at_no_strength_change_nothing(picture):
    image = tensor(picture)
    assert len(OPERATIONS) == 14
    for name, operation in OPERATIONS.items():
        if name not in ("autocontrast", "equalize"):  # these have no strength
            assert torch.allclose(operation(image, 0.0, 1), image, atol=1e-5), name


def test_operations_change_the_more_the_stronger_and_either_way(picture):
    image = tensor(picture)
    for name, operation in OPERATIONS.items():
        weak, strong = ((operation(image, level, 1) - image).abs().mean() for level in (0.3, 1.0))
        assert strong == 0 if name == "identity" else strong > 0, name
        assert weak <= strong, name
        way = [operation(image, 0.5, sign) for sign in (1, -1)]
        signed = name not in ("identity", "posterize", "solarize", "autocontrast", "equalize")
        assert torch.equal(*way) != signed, name
        assert way[0].min() >= 0 and way[0].max() <= 1.0001, name


def test_rand_augment_draws_n_of_all_operations(picture, monkeypatch):
    drawn = []
    for name in OPERATIONS:
        monkeypatch.setitem(
            OPERATIONS, name, lambda images, level, sign, name=name: drawn.append((name, level)) or images
        )
    for i in range(100):
        RandAugment(3, 15)(tensor(picture), np.random.default_rng(i))
    assert len(drawn) == 300 and {level for _, level in drawn} == {0.5}
    assert all(8 <= sum(name == other for other, _ in drawn) <= 40 for name in OPERATIONS)


# --- boxes ------------------------------------------------------------------------------------------------------------


def test_boxes_of_multi_scale_are_tsns():
    """240 x 320: sides 240, 210, 180 and 158 of which neighbours go together, at 13 places."""
    drawn = [MULTI_SCALE.box(240, 320, 224, np.random.default_rng(i)) for i in range(3000)]
    sides = [240, 210, 180, 158]
    assert {box[2:] for box in drawn} == {(sides[i], sides[j]) for i in range(4) for j in range(4) if abs(i - j) <= 1}
    down, right = (240 - 180) // 4, (320 - 210) // 4
    even = {(i * down, j * right) for i in (0, 2, 4) for j in (0, 2, 4)}
    odd = {(i * down, j * right) for i in (1, 3) for j in (1, 3)}
    assert {box[:2] for box in drawn if box[2:] == (180, 210)} == even | odd


def test_boxes_of_multi_scale_anywhere():
    """IntegralAction's: sides of 224 in frames of 256."""
    told = MultiScale([0.875, 0.765625, 0.65625, 0.5775], 1, "random")
    drawn = [told.box(256, 340, 224, np.random.default_rng(i)) for i in range(2000)]
    assert {box[2] for box in drawn} == {box[3] for box in drawn} == {224, 196, 168, 147}
    largest = [box[:2] for box in drawn if box[2:] == (224, 224)]
    assert {top for top, _ in largest} == set(range(33)) and len({left for _, left in largest}) > 70
    assert all(top + high <= 256 and left + wide <= 340 for top, left, high, wide in drawn)


def test_a_side_near_the_crop_is_the_crop():
    told = MultiScale([1.0, 0.88], 0, "fixed")
    assert {told.box(256, 256, 224, np.random.default_rng(i))[2] for i in range(20)} == {256, 224}  # int(225.28)
    assert {told.box(223, 223, 224, np.random.default_rng(i))[2] for i in range(20)} == {
        223,
        196,
    }  # none beyond a frame


def test_resized_crops_spread_over_areas_and_ratios():
    drawn = np.array([RESIZED.box(200, 300, 224, np.random.default_rng(i)) for i in range(2000)])
    top, left, high, wide = drawn.T
    assert (top >= 0).all() and (left >= 0).all() and (top + high <= 200).all() and (left + wide <= 300).all()
    area, ratio = high * wide / 60000, wide / high
    assert 0.195 < area.min() < 0.22 and 0.85 < area.max() < 1
    assert 0.73 < ratio.min() < 0.77 and 1.3 < ratio.max() < 1.36
    assert abs(np.log(ratio)[area < 0.6].mean()) < 0.02  # portrait and landscape alike


def test_a_resized_crop_that_does_not_fit_is_of_the_middle():
    assert ResizedCrop([1.0, 1.0], [0.75, 4 / 3]).box(20, 300, 224, np.random.default_rng(0)) == (0, 136, 20, 27)
    assert ResizedCrop([1.0, 1.0], [0.75, 4 / 3]).box(300, 30, 224, np.random.default_rng(0)) == (130, 0, 40, 30)
    assert random_box(20, 300, [1.0, 1.0], [1.0, 1.0], np.random.default_rng(0)) is None


def test_a_box_is_scaled_to_the_crop(picture, monkeypatch):
    monkeypatch.setattr(ResizedCrop, "box", lambda *_: (4, 8, 16, 24))
    settings = {"resize": 16, "crop": 12, "flip": 0.0, "rng": np.random.default_rng(0), **PLAIN}
    clip, _ = prepare(picture[None], augment=EACH["resized_crop"], **settings)
    wanted = Image.fromarray(picture[4:20, 8:32]).resize((12, 12), Image.Resampling.BILINEAR)
    assert apart(clip[None, :, 0] / 255, wanted).max() < 1.5


def test_resize_to_height_and_width(picture):
    clip, _ = prepare(picture[None], resize=[24, 20], crop=None, flip=0.0, rng=None, **PLAIN)
    wanted = Image.fromarray(picture).resize((20, 24), Image.Resampling.BILINEAR)
    assert clip.shape == (3, 1, 24, 20) and apart(clip[None, :, 0] / 255, wanted).max() < 1.5


# --- erasing ----------------------------------------------------------------------------------------------------------


def test_erasing_takes_one_box_out_of_all_frames():
    erase, shares = Erase(0.5, [0.1, 0.3], [0.5, 2.0]), []
    for i in range(300):
        clip = torch.ones(3, 40, 50, 3)
        gone = erase(clip, np.random.default_rng(i)) == 0
        assert (clip == 1).all() and (gone == gone[:1, ..., :1]).all()
        share = gone.float().mean().item()
        if share:
            rows, columns = gone[0, ..., 0].any(1).sum().item(), gone[0, ..., 0].any(0).sum().item()
            assert rows * columns == round(share * 2000)  # a box
            shares.append(share)
    assert 0.4 < len(shares) / 300 < 0.6
    assert 0.09 < min(shares) < 0.13 and 0.27 < max(shares) < 0.31


# --- whole clips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*EACH, "all"])
def test_all_frames_are_changed_alike_and_tests_are_not_changed(picture, name):
    augment = {**EACH, "all": ALL}[name]
    still = np.repeat(picture[None], 3, 0)
    settings = {"resize": None, "crop": 24, "flip": 0.5, **PLAIN}
    changed = 0
    for i in range(8):
        plain, _ = prepare(still, rng=np.random.default_rng(i), **settings)
        clip, _ = prepare(still, rng=np.random.default_rng(i), augment=augment, **settings)
        again, _ = prepare(still, rng=np.random.default_rng(i), augment=augment, **settings)
        assert torch.equal(clip, again)
        assert (clip == clip[:, :1]).all()
        assert clip.shape == (3, 3, 24, 24) and clip.dtype == torch.float32
        assert clip.permute(1, 2, 3, 0).is_contiguous() == plain.permute(1, 2, 3, 0).is_contiguous()
        changed += not torch.allclose(clip, plain, atol=1e-3)
    assert changed >= 6
    plain, other = (prepare(still, rng=None, augment=told, **settings)[0] for told in (None, augment))
    assert torch.equal(plain, other)


def test_what_is_measured_is_measured_over_the_clip(picture):
    """A dark frame beside a bright one stays the darker one."""
    images = tensor(picture // 2, picture)
    for change in (lambda x: colour.contrast(x, 0.0), colour.autocontrast, colour.equalize):
        found = change(images)
        assert found[0].mean() <= found[1].mean()
    assert colour.contrast(images, 0.0).unique().numel() == 1


def test_nothing_told_changes_no_bit(picture):
    settings = {"resize": 20, "crop": 16, "flip": 0.5, **PLAIN}
    for i in range(5):
        plain, other = (prepare(picture[None], rng=np.random.default_rng(i), augment=told, **settings)[0]
                        for told in (None, Augment()))  # fmt: skip
        assert torch.equal(plain, other)


OPTIONS = ClipOptions(4, [20, 24], 16, 0.5, [0.5] * 3, [0.25] * 3, "ordered", False, 0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, picture):
    root = tmp_path_factory.mktemp("videos")
    for i in range(4):
        write_video(root / f"{i}.mp4", np.stack([np.roll(picture, 2 * t + i, 1) for t in range(8)]))
    told = Annotations(root, "train", tuple(f"{i}.mp4" for i in range(4)), (0, 1, 2, 3), tuple("abcd"), "print")

    def clips(*, train: bool = True, seed: int = 0, **options) -> Clips:
        return Clips(told, replace(OPTIONS, **options), train=train, seed=seed)

    return clips


def epoch(clips: Clips, number: int = 0, workers: int = 0) -> list[torch.Tensor]:
    found = batches(clips, Order(clips.listed, epoch=number, seed=clips.seed), 2, workers=workers)
    return [batch["clip"] for batch in found]


def test_workers_memory_and_threads_change_nothing(clips):
    plain, cached = clips(augment=ALL, stride=2), clips(augment=ALL, stride=2)
    cached.decode_all(lambda done, total: None)
    alone = epoch(plain, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    others = [epoch(plain, 1, workers=2), epoch(cached, 1), epoch(clips(augment=ALL, stride=2), 1)]
    torch.set_num_threads(threads)
    for other in others:
        assert all(map(torch.equal, alone, other)) and len(alone) == len(other) == 2
    assert not any(map(torch.equal, alone, epoch(plain, 2)))
    assert not any(map(torch.equal, alone, epoch(clips(augment=ALL, stride=2, seed=1), 1)))


def test_frames_kept_of_dense_clips_are_their_own(clips):
    def tested(stride):
        found = clips(train=False, stride=stride)
        found.decode_all(lambda done, total: None, keep=True)
        return found[0, 1]["clip"]

    assert [
        torch.equal(tested(stride), clips(train=False, stride=stride)[0, 1]["clip"]) for stride in (None, 1, 2)
    ] == [True] * 3
    assert not torch.equal(tested(1), tested(2))


def test_augmentation_leaves_the_frames_and_the_mirror_that_were_drawn(clips):
    for number in range(4):
        plain, grey = clips()[number, 0]["clip"], clips(augment=EACH["grey"])[number, 0]["clip"]
        weights = torch.tensor(colour.LUMA)[:, None, None, None]
        assert torch.allclose((plain * weights).sum(0), grey[0], atol=1e-4)


# --- mirroring --------------------------------------------------------------------------------------------------------


def test_labels_that_are_kept_or_swapped_by_mirroring(clips):
    """Of four labels, 0 and 1 turn into each other, 2 is never mirrored, 3 stays what it is."""
    told = {"flip": 1.0, "flip_swap": [["a", 1]], "flip_keep": [2]}
    for index, label in enumerate([1, 0, 2, 3]):
        plain, found = clips(flip=0.0)[0, index], clips(**told)[0, index]
        assert found["label"] == label
        assert torch.equal(found["clip"], plain["clip"] if index == 2 else plain["clip"].flip(3))
        assert clips(train=False, **told)[0, index]["label"] == index
    halves = {clips(flip=0.5, flip_swap=[[0, 1]])[number, 0]["label"] for number in range(20)}
    assert halves == {0, 1}


@pytest.mark.parametrize("label", [4, "e"])
def test_a_label_that_is_none(clips, label):
    with pytest.raises(ValueError, match=f"{label!r} is no label of the 4 classes") as refused:
        clips(flip_keep=[label])
    assert len(refused.value.args) == 2
    assert mirrored_labels("abcd", ["d"], [[0, "b"]]) == ({3}, {0: 1, 1: 0})


# --- mixing -----------------------------------------------------------------------------------------------------------


def batch_of(count: int) -> dict:
    """Clip i is i + 1 everywhere, its label i."""
    clip = torch.arange(1.0, count + 1)[:, None, None, None, None].expand(-1, 3, 2, 12, 16).clone()
    return {"clip": clip, "label": torch.arange(count), "bad": []}


def test_mixup_adds_clips_up():
    for i in range(10):
        batch = batch_of(5)
        found = mixed(batch, mixup=0.4, cutmix=0.0, rng=np.random.default_rng(i))
        wanted = found["share"] * (found["label"] + 1) + (1 - found["share"]) * (found["other"] + 1)
        assert torch.allclose(found["clip"], wanted[:, None, None, None, None].expand_as(batch["clip"]))
        assert found["label"].tolist() == sorted(found["other"].tolist()) == [0, 1, 2, 3, 4]
        assert torch.equal(batch["clip"], batch_of(5)["clip"])


def test_cutmix_puts_a_box_of_another_in():
    boxes = set()
    for i in range(40):
        batch = batch_of(5)
        found = mixed(batch, mixup=0.0, cutmix=1.0, rng=np.random.default_rng(i))
        own, other = (1 + found[key][:, None, None, None, None] for key in ("label", "other"))
        mine = found["clip"] == own
        assert (mine | (found["clip"] == other)).all()
        pair = (found["label"] != found["other"]).nonzero()[0, 0]
        assert mine[pair].float().mean().item() == pytest.approx(found["share"], abs=1e-6)
        outside = mine[pair]
        assert (outside == outside[:1, :1]).all()  # the same of all frames and channels
        rows, columns = (~outside[0, 0]).any(1), (~outside[0, 0]).any(0)
        assert (~outside[0, 0]).sum() == rows.sum() * columns.sum()
        boxes.add((rows.sum().item(), columns.sum().item()))
        assert torch.equal(batch["clip"], batch_of(5)["clip"])
    assert len(boxes) > 20


def test_shares_are_of_the_beta_distribution_and_kinds_by_half():
    shares = [mixed(batch_of(2), mixup=0.2, cutmix=0, rng=np.random.default_rng(i))["share"] for i in range(400)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.02)
    both = [mixed(batch_of(5), mixup=1.0, cutmix=1.0, rng=np.random.default_rng(i))["clip"] for i in range(200)]
    boxed = sum((clip == clip.round()).all().item() for clip in both)
    assert 70 < boxed < 130
