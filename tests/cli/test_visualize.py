"""vidops visualize: an operator alone, and those of a run."""

from __future__ import annotations

import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image
from terminal import ROOT, told_errors

from vidops_cli.data.image import write_image
from vidops_cli.data.video import write_video
from vidops_cli.visualize import SEEN


@pytest.fixture
def clip(place):
    """A video of 6 frames of 32 x 40 pixels, noise that moves 2 pixels to the right each frame; and two images."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    write_video(place / "clip.mp4", np.stack([np.roll(noise, 2 * t, axis=1) for t in range(6)]))
    write_image(place / "a.png", noise)
    write_image(place / "b.png", noise[4:, :30].copy())
    return place / "clip.mp4"


def colours(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return len(image.convert("RGB").getcolors(1 << 24))


def test_an_operator_alone(vidops, place, clip):
    code, out, err = vidops("visualize", "--op", "motion_squeeze", "--video", clip)
    assert (code, err) == (0, "")
    assert out == "written: runs/pictures/motion_squeeze-displacement.png, frame 2 to frame 3\n"
    assert colours(place / "runs/pictures/motion_squeeze-displacement.png") > 100
    words = ("--frame", 4, "--query", "10,20", "--out", "new/here", "--stride", 2, "--frames", 5, "--set", "kernel=5")
    code, out, err = vidops("visualize", "--op", "sifa", "--video", clip, *words)
    assert (code, err) == (0, "") and "sifa-offsets.png, frame 3, point 10,20" in out
    assert colours(place / "new/here/sifa-offsets.png") > 100


def test_two_images(vidops, place, clip):
    """Of two files, of unequal sizes too; or the ends of one video."""
    for videos in (("a.png", "b.png"), ("clip.mp4",)):
        words = [word for video in videos for word in ("--video", video)]
        code, out, err = vidops("visualize", "--op", "cca", *words, "--stride", 8)
        assert (code, err) == (0, "") and "cca-co-attention.png" in out
        assert colours(place / "runs/pictures/cca-co-attention.png") > 100


def test_a_run(vidops, place, clip):
    """The network's own maps, of the recipe's clips or of any video; the place is chosen."""
    ops = "[{op: motion_squeeze, at: [res2, res3], options: {reduced: 8, max_displacement: 2}}]"
    assert vidops("train", "one.yaml", f"model.ops={ops}", "--out", "run", "--device", "cpu")[0] == 0
    code, out, err = vidops("visualize", "run", "--clip", 1)
    assert code == 0 and "motion_squeeze at res2; also there, by --op and --at: motion_squeeze at res3" in err
    assert "runs/pictures/res2-motion_squeeze-displacement.png, frame 3 to frame 4" in out
    code, out, err = vidops("visualize", "run", "--video", clip, "--at", "res3", "--frame", 0, "--op", "motion_squeeze")
    assert (code, err) == (0, "") and "res3-motion_squeeze-displacement.png, frame 0 to frame 1" in out
    for words, what, hint in (
        ("--clip 99", "no clip 99", "--clip 0 to 7"),
        ("--clip 0 --at res9", "stands at res9", "motion_squeeze at res2"),
        ("--clip 0 --op lisa", "no lisa stands in this network", "motion_squeeze at res2"),
        ("--clip 0 --clip 1", "one clip, got 2", "--clip once"),
        ("--clip 0 --stride 2", "--stride means nothing beside a run", "leave it out"),
        ("--video one.yaml", "one.yaml", "another clip"),
        ("--clip 0 --checkpoint none.pt", "none.pt", ".pt"),
    ):
        code, _, err = vidops("visualize", "run", *words.split())
        errors = told_errors(err)
        assert code == 2 and len(errors) == 1 and what in errors[0][0] and hint in errors[0][1], (words, err)


REFUSED = [
    ("", "--op or the folder of a run", "--op motion_squeeze"),
    ("--op motion_sqeeze --video clip.mp4", "motion_sqeeze", "motion_squeeze"),
    ("--op conv3d --video clip.mp4", "conv3d has nothing to see", "rsa, lisa, selfy"),
    ("--op rsa", "--video", "--video clip.mp4"),
    ("--op rsa --clip 0", "--clip means nothing beside --op alone", "leave it out"),
    ("--op rsa --video clip.mp4 --at res3", "--at means nothing beside --op alone", "leave it out"),
    ("--op rsa --video absent.mp4", "no such video: absent.mp4", "an image"),
    ("--op rsa --video one.yaml", "cannot decode one.yaml", "an image"),
    ("--op rsa --video clip.mp4 --video a.png", "one video", "leave --video out"),
    ("--op rsa --video clip.mp4 --out one.yaml", "one.yaml is no folder", "--out"),
    ("--op rsa --video clip.mp4 --frame 6", "frames 0 to 5, not 6", "--frame"),
    ("--op rsa --video clip.mp4 --query 5", "X,Y", "--query 12,8"),
    ("--op rsa --video clip.mp4 --query 40,2", "outside of frames of 40 x 32", "--query 20,16"),
    ("--op rsa --video clip.mp4 --head 9", "no head 9", "--head 1 to 8"),
    ("--op rsa --video clip.mp4 --set heads=5", "5 heads do not divide", "vidops show rsa"),
    ("--op rsa --video clip.mp4 --set windows=5", "no option 'windows'", "its options: heads"),
    ("--op motion_squeeze --video a.png", "at least 2", "a video"),
    ("--op integral_action --video clip.mp4", "joints", "vidops visualize RUN --op integral_action --clip 0"),
    ("folder --clip 0", "folder is not the folder of a run", "vidops train"),
]


def test_refused(vidops, place, clip):
    for words, what, hint in REFUSED:
        code, out, err = vidops("visualize", *words.split())
        errors = told_errors(err)
        assert (code, out, len(errors)) == (2, "", 1), (words, err)
        assert what in errors[0][0] and hint in errors[0][1], (words, err)
    assert not (place / "runs/pictures").exists()


def test_without_matplotlib(vidops, place, clip, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = vidops("visualize", "--op", "deformable_conv", "--video", clip)
    assert code == 2 and told_errors(err)[0] == ("plots need matplotlib", "pip install 'vidops[plot]'")


def test_the_page(vidops):
    """Its commands are understood, its figures are there and small, and every operator and option stands on it."""
    text = (ROOT / "docs/visualize.md").read_text()
    commands = re.findall(r"^\$ vidops (.*)", text, re.M)
    assert len(commands) >= 7
    for words in map(shlex.split, commands):
        assert vidops(*words, "--help")[0] == 0 and vidops(*words, "--no-such-option", "--help")[0] == 2
    figures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(figures) == 5 and all(10_000 < (ROOT / "docs" / each).stat().st_size < 150_000 for each in figures)
    table = "\n".join(re.findall(r"^\| .*", text, re.M))
    assert set(re.findall(r"`(\w+)`", table)) == set(SEEN)
    options = set(re.findall(r"(--[a-z]+)", vidops("visualize", "--help")[1])) - {"--help", "--quiet", "--format"}
    assert len(options) == 14 and [option for option in options if option not in text] == []
