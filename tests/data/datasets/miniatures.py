"""Data sets in their official layouts, as small as can be: what is written, and what a reader has to tell of it."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from vidops_cli.data.video import write_video


@functools.cache
def encoded(shade: int) -> bytes:
    """Four frames of 32 x 32 pixels as H.264."""
    rng = np.random.default_rng(shade)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        write_video(path, rng.integers(0, 255, (4, 32, 32, 3), np.uint8))
        return path.read_bytes()


def video(path: Path, shade: int = 0) -> None:
    """Readers go by names, and decoders by content: the container is MP4 whatever the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(shade))


def image(path: Path, shade: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32, 3), shade, np.uint8)).save(path, format="jpeg")


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass
class Told:
    """What a reader has to tell: (path, label) of each split, and the names of its classes."""

    clips: dict[str, list[tuple[str, int]]]
    classes: list[str] | dict[str, list[str]]
    splits: dict[str, str] = field(default_factory=dict)

    def names(self, split: str) -> list[str]:
        return self.classes[split] if isinstance(self.classes, dict) else self.classes


def something_v1(root: Path) -> Told:
    names = ["Tearing something", "Holding something", "Moving [part] of something é"]
    text(root / "something-something-v1-labels.csv", *names)
    text(root / "something-something-v1-train.csv", f"100218;{names[0]}", f"24413;{names[1]}", f"7;{names[2]}")
    text(root / "something-something-v1-validation.csv", f"8;{names[1]}", f"9;{names[0]}")
    text(root / "something-something-v1-test.csv", "11", "12")
    for name in ("100218", "24413", "7", "8", "9"):
        for frame in range(1, 5):
            image(root / "20bn-something-something-v1" / name / f"{frame:05d}.jpg", 20 * frame)
    clip = "20bn-something-something-v1/{}".format
    return Told(
        {"train": [(clip(100218), 2), (clip(24413), 0), (clip(7), 1)], "val": [(clip(8), 0), (clip(9), 2)]},
        ["Holding something", "Moving [part] of something é", "Tearing something"],
    )


def something_v2(root: Path) -> Told:
    names = {"Approaching something with your camera": "0", "Putting something on something": "1"}
    labels = root / "labels"
    text(labels / "labels.json", json.dumps(names))
    first = {"id": "78687", "label": "putting a on b", "template": "Putting [something] on [something]"}
    second = {"id": "42326", "label": "", "template": "Approaching [something] with your camera", "placeholders": []}
    text(labels / "train.json", json.dumps([first, second]))
    text(labels / "validation.json", json.dumps([{**second, "id": "74225"}]))
    text(labels / "test.json", json.dumps([{"id": "1420"}]))
    text(labels / "test-answers.csv", "1420;Putting something on something")
    for name in ("78687", "42326", "74225", "1420"):
        video(root / "20bn-something-something-v2" / f"{name}.webm")
    clip = "20bn-something-something-v2/{}.webm".format
    return Told(
        {"train": [(clip(78687), 1), (clip(42326), 0)], "val": [(clip(74225), 0)], "test": [(clip(1420), 1)]}, [*names]
    )


def poses(path: Path, *frames: list[float], joints: int = 18) -> None:
    """A file of `kinetics-skeleton`: of each frame the x of the first joint of each person; y is half of it.

    Joints stand 0.01 apart, and the score of a person's i-th is i / 20, less for a person that is told later.
    """
    told = []
    for frame, people in enumerate(frames, 1):
        persons = [
            {
                "pose": [value for i in range(joints) for value in (x + 0.01 * i, x / 2)],
                "score": [max(0, i / 20 - 0.1 * order) for i in range(joints)],
            }
            for order, x in enumerate(people)
        ]
        told.append({"frame_index": frame, "skeleton": persons})
    text(path, json.dumps({"data": told, "label": "of no use", "label_index": 7}))


HEAD = "label,youtube_id,time_start,time_end,split,is_cc"


def kinetics400(root: Path) -> Told:
    text(
        root / "annotations/train.csv",
        HEAD,
        '"playing ""air"" drums",-0abcdefghi,7,17,train,0',
        "air drumming,--AAAAAAAAA,0,10,train,1",
    )
    text(root / "annotations/val.csv", HEAD, "air drumming,bbbbbbbbbbb,107,117,validate,0")
    text(root / "annotations/test.csv", HEAD, "air drumming,ccccccccccc,3,13,test,0")
    video(root / "train/-0abcdefghi_000007_000017.mp4")
    video(root / "train/--AAAAAAAAA_000000_000010.mkv")
    video(root / "val/air drumming/bbbbbbbbbbb_000107_000117.mp4")
    video(root / "test/ccccccccccc_000003_000013.mp4")
    return Told(
        {
            "train": [("train/-0abcdefghi_000007_000017.mp4", 1), ("train/--AAAAAAAAA_000000_000010.mkv", 0)],
            "val": [("val/air drumming/bbbbbbbbbbb_000107_000117.mp4", 0)],
            "test": [("test/ccccccccccc_000003_000013.mp4", 0)],
        },
        ["air drumming", 'playing "air" drums'],
    )


def kinetics600(root: Path) -> Told:
    """Sorted into class folders, without a table."""
    video(root / "train/zumba/aaaaaaaaaaa_000007_000017.mp4")
    video(root / "train/acting in play/bbbbbbbbbbb_000000_000010.mp4")
    video(root / "val/zumba/ccccccccccc_000000_000010.mp4")
    (root / "val/acting in play").mkdir()
    return Told(
        {
            "train": [
                ("train/acting in play/bbbbbbbbbbb_000000_000010.mp4", 0),
                ("train/zumba/aaaaaaaaaaa_000007_000017.mp4", 1),
            ],
            "val": [("val/zumba/ccccccccccc_000000_000010.mp4", 1)],
        },
        ["acting in play", "zumba"],
    )


MIMED = (
    "label,youtube_id,time_start,time_end,split",
    "juggling balls,mmmmmmmmmmm,1,9,test",
    "archery,nnnnnnnnnnn,20,30,test",
)


def kinetics50(root: Path) -> Told:
    text(root / "mimetics_v1.0.csv", *MIMED)
    for split, (first, second) in {"train": "ab", "val": "cd"}.items():
        rows = (f"archery,{first * 11},0,10,{split},0", f"juggling balls,{second * 11},5,15,{split},0")
        text(root / f"annotations/{split}.csv", HEAD, *rows, f"zumba,{'z' * 11},5,15,{split},0")
        video(root / split / f"{first * 11}_000000_000010.mp4")
        video(root / split / f"{second * 11}_000005_000015.mp4")
        for letter in (first, second):
            poses(root / f"kinetics-skeleton/kinetics_{split}/{letter * 11}.json", *5 * [[0.25, 0.5]])
    return Told(
        {
            "train": [(f"train/{'a' * 11}_000000_000010.mp4", 0), (f"train/{'b' * 11}_000005_000015.mp4", 1)],
            "val": [(f"val/{'c' * 11}_000000_000010.mp4", 0), (f"val/{'d' * 11}_000005_000015.mp4", 1)],
        },
        ["archery", "juggling balls"],
    )


def mimetics(root: Path) -> Told:
    text(root / "mimetics_v1.0.csv", *MIMED)
    video(root / "videos/juggling balls/mmmmmmmmmmm_000001_000009.mp4")
    video(root / "videos/nnnnnnnnnnn_20_30.mp4")
    for name in ("mmmmmmmmmmm_000001_000009", "nnnnnnnnnnn_20_30"):
        poses(root / f"poses/{name}.json", *3 * [[0.25]])
    clips = [("videos/juggling balls/mmmmmmmmmmm_000001_000009.mp4", 1), ("videos/nnnnnnnnnnn_20_30.mp4", 0)]
    return Told({"val": clips, "test": clips}, ["archery", "juggling balls"])


def mimetics400(root: Path) -> Told:
    """With a table of more classes than it mimes."""
    names = ("zumba", "archery", "juggling balls", "bowling")
    text(root / "annotations/train.csv", HEAD, *(f"{name},{'a' * 11},0,10,train,0" for name in names))
    clips = [(path, 2 * label) for path, label in mimetics(root).clips["val"]]
    return Told({"val": clips, "test": clips}, ["archery", "bowling", "juggling balls", "zumba"])


def ucf101(root: Path) -> Told:
    lists = root / "ucfTrainTestlist"
    text(lists / "classInd.txt", "1 ApplyEyeMakeup", "2 YoYo")
    for number in (1, 2, 3):
        train = [f"ApplyEyeMakeup/v_ApplyEyeMakeup_g0{number}_c01.avi 1", f"YoYo/v_YoYo_g0{number}_c04.avi 2"]
        text(lists / f"trainlist0{number}.txt", *train)
        text(lists / f"testlist0{number}.txt", f"YoYo/v_YoYo_g0{number}_c01.avi")
        for name in (train[0][:-2], train[1][:-2], f"YoYo/v_YoYo_g0{number}_c01.avi"):
            video(root / "UCF-101" / name)
    tested = [("UCF-101/YoYo/v_YoYo_g02_c01.avi", 1)]
    trained = [("UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi", 0), ("UCF-101/YoYo/v_YoYo_g02_c04.avi", 1)]
    return Told({"train": trained, "val": tested, "test": tested}, ["ApplyEyeMakeup", "YoYo"], {"train": "split2"})


def hmdb51(root: Path) -> Told:
    """Split 1, with names as odd as the real ones."""
    lists, uses = root / "testTrainMulti_7030_splits", {"wave": "120", "brush_hair": "012"}
    for name, use in uses.items():
        for number in (1, 2, 3):
            turned = use[number - 1 :] + use[: number - 1]
            text(
                lists / f"{name}_test_split{number}.txt",
                *(f"#{i}_How To_{name}.avi {use} " for i, use in enumerate(turned)),
            )
        for i in range(3):
            video(root / "hmdb51_org" / name / f"#{i}_How To_{name}.avi")
    clip = "hmdb51_org/{0}/#{1}_How To_{0}.avi".format
    tested = [(clip("brush_hair", 2), 0), (clip("wave", 1), 1)]
    return Told(
        {"train": [(clip("brush_hair", 1), 0), (clip("wave", 0), 1)], "val": tested, "test": tested},
        ["brush_hair", "wave"],
    )


def diving48(root: Path, version: str, mark: str) -> Told:
    text(root / "Diving48_vocab.json", json.dumps([["Back", "15som", "05Twis", "FREE"], ["Forward", "Dive", "PIKE"]]))
    last = int(version[-1]) - 1
    train = [{"vid_name": "-mmq0PT-u8k_00155", "label": last, "start_frame": 0, "end_frame": 48}]
    train.append({"vid_name": "_8Vy3dlHg2w_00000", "label": 1, "start_frame": 0, "end_frame": 70})
    text(root / f"Diving48{mark}train.json", json.dumps(train))
    text(root / f"Diving48{mark}test.json", json.dumps([{**train[0], "vid_name": "2x00lRzlTVQ_00000", "label": 0}]))
    for name in ("-mmq0PT-u8k_00155", "_8Vy3dlHg2w_00000", "2x00lRzlTVQ_00000"):
        video(root / "rgb" / f"{name}.mp4")
    tested = [("rgb/2x00lRzlTVQ_00000.mp4", 0)]
    trained = [("rgb/-mmq0PT-u8k_00155.mp4", last), ("rgb/_8Vy3dlHg2w_00000.mp4", 1)]
    return Told({"train": trained, "val": tested, "test": tested}, ["Back_15som_05Twis_FREE", "Forward_Dive_PIKE"])


def diving48_v1(root: Path) -> Told:
    return diving48(root, "v1", "_")


def diving48_v2(root: Path) -> Told:
    return diving48(root, "v2", "_V2_")


def finegym(root: Path, name: str) -> Told:
    below, event = root / "annotations", "0LtLS9wROrk_E_002407_002435_A_"
    text(
        below / f"{name}_categories.txt",
        "Clabel:   0; set:  1; Glabel:   1; (VT) round-off, flic-flac with 0.5 turn on",
        "Clabel:   1; set: 21; Glabel:  19; (FX) switch leap; with 0.5 turn",
    )
    text(below / f"{name}_train_element_v1.1.txt", f"{event}0003_0005 1", f"{event}0006_0008 0")
    text(below / f"{name}_val_element.txt", f"{event}0012_0013 1")
    for part in ("0003_0005.mp4", "0006_0008.mkv", "0012_0013.mp4"):
        video(root / "subactions" / f"{event}{part}")
    tested = [(f"subactions/{event}0012_0013.mp4", 1)]
    trained = [(f"subactions/{event}0003_0005.mp4", 1), (f"subactions/{event}0006_0008.mkv", 0)]
    names = ["(VT) round-off, flic-flac with 0.5 turn on", "(FX) switch leap; with 0.5 turn"]
    return Told({"train": trained, "val": tested, "test": tested}, names)


def gym99(root: Path) -> Told:
    return finegym(root, "gym99")


def gym288(root: Path) -> Told:
    return finegym(root, "gym288")


def folders(root: Path, names: dict[str, tuple[str, ...]], classes: dict[str, list[str]], each: int) -> Told:
    """`each` images of every class, in folders of the classes."""
    clips: dict[str, list[tuple[str, int]]] = {split: [] for split in names}
    for split, (folder, suffix) in names.items():
        for label, name in enumerate(classes[split]):
            for i in range(each):
                image(root / folder / name / f"{name}_{i}{suffix}", 20 * i)
                clips[split].append((f"{folder}/{name}/{name}_{i}{suffix}", label))
    return Told(clips, classes)


def imagenet(root: Path) -> Told:
    names = {"train": ("train", ".JPEG"), "val": ("val", ".JPEG")}
    told = folders(root, names, {split: ["n01440764", "n01443537"] for split in names}, 1)
    return Told(told.clips, ["n01440764", "n01443537"])


DISJOINT = {split: [f"{split}{i}" for i in range(3)] for split in ("train", "val", "test")}


def cub(root: Path) -> Told:
    """Four images of each of nine classes; a table names files without their folders."""
    clips, lines, names = {}, [], {}
    for split, listed in DISJOINT.items():
        rows, clips[split] = [], []
        names[split] = [f"{len(lines) // 4 + i + 1:03d}.{name}_Bird" for i, name in enumerate(listed)]
        for label, name in enumerate(names[split]):
            for i in range(4):
                lines.append((name, f"{name}/{name[4:]}_{i}.jpg"))
                image(root / "images" / lines[-1][1], 20 * i)
                rows.append(f"{name[4:]}_{i}.jpg,{name}")
                clips[split].append((f"images/{lines[-1][1]}", label))
        text(root / "split" / f"{split}.csv", "filename,label", *rows)
    every = [name for listed in names.values() for name in listed]
    text(root / "classes.txt", *(f"{i} {name}" for i, name in enumerate(every, 1)))
    text(root / "images.txt", *(f"{i} {path}" for i, (_, path) in enumerate(lines, 1)))
    text(root / "image_class_labels.txt", *(f"{i} {every.index(name) + 1}" for i, (name, _) in enumerate(lines, 1)))
    return Told(clips, names)


def miniimagenet(root: Path) -> Told:
    clips = {}
    for split, names in DISJOINT.items():
        rows = [(f"{name}0000000{i}.jpg", name) for name in reversed(names) for i in range(4)]
        text(root / "split" / f"{split}.csv", "filename,label", *map(",".join, rows))
        for i, (file, _) in enumerate(rows):
            image(root / "images" / file, 15 * i)
        clips[split] = [(f"images/{file}", names.index(name)) for file, name in rows]
    return Told(clips, DISJOINT)


def cifar_fs(root: Path) -> Told:
    return folders(root, {split: (f"meta-{split}", ".png") for split in DISJOINT}, DISJOINT, 4)


def tieredimagenet(root: Path) -> Told:
    return folders(root, {split: (split, ".jpg") for split in DISJOINT}, DISJOINT, 4)


def skeleton(*frames: dict[str, float], joints: int = 25) -> str:
    """A .skeleton file: of each frame a body's id and the x of its first joint in the video; y is half of it."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for name, x in bodies.items():
            lines += [f"{name} 0 1 1 1 1 0 0.02 -0.2 2", str(joints)]
            lines += [f"0.1 0.2 3.5 270.1 180.2 {x + i} {x / 2} 0.9 0 0.1 0 2" for i in range(joints)]
    return "\n".join(lines)


def ntu60(root: Path) -> Told:
    """Persons 1 and 2 are trained on, 3 is not; a clip of setup 18 is of NTU RGB+D 120."""
    names = ["S001C001P001R001A060", "S001C003P002R002A002", "S002C001P003R001A001", "S018C001P001R001A060"]
    for name in names:
        video(root / "nturgb+d_rgb" / f"{name}_rgb.avi")
        text(root / "nturgb+d_skeletons" / f"{name}.skeleton", skeleton(*4 * [{"72057594037931101": 900.0}]))
    tested = [(f"nturgb+d_rgb/{names[2]}_rgb.avi", 0)]
    trained = [(f"nturgb+d_rgb/{names[0]}_rgb.avi", 59), (f"nturgb+d_rgb/{names[1]}_rgb.avi", 1)]
    return Told({"train": trained, "val": tested, "test": tested}, [f"A{i:03d}" for i in range(1, 61)])


MINIATURES = {
    make.__name__: make
    for make in (
        something_v1,
        something_v2,
        kinetics400,
        kinetics600,
        kinetics50,
        mimetics,
        mimetics400,
        ucf101,
        hmdb51,
        diving48_v1,
        diving48_v2,
        gym99,
        gym288,
        imagenet,
        cub,
        miniimagenet,
        cifar_fs,
        tieredimagenet,
        ntu60,
    )
}
