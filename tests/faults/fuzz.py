"""Mutated input: recipes, command lines, results files, annotation files and videos, each given to a command.

It survives if the command leaves within 10 s with an exit code of its own, without a traceback, without control
characters of the input on the terminal, without a write outside its output folder, and without exit code 0 where the
input is known to be nonsense: an unknown key, a wrong type, a number that is none.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from judged import LIMIT, RAW, ROOT, Case, Words, judge, ready, run, tree
from mutations import WORDS, Draw, make_nonsense, mutate_bytes, mutate_json, mutate_list, mutate_text

from vidops_cli.data.pool import Failed, each
from vidops_cli.recipe.reading import Dumper, read_file

# --- recipes and command lines ----------------------------------------------------------------------------------------


@cache
def corpus() -> list[tuple[str, dict[str, Any]]]:
    """Committed recipes: their text, with a base that is found from anywhere, and their values."""
    found = []
    for path in sorted((ROOT / "recipes").rglob("*.yaml")):
        text = path.read_text()
        if told := re.search(r"^base: *(\S+)", text, re.MULTILINE):
            text = text.replace(told[0], f"base: {(path.parent / told[1]).resolve()}", 1)
        value = read_file(path)[0]
        if "base" in value:
            value["base"] = str((path.parent / value["base"]).resolve())
        found.append((text, value))
    return found


@cache
def tiny() -> list[tuple[str, dict[str, Any]]]:
    """Those whose networks take no time to build, as those of generated benchmarks."""
    return [(text, value) for text, value in corpus() if Path(value.get("base", "")).stem.startswith("mini")]


RECIPE_VERBS = [["validate"]] * 8 + [["train", "--dry-run"]] * 3
RECIPE_VERBS += [["ablate", "--dry-run"], ["ablate", "--smoke", "--dry-run"], ["ablate", "--mini", "--dry-run"]]
RECIPE_VERBS += [["ablate", "--table"], ["ablate", "--claims", "--format", "html"]]


def recipes(draw: Draw) -> Case:
    verb = draw.choice(RECIPE_VERBS)
    text, value = draw.choice(corpus() if verb[0] == "validate" else tiny())
    nonsense = draw.random() < 0.4 and verb[0] == "validate"
    if nonsense:
        mutated = yaml.dump(make_nonsense(draw, value), Dumper=Dumper, sort_keys=False, allow_unicode=True)
    else:
        mutated = mutate_text(draw, text)
    return Case([*verb, "recipe.yaml"], {"recipe.yaml": mutated.encode("utf-8", "surrogatepass")}, nonsense)


LINES = [
    *(
        "validate recipe.yaml",
        "train recipe.yaml --dry-run",
        "train recipe.yaml --dry-run train.epochs=2 model.width=2",
    ),
    *(
        "ablate recipe.yaml --dry-run",
        "ablate recipe.yaml --dry-run --only TSN",
        "ablate recipe.yaml --table --format latex",
    ),
    *("ablate recipe.yaml --claims --unverified", "ablate rows.jsonl", "ablate rows.jsonl --claims --format markdown"),
    *("eval out", "eval recipe.yaml --checkpoint rows.json", "eval out --split val", "compare rows.json rows.json"),
    *(
        "compare rows.json rows.json --fail-over 5%",
        "list",
        "list ops --format json",
        "show lisa",
        "show recipe",
        "show tsm",
    ),
    *("data verify video_folder --root out", "data preview video_folder --root out --split val --clips 2", "--version"),
    *(
        "data generate mini_motion --root out --train 1 --val 1 --test 1 --dial speed=3",
        "data prepare video_folder --root out",
    ),
    *("import rsa rows.json --out out/a.safetensors", "export rsa rows.json --like rows.json", "verify --help"),
    *(
        "profile --op conv2d --seq 4 --channels 4",
        "profile --op tsm --grid 2x4x4 --channels 8 --no-check",
        "profile rows.json",
    ),
    *("train recipe.yaml --dry-run data.crop=8 data.num_frames=4 --row TSM", "show resnet50", "show mini_motion"),
]


def commands(draw: Draw) -> Case:
    words = draw.choice(LINES).split(" ")
    for _ in range(draw.randint(1, 3)):
        at, kind = draw.randrange(len(words)), draw.randrange(5)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, draw.choice(WORDS))
        elif kind == 2:
            words[at] = draw.choice(WORDS)
        elif kind == 3:
            words[at] += draw.choice(["=", "x", "=-1", "=nan", "\x1b[2J", "²", "="])
        else:
            words.insert(at, words[draw.randrange(len(words))])
    if words[0] in ("verify", "train") and not {"--dry-run", "--help", "-h"} & {*words}:
        words.append("--dry-run")  # what is sound would take long
    if words[0] == "ablate":
        words.append("--dry-run")
    words = [word.replace("\0", "") for word in words]
    files = {"recipe.yaml": tiny()[0][0].encode(), "rows.json": _profile(), "rows.jsonl": published()[0]}
    return Case(words, files, apart=draw.random() < 0.02)


# --- results files ----------------------------------------------------------------------------------------------------


@cache
def published() -> list[bytes]:
    """Tables that are published."""
    found = [path.read_bytes() for path in sorted((ROOT / "results/claims").glob("*.jsonl"))]
    return [content for content in found if len(content) < 200_000 and b'"table"' in content.partition(b"\n")[0]]


@cache
def _profile() -> bytes:
    """The first rows of a profile that is kept."""
    told = json.loads((ROOT / "results/profile/layers.json").read_text())
    return json.dumps({**told, "rows": told["rows"][:6]}).encode()


def results(draw: Draw) -> Case:
    if draw.random() < 0.3:
        content, name = _profile(), "rows.json"
        words = draw.choice([["compare", "rows.json", "whole.json"], ["compare", "whole.json", "rows.json"]])
        words = [*words, "--format", draw.choice(["table", "html", "latex", "markdown", "csv", "json"])]
    else:
        content, name = draw.choice(published()), "rows.jsonl"
        forms = ["table", "html", "latex", "markdown", "csv", "json"]
        words = ["ablate", "rows.jsonl", "--format", draw.choice(forms)]
        words += draw.choice([[], ["--claims"], ["--unverified"], ["--plot", "out/plot.svg"], ["--claims", "--check"]])
    kind = draw.random()
    if kind < 0.6:
        lines = (
            [json.loads(line) for line in content.split(b"\n") if line]
            if name == "rows.jsonl"
            else [json.loads(content)]
        )
        at = 0 if draw.random() < 0.5 else draw.randrange(len(lines))
        lines[at] = mutate_json(draw, lines[at])
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    elif kind < 0.9:
        content = mutate_bytes(draw, content)
    else:
        content = draw.choice(
            [
                b"",
                b"\0" * 99,
                b"[" * 200_000,
                b'{"a":' * 50_000,
                b"\xff\xfe",
                b"null\n",
                b"{}\n",
                b"[]\n",
                b"9" * 9000 + b"\n",
            ]
        )
    return Case(words, {name: content, "whole.json": _profile(), "out/.keep": b""})


# --- annotation files and videos --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """The miniature of a data set, of which a file is another."""

    name: str
    seed: int

    def told(self) -> str:
        return f"annotations of {self.name}, seed {self.seed}"


LISTS = (".txt", ".csv", ".json", ".skeleton", ".npy")


def read(case: Listed) -> str:
    """Why the case is lost: readers and joints may raise a ValueError with a message and a hint, and nothing else."""
    ready()
    from miniatures import MINIATURES

    from vidops_cli.data import DATASETS

    draw = Draw(case.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        root, began = Path(place).resolve() / "data", time.monotonic()
        MINIATURES[case.name](root)
        files = sorted(path for path in root.rglob("*") if path.suffix in LISTS)
        if not files:
            return ""
        file = draw.choice(files)
        file.write_bytes(mutate_list(draw, file.read_bytes()))
        before, card = tree(root), DATASETS[case.name]
        for split in ("train", "val", "test"):
            try:
                found = card.read(root, split)
                for path in found.paths:
                    if not os.path.realpath(root / path).startswith(f"{root}{os.sep}"):
                        return f"{file.name}: {path} leaves the data folder"
                for index in range(len(found.joints) if found.joints is not None else 0):
                    found.joints[index]
            except ValueError as error:
                if not error.args or not str(error.args[0]):
                    return f"{file.name}: a ValueError without a message"
            except Exception:
                return f"{file.name}: {traceback.format_exc()[-1500:]}"
        if time.monotonic() - began > LIMIT:
            return f"{file.name}: took {time.monotonic() - began:.0f} s"
        return "" if tree(root) == before else f"{file.name}: something was written"


def videos(draw: Draw, count: int) -> tuple[int, list[str]]:
    """How many of the mutated files are in the manifest of `vidops data verify`, and what else went wrong."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place).resolve() / "here"
        kinds = [(path.suffix, path.read_bytes()) for path in _samples(Path(place) / "samples")]
        for number in range(count):
            suffix, content = draw.choice(kinds)
            target = folder / "out/train" / f"c{number % 2}" / f"{number:04d}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(mutate_bytes(draw, content))
        before = tree(folder.parent)
        words = [
            "data",
            "verify",
            "video_folder",
            "--root",
            "out",
            "--split",
            "train",
            "--timeout",
            "10",
            "--jobs",
            "1",
        ]
        code, out, err = _verify(words, folder)
        lines = (folder / "out/manifest-video_folder-train.jsonl").read_text().splitlines() if code in (0, 1) else []
        sound = [row for row in map(json.loads, lines) if row.get("bad") or row.get("frames", 0) > 0]
        wrong = [judge(Case(words), code, out, err, 0.0, [])] if code not in (0, 1) or RAW.search(out) else []
        wrong += ["written outside the data folder"] if tree(folder.parent) != before else []
        return len(sound), [*wrong, *(["files that no row tells of"] if len(sound) < count else [])]


def _verify(words: Words, folder: Path) -> tuple[int, str, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidops_cli", *words]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _samples(folder: Path) -> list[Path]:
    """A small video in each of some containers and codecs."""
    import av
    import numpy as np

    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8)
    found = []
    for name, codec in (
        ("h264.mp4", "libx264"),
        ("mpeg4.avi", "mpeg4"),
        ("vp9.webm", "libvpx-vp9"),
        ("h264.mkv", "libx264"),
    ):
        with av.open(str(folder / name), "w") as out:
            stream = out.add_stream(codec, rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in frames:
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
        found.append(folder / name)
    return found


# --- rows -------------------------------------------------------------------------------------------------------------


def rows(share: float = 1.0) -> Iterator[dict[str, Any]]:
    """A row of each kind; `share` of the tries."""
    yield _row("fuzz: recipes", run, [recipes(Draw(seed)) for seed in range(round(1500 * share))])
    yield _row("fuzz: command lines", run, [commands(Draw(seed)) for seed in range(round(500 * share))])
    yield _row("fuzz: results files", run, [results(Draw(seed)) for seed in range(round(500 * share))])
    sys.path.append(str(ROOT / "tests/data/datasets"))
    from miniatures import MINIATURES

    names = sorted(MINIATURES)
    listed = [Listed(names[seed % len(names)], seed) for seed in range(round(250 * share))]
    yield _row("fuzz: annotation files", read, listed)
    began, tries = time.monotonic(), round(250 * share)
    survived, wrong = videos(Draw(0), tries)
    for line in wrong:
        print(f"lost: fuzz: videos: {line}", file=sys.stderr)
    survived -= bool(wrong) and survived == tries
    what = "mutated bytes of MP4, AVI, WebM and Matroska; each has a row in the manifest of `vidops data verify`"
    yield _told("fuzz: videos", tries, survived, began, what)


WHAT = (
    "mutated from sound ones; left within 10 s by an exit code of its own, no traceback, no exit code 0 on what is "
    "known to be nonsense, nothing written outside the output folder"
)


def _row(kind: str, work: Callable[[Any], str], cases: list[Any]) -> dict[str, Any]:
    began, survived = time.monotonic(), 0
    for index, found in each(work, cases, processes=1, timeout=90.0):
        reason = found.reason if isinstance(found, Failed) else found
        survived += not reason
        if reason:
            print(f"lost: {kind}, {index}: {cases[index].told()}: {reason}", file=sys.stderr)
    return _told(kind, len(cases), survived, began, WHAT)


def _told(kind: str, tries: int, survived: int, began: float, what: str) -> dict[str, Any]:
    lost, seconds = tries - survived, round(time.monotonic() - began, 1)
    return {"kind": kind, "tries": tries, "survived": survived, "lost": lost, "seconds": seconds, "what": what}
