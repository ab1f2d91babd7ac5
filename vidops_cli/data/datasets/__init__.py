"""Data sets in the layouts they are distributed in: their cards. This page imports no torch.

Sizes and classes are those of the official release, as far as their source could be looked up: see each page.
"""

from vidops_cli.data.card import DataSet

HERE = "vidops_cli.data.datasets"
PAGES = "docs/datasets"
THREE = ("split1", "split2", "split3")

REAL = (
    DataSet(
        name="something_v1",
        title="Something-Something V1: 174 actions of hands, told by templates; folders of JPEG frames",
        how=f"{PAGES}/something-something.md, on request",
        module=f"{HERE}.something",
        reader="read_v1",
        mirrors=False,
        classes=174,
        sizes={"train": 86_017, "val": 11_522},
        page=f"{PAGES}/something-something.md",
    ),
    DataSet(
        name="something_v2",
        title="Something-Something V2: 174 actions of hands, told by templates; WebM",
        how=f"{PAGES}/something-something.md, on request",
        module=f"{HERE}.something",
        reader="read_v2",
        mirrors=False,
        classes=174,
        sizes={"train": 168_913, "val": 24_777, "test": 27_157},
        page=f"{PAGES}/something-something.md",
    ),
    DataSet(
        name="kinetics400",
        title="Kinetics-400: human actions of the web, clips of 10 seconds",
        how=f"{PAGES}/kinetics.md, a copy of which clips have vanished",
        module=f"{HERE}.kinetics",
        joints="openpose18",
        classes=400,
        sizes={"train": 246_534, "val": 19_906, "test": 39_805},
        page=f"{PAGES}/kinetics.md",
    ),
    DataSet(
        name="kinetics600",
        title="Kinetics-600: human actions of the web, clips of 10 seconds",
        how=f"{PAGES}/kinetics.md, a copy of which clips have vanished",
        module=f"{HERE}.kinetics",
        joints="openpose18",
        classes=600,
        page=f"{PAGES}/kinetics.md",
    ),
    DataSet(
        name="kinetics50",
        title="Kinetics50: the 50 classes of Mimetics out of Kinetics-400",
        how=f"{PAGES}/kinetics.md, with the list of Mimetics",
        module=f"{HERE}.kinetics",
        joints="openpose18",
        reader="read_kinetics50",
        classes=50,
        page=f"{PAGES}/kinetics.md",
    ),
    DataSet(
        name="mimetics",
        title="Mimetics: mimed actions of 50 classes of Kinetics, to test on alone",
        how=f"{PAGES}/kinetics.md, from the web",
        module=f"{HERE}.kinetics",
        joints="openpose18",
        reader="read_mimetics",
        splits=("val", "test"),
        classes=50,
        sizes={"val": 713, "test": 713},
        page=f"{PAGES}/kinetics.md",
    ),
    DataSet(
        name="mimetics400",
        title="Mimetics, numbered among the 400 classes of Kinetics-400, to test on alone",
        how=f"{PAGES}/kinetics.md, from the web, with a table of Kinetics-400",
        module=f"{HERE}.kinetics",
        joints="openpose18",
        reader="read_mimetics400",
        splits=("val", "test"),
        classes=400,
        sizes={"val": 713, "test": 713},
        page=f"{PAGES}/kinetics.md",
    ),
    DataSet(
        name="ucf101",
        title="UCF101: 101 actions, three splits; AVI",
        how=f"{PAGES}/ucf101.md, free to get",
        module=f"{HERE}.three_splits",
        reader="read_ucf101",
        classes=101,
        divisions=THREE,
        sizes={
            f"{division} {split}": size
            for division, train, test in (("split1", 9_537, 3_783), ("split2", 9_586, 3_734), ("split3", 9_624, 3_696))
            for split, size in (("train", train), ("val", test), ("test", test))
        },
        page=f"{PAGES}/ucf101.md",
    ),
    DataSet(
        name="hmdb51",
        title="HMDB51: 51 actions of films and the web, three splits; AVI",
        how=f"{PAGES}/hmdb51.md, free to get",
        module=f"{HERE}.three_splits",
        reader="read_hmdb51",
        classes=51,
        divisions=THREE,
        sizes={
            f"{division} {split}": size
            for division in THREE
            for split, size in (("train", 3_570), ("val", 1_530), ("test", 1_530))
        },
        page=f"{PAGES}/hmdb51.md",
    ),
    DataSet(
        name="diving48_v1",
        title="Diving48 with its first labels (V1), which do not compare with the mended ones",
        how=f"{PAGES}/diving48.md, free to get",
        module=f"{HERE}.diving48",
        reader="read_v1",
        classes=48,
        sizes={"train": 15_943, "val": 2_096, "test": 2_096},
        page=f"{PAGES}/diving48.md",
    ),
    DataSet(
        name="diving48_v2",
        title="Diving48 with its mended labels (V2): 48 dives, told apart by how the body moves",
        how=f"{PAGES}/diving48.md, free to get",
        module=f"{HERE}.diving48",
        reader="read_v2",
        classes=48,
        sizes={"train": 15_027, "val": 1_970, "test": 1_970},
        page=f"{PAGES}/diving48.md",
    ),
    DataSet(
        name="gym99",
        title="FineGym, Gym99: 99 elements of gymnastics",
        how=f"{PAGES}/finegym.md, cut from videos of the web",
        module=f"{HERE}.finegym",
        reader="read_gym99",
        classes=99,
        sizes={"val": 8_521, "test": 8_521},
        page=f"{PAGES}/finegym.md",
    ),
    DataSet(
        name="gym288",
        title="FineGym, Gym288: 288 elements of gymnastics, of very unequal number",
        how=f"{PAGES}/finegym.md, cut from videos of the web",
        module=f"{HERE}.finegym",
        reader="read_gym288",
        classes=288,
        sizes={"val": 9_646, "test": 9_646},
        page=f"{PAGES}/finegym.md",
    ),
    DataSet(
        name="imagenet",
        title="ImageNet-1K (ILSVRC 2012): images of 1,000 classes",
        how=f"{PAGES}/images.md, on request",
        module=f"{HERE}.image_folders",
        reader="read_imagenet",
        classes=1000,
        sizes={"train": 1_281_167, "val": 50_000},
        page=f"{PAGES}/images.md",
    ),
    DataSet(
        name="cub",
        title="CUB-200-2011: birds, divided into classes to train, validate and test on",
        how=f"{PAGES}/images.md, free to get",
        module=f"{HERE}.image_folders",
        reader="read_cub",
        classes=100,
        page=f"{PAGES}/images.md",
    ),
    DataSet(
        name="miniimagenet",
        title="miniImageNet: 600 images of each of 100 classes of ImageNet, for few-shot classification",
        how=f"{PAGES}/images.md, on request",
        module=f"{HERE}.image_folders",
        reader="read_mini",
        classes=64,
        sizes={"train": 38_400, "val": 9_600, "test": 12_000},
        page=f"{PAGES}/images.md",
    ),
    DataSet(
        name="cifar_fs",
        title="CIFAR-FS: the 100 classes of CIFAR-100, for few-shot classification",
        how=f"{PAGES}/images.md, free to get",
        module=f"{HERE}.image_folders",
        reader="read_cifar_fs",
        classes=64,
        sizes={"train": 38_400, "val": 9_600, "test": 12_000},
        page=f"{PAGES}/images.md",
    ),
    DataSet(
        name="tieredimagenet",
        title="tieredImageNet: 608 classes of ImageNet, divided by their kinds, for few-shot classification",
        how=f"{PAGES}/images.md, on request",
        module=f"{HERE}.image_folders",
        reader="read_tiered",
        classes=351,
        sizes={"train": 448_695, "val": 124_261, "test": 206_209},
        page=f"{PAGES}/images.md",
    ),
    DataSet(
        name="ntu60",
        title="NTU RGB+D: 60 actions before a Kinect, videos and skeletons of 25 joints",
        how=f"{PAGES}/ntu-rgbd.md, on request",
        module=f"{HERE}.ntu",
        joints="ntu25",
        classes=60,
        divisions=("cross_subject", "cross_view"),
        sizes={
            f"{division} {split}": size
            for division, train, test in (("cross_subject", 40_320, 16_560), ("cross_view", 37_920, 18_960))
            for split, size in (("train", train), ("val", test), ("test", test))
        },
        page=f"{PAGES}/ntu-rgbd.md",
    ),
)
