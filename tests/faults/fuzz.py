"""Mutated input: recipes, command lines, results files, annotation files and videos, each given to a command.

It survives if the command leaves within 10 s with an exit code of its own, without a traceback, without control
characters of the input on the terminal, without a write outside its output folder, and without exit code 0 where the
input is known to be nonsense: an unknown key, a wrong type, a number that is none.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vidops_cli.data.pool import Failed, each
from vidops_cli.recipe.reading import Dumper, read_file

ROOT = Path(__file__).parents[2]
LIMIT = 10.0  # seconds of the processor; one that waits for ever is ended after some more
MEMORY = 16 << 30  # bytes of address space, so that a claim that is believed harms this process alone
MOST = 2 << 30  # bytes that a command may take beside what its libraries do
OUT = ("out", "runs", "datasets", "home")  # folders that a command may write to
CODES = (0, 1, 2, 130)
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal would obey
Words = list[str]
Draw = random.Random


@dataclass(frozen=True)
class Case:
    """A command line and the files that it finds; `nonsense`: it must not leave with exit code 0."""

    words: Words
    files: dict[str, bytes] = field(default_factory=dict)
    nonsense: bool = False
    apart: bool = False  # in a process of its own
    links: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        return f"vidops {' '.join(self.words)!r}, files {', '.join(self.files) or 'none'}"[:300]


# --- running ----------------------------------------------------------------------------------------------------------

_written: list[str] = []  # files that this process has opened to write
_shown: list[str] = [""]  # what the last command has printed


def last_output() -> str:
    """Of the last command that was run here."""
    return _shown[0]


def _listen(event: str, told: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(told[0], str) and told[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _written.append(told[0])


@cache
def _ready() -> None:
    """Once a process: no accelerator, no memory for what files claim, imports that are not counted as a hang."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    import torch

    import vidops_cli.engine.train
    import vidops_cli.profiling.profile  # noqa: F401

    torch.set_num_threads(1)
    sys.addaudithook(_listen)


def run(case: Case) -> str:
    """Why the case is lost; empty if it survives."""
    _ready()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place).resolve() / "here"
        for name, content in case.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        for name in ("home", "out"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, target in case.links.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        before, began, held = _tree(folder.parent), time.process_time(), _peak()
        os.environ |= {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "home")}
        code, out, err = (_apart if case.apart else _here)(case.words, folder)
        _shown[0] = out
        took, held = time.process_time() - began, _peak() - held
        if held > MOST:
            return f"took {held >> 20} MiB of memory"
        changed = [path for path, stamp in _tree(folder.parent).items() if before.get(path) != stamp]
        return _judge(case, code, out, err, took, [*changed, *(before.keys() - _tree(folder.parent).keys())])


def _peak() -> int:
    """Bytes that this process, or the largest that it has waited for, has held at once."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) << 10


def _here(words: Words, folder: Path) -> tuple[int, str, str]:
    from vidops_cli.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    before, sys.argv = (sys.argv, os.getcwd()), ["vidops", *words]
    os.chdir(folder)
    _written.clear()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        code = -1
        err.write(traceback.format_exc())
    finally:
        sys.argv = before[0]
        os.chdir(before[1])
    outside = [path for path in _written if path != os.devnull and not _inside(Path(folder, path), folder)]
    return code, out.getvalue(), err.getvalue() + "".join(f"WRITTEN {path}\n" for path in outside)


def _apart(words: Words, folder: Path) -> tuple[int, str, str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vidops_cli", *words]
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return -9, "", "no answer within 90 s"
    except ValueError:  # an argument that no system takes, as one with a NUL
        return 2, "", "error: none\nhint: none\n"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def _inside(path: Path, folder: Path) -> bool:
    found = os.path.normpath(path)
    return found.startswith((f"{folder.parent}{os.sep}", "/proc/", "/dev/"))


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Files, each with its size and time, but for those that a command may write."""
    return {
        path: (os.lstat(path).st_size, os.lstat(path).st_mtime_ns)
        for below, _, names in os.walk(folder)
        for path in (os.path.join(below, name) for name in names)
        if not path.startswith(tuple(f"{folder}/work/{name}/" for name in OUT))
    }


def _judge(case: Case, code: int, out: str, err: str, took: float, changed: list[str]) -> str:
    if code not in CODES or "Traceback (most recent" in err:
        return f"exit code {code}: {err.strip()[-1500:]}"
    if took > LIMIT:
        return f"took {took:.0f} s"
    if changed or "WRITTEN " in err:
        return f"written outside: {changed[:3]} {err[-200:]}"
    if code == 2 and not re.search(r"^error: .{4}.*\nhint: .{4}", err, re.MULTILINE):
        return f"no error and hint: {err[-300:]!r}"
    if code == 0 and case.nonsense:
        return f"exit code 0 on nonsense: {out[-300:]}"
    if found := RAW.search(out + err):
        return f"control character {found.group()!r}: {(out + err)[max(0, found.start() - 80) : found.end() + 40]!r}"
    return ""


# --- mutations --------------------------------------------------------------------------------------------------------

SCALARS = [
    *(".nan", ".inf", "-.inf", "-1", "0", "1e400", "1e-400", "9" * 30, "-" + "9" * 30, "9" * 5000, "0x10", "1_000"),
    *("", "~", "true", "[]", "{}", "[[]]", "[{}]", "{a: {b: [c]}}", "- a", "'", '"', "|", ">", "&a", "*a", "!!int x"),
    *("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!binary aGk=", "!!set {a}", "@", "`", "%"),
    *(
        "été",
        "\u202etxt",
        "²",
        "٣",
        "\U0001f600",
        '"\\x1b[31mred"',
        '"\\0"',
        '"a\\nb"',
        "../../etc/passwd",
        "/etc/passwd",
    ),
    *(
        "a" * 20_000,
        "[" * 300 + "]" * 300,
        "[" * 20_000,
        "{a: " * 300 + "}" * 300,
        "<<: *a",
        "2026-11-22",
        "1:30",
        "on",
    ),
    *(
        '"\\ud800"',
        "[1, a, null, .nan]",
        "{1: 2}",
        "{null: 2}",
        "? a\n",
        "1.5",
        "3",
        "word",
        "-0",
        "0.0",
        "1e9",
        "4294967296",
    ),
]
WORDS = [
    "",
    "-",
    "--",
    "-1",
    "0",
    "nan",
    "inf",
    "1e9",
    "9" * 30,
    "9" * 5000,
    "a" * 5000,
    "²",
    "٣",
    "..",
    "/",
    "/dev/null",
]
WORDS += [
    "\x1b[31mred",
    "a\nb",
    "\u202e",
    "=",
    "a=",
    "=a",
    "a=b",
    "train.epochs=",
    "train.epochs=-1",
    "data..root=1",
    "*",
]
WORDS += [
    "--help",
    "--out",
    "--format",
    "recipe.yaml",
    "rows.json",
    "here",
    "out",
    "None",
    "[bold]",
    "{}",
    "[]",
    "x.jsonl",
]
WORDS += [
    "train.epochs=.nan",
    "model.ops.0.op=zzz",
    "model.ops.9.op=tsm",
    "model.ops.².op=tsm",
    f"train.epochs={'[' * 3000}",
]
WORDS += [
    "data.num_frames=1000000000000",
    "model.width=1e12",
    "train.batch=1000000000000000000",
    "data.root=\x1b]0;x\x07",
]


def mutate_text(draw: Draw, text: str) -> str:
    """One to three changes of lines, values and characters; it may still be sound."""
    lines = text.split("\n")
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        kind = draw.randrange(12)
        key = re.match(r"(\s*(?:- )?[\w.]+:)", lines[at])
        if kind == 0:
            lines.insert(at, lines[at])
        elif kind == 1:
            del lines[at]
        elif kind == 2:
            lines[at] = draw.choice([" ", "  ", "\t"]) + lines[at]
        elif kind == 3:
            lines[at] = lines[at][draw.randint(0, 2) :]
        elif kind == 4:
            spot = draw.randint(0, len(lines[at]))
            lines[at] = lines[at][:spot] + draw.choice("\0\t\x1b\x85\u2028é:-{}[]&*!|>'\"%@`#,²") + lines[at][spot:]
        elif kind == 5:
            lines = lines[: at + 1] if draw.random() < 0.3 else lines[:at] + lines[at + 1 :]
        elif kind == 6 and key:
            lines[at] = lines[at].replace(key[1], key[1][:-1] + draw.choice(["x:", ".x:", " :", "::", ".0:", ""]), 1)
        elif kind == 7:
            other = draw.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        elif key:
            lines[at] = f"{key[1]} {draw.choice(SCALARS)}"
        lines = lines or [""]
    return "\n".join(lines)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def make_nonsense(draw: Draw, value: dict[str, Any]) -> dict[str, Any]:
    """A recipe with an unknown key, or with no number where one has to be."""
    value = copy.deepcopy(value)
    leaves = [(path, leaf) for path, leaf in _leaves(value) if path and path[0] != "base"]
    numbers = [path for path, leaf in leaves if isinstance(leaf, (int, float)) and not isinstance(leaf, bool)]
    if numbers and draw.random() < 0.6:
        path = draw.choice(numbers)
        _at(value, path[:-1])[path[-1]] = draw.choice(["word", {}, {"a": 1}, float("nan"), float("inf"), "", [{}]])
    else:
        path = draw.choice(leaves)[0]
        depth = draw.choice([i for i, key in enumerate(path) if isinstance(key, str)])
        above = _at(value, path[:depth])
        name = path[depth] + draw.choice(["x", "_", ".x", " ", "\x1b[2J", "é", "²"])
        above[name] = above.pop(path[depth]) if draw.random() < 0.5 else above[path[depth]]
    return value


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


VALUES = [
    None,
    True,
    -1,
    0,
    1e308,
    -1e308,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x1b[31mred",
    "a\nb",
    [],
    {},
    [[]],
]
VALUES += [
    {"a": 1},
    "<script>alert(1)</script>",
    "\\input{/etc/passwd}",
    "[bold]x[/]",
    "|",
    "a" * 10_000,
    ["x"],
    [None],
    "ff",
]


def mutate_json(draw: Draw, value: Any) -> Any:
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        leaves = [path for path, _ in _leaves(value) if path]
        if not leaves:
            return value
        path = draw.choice(leaves)
        path = path[: draw.randint(1, len(path))]
        above = _at(value, path[:-1])
        kind = draw.randrange(4)
        if kind == 0:
            del above[path[-1]]
        elif kind == 1 and isinstance(above, dict):
            above[f"{path[-1]}x"] = above.pop(path[-1])
        else:
            above[path[-1]] = draw.choice(VALUES)
    return value


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


def mutate_bytes(draw: Draw, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        at, kind = draw.randrange(max(1, len(found))), draw.randrange(5)
        size = min(draw.choice([1, 4, 16, 1000]), len(found) - at)
        if kind == 0:
            found[at : at + size] = bytes(draw.randrange(256) for _ in range(size))
        elif kind == 1:
            del found[at : at + size]
        elif kind == 2:
            found[at:at] = found[at : at + size]
        elif kind == 3 and draw.random() < 0.3:
            del found[at:]
        else:
            found[at : at + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"])
    return bytes(found)


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
    _ready()
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
        before, card = _tree(root), DATASETS[case.name]
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
        return "" if _tree(root) == before else f"{file.name}: something was written"


def mutate_list(draw: Draw, content: bytes) -> bytes:
    """A list, a table or JSON with other lines, words or values."""
    kind = draw.random()
    if kind < 0.3:
        return mutate_bytes(draw, content)
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if isinstance(value, (dict, list)) and kind < 0.8:
        return json.dumps(mutate_json(draw, value)).encode()
    lines = content.decode(errors="replace").split("\n")
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        words = re.split(r"([ ,;\t])", lines[at])
        words[draw.randrange(len(words))] = draw.choice(
            [*WORDS, "../../x.mp4", "/etc/passwd", '"', ",", ";", "\0", "1e400"]
        )
        lines[at] = draw.choice(["".join(words), "", lines[at] * 2, "".join(words)])
    return "\n".join(lines).encode("utf-8", "surrogatepass")


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
        before = _tree(folder.parent)
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
        wrong = [_judge(Case(words), code, out, err, 0.0, [])] if code not in (0, 1) or RAW.search(out) else []
        wrong += ["written outside the data folder"] if _tree(folder.parent) != before else []
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
