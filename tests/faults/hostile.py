"""Files that a stranger made to harm: each given to a command, which has to refuse it.

It survives if nothing of the payload runs, the command leaves as in `fuzz`, never with exit code 0, and takes neither
the time nor the memory that the file claims. Of hostile names, which are no error, every form of a table is looked at.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import fuzz
import judged
from judged import Case

HUGE = 10_000_000_000  # bytes
RESCUED = "a file that was made to harm; refused with one error, nothing run, written or allocated"


class Payload:
    """What unpickling it would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


class Filler:
    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (HUGE,)


# --- checkpoints and scores -------------------------------------------------------------------------------------------


def _torch(value: Any, **how: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def _packed(size: int, name: str = "archive/data/0") -> bytes:
    """A zip archive of zeros that unpacks to `size` bytes."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def _tensor_file(shape: list[int], size: int) -> bytes:
    head = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(64)


def array(shape: tuple[int, ...]) -> bytes:
    """An .npy of no data that claims a shape."""
    import numpy as np

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@cache
def checkpoints() -> dict[str, bytes]:
    """By name."""
    import torch

    one = torch.zeros(1)
    indices = torch.full((1, 1), 7)
    sparse = torch.sparse_coo_tensor(indices, one, (10**12,), check_invariants=False)
    return {
        "payload.pt": _torch({"model": {"w": one}, "recipe": Payload()}),
        "payload_in_weights.pth": _torch({"state_dict": {"w": Payload()}}),
        "payload_of_old.pt": _torch({"model": Payload()}, _use_new_zipfile_serialization=False),
        "pickle.pt": pickle.dumps(Payload()),
        "pickle.pth.tar": pickle.dumps({"state_dict": Payload()}, protocol=2),
        "expanded.pt": _torch({"recipe": "a", "model": {"w": one.expand(HUGE // 4)}}),
        "expanded_half.pth": _torch({"state_dict": {"w": one.half().expand(HUGE // 2)}}),
        "packed.pt": _packed(1 << 31),
        "filled.pt": _torch({"model": {"w": one}, "x": Filler()}),
        "sparse.pt": _torch({"recipe": "a", "model": {"w": sparse}}),
        "meta.pt": _torch({"recipe": "a", "model": {"w": torch.empty(10**12, device="meta")}}),
        "classes.pt": _torch({"recipe": "a", "model": {"w": one}, "classes": 10**9}),
        "claims.safetensors": _tensor_file([HUGE // 4], HUGE),
        "beyond.safetensors": _tensor_file([1 << 62, 1 << 62], 64),
        "head.safetensors": struct.pack("<Q", HUGE) + b"{}",
    }


@cache
def scores() -> dict[str, bytes]:
    import numpy as np

    objects, arrays = io.BytesIO(), {}
    np.save(objects, np.array([Payload()], dtype=object), allow_pickle=True)
    arrays["payload.npz"] = objects.getvalue()
    for name, content in {"payload_in.npz": objects.getvalue(), "claims.npz": array((HUGE // 4,))}.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("scores.npy", content)
        arrays[name] = buffer.getvalue()
    return {**arrays, "claim.npz": array((1 << 60,)), "packed.npz": _packed(1 << 31, "scores.npy")}


def of_checkpoints() -> Iterator[Case]:
    recipe = {"recipe.yaml": fuzz.tiny()[0][0].encode()}
    for name, content in checkpoints().items():
        yield Case(["eval", "recipe.yaml", "--checkpoint", name], {name: content, **recipe}, True)
        yield Case(["import", "rsa", name, "--out", "out/a.safetensors"], {name: content}, True)
        yield Case(["export", "rsa", name, "--like", name], {name: content}, True)
        if name.endswith(".pt"):
            kept = {"out/run/last.pt": content, "out/run/recipe.yaml": recipe["recipe.yaml"]}
            yield Case(["eval", "out/run"], kept, True)
    for name, content in scores().items():
        yield Case(["eval", "--scores", name], {name: content}, True)


# --- text -------------------------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
TEXTS = {
    "object": "title: !!python/object/apply:os.system ['touch pwned']\n",
    "new": "title: !!python/object/new:os.system ['touch pwned']\n",
    "module": "title: !!python/module:antigravity ''\n",
    "name": "title: !!python/name:os.system ''\n",
    "own tag": "title: !touch pwned\n",
    "laughs": LAUGHS,
    "merged": "a: &a {b: 1}\nc: {<<: *a}\n",
    "itself": "a: &a [*a]\n",
    "nested": "a: " + "[" * 100_000,
    "nested lines": "- " * 100_000,
    "nested maps": "".join(f"{' ' * i}a:\n" for i in range(2_000)),
    "digits": f"train: {{epochs: {'9' * 1_000_000}}}\n",
}


def of_text() -> Iterator[Case]:
    sound = fuzz.tiny()[0][0]
    for text in TEXTS.values():
        for told in (text, sound + "\n" + text):
            yield Case(["validate", "recipe.yaml"], {"recipe.yaml": told.encode()}, True)
        yield Case(
            ["train", "recipe.yaml", "--dry-run"],
            {"recipe.yaml": b"base: other.yaml\n", "other.yaml": text.encode()},
            True,
        )
        yield Case(["eval", "out/run"], {"out/run/recipe.yaml": text.encode()}, True)
        value = text.partition(": ")[2].strip() or text
        if len(value) < 100_000:  # of a command line
            yield Case(
                ["train", "recipe.yaml", "--dry-run", f"title={value}"],
                {"recipe.yaml": sound.encode()},
                value != "!touch",
            )
    for content in (b"[" * 1_000_000, b'{"a":' * 1_000_000, b"9" * 1_000_000, b'{"schema": 1e999}'):
        yield Case(["compare", "a.json", "a.json"], {"a.json": content}, True)
        yield Case(["ablate", "a.jsonl"], {"a.jsonl": content + b"\n"}, True)


# --- lists and links --------------------------------------------------------------------------------------------------


def of_lists() -> Iterator[Case]:
    secret = {"secret.mp4": b"x", "secret/a.mp4": b"x"}
    for path in ("../secret.mp4", "../../here/secret.mp4", "/etc/hostname", "a/../../secret.mp4", "~/../secret.mp4/.."):
        for verb in (["verify"], ["preview", "--split", "train"], ["prepare", "--out", "out/new"]):
            words = ["data", verb[0], "video_folder", "--root", "out/data", *verb[1:]]
            yield Case(words, {"out/data/train.txt": f"{path} 0\n".encode(), **secret}, True)
    for link, target, path in (
        ("out/data/a.mp4", "../../secret.mp4", "a.mp4"),
        ("out/data/a", "../../secret", "a/a.mp4"),
        ("out/data/a.mp4", "/etc/hostname", "a.mp4"),
        ("out/data/b/c", "../../../secret", "b/c/a.mp4"),
    ):
        for verb in (["verify"], ["prepare", "--out", "out/new"]):
            words = ["data", verb[0], "video_folder", "--root", "out/data", *verb[1:]]
            yield Case(words, {"out/data/train.txt": f"{path} 0\n".encode(), **secret}, True, links={link: target})
    # a manifest that is a link to a file of ours: nothing is appended to that
    files = {"out/data/train/x/a.mp4": b"x", "mine.txt": b"mine"}
    begun = "out/data/manifest-video_folder-train.jsonl.partial"
    words = ["data", "verify", "video_folder", "--root", "out/data", "--split", "train"]
    yield Case(words, files, True, apart=True, links={begun: "../../mine.txt"})


# --- frames that no memory holds --------------------------------------------------------------------------------------


def image(side: int) -> bytes:
    """A PNG of a few bytes that claims side x side pixels."""
    import zlib

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")


@cache
def video(width: int, height: int) -> bytes:
    """A video of one black frame."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame(width, height, "yuvj420p")))
        out.mux(stream.encode())
    return buffer.getvalue()


def of_frames() -> Iterator[Case]:
    for name, content in {"a.png": image(60_000), "b.png": image(12_000), "c.mkv": video(16_000, 9_000)}.items():
        for words in (["data", "verify", "video_folder"], ["data", "prepare", "video_folder", "--out", "out/new"]):
            yield Case([*words, "--root", "out"], {f"out/train/x/{name}": content}, True, apart=True)


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = [
    *("<script>alert(1)</script>", "<img src=http://a.b/c.png>", '" onload="x', "&lt;b&gt;", "</style><link href=//a>"),
    *("\\input{/etc/passwd}", "\\write18{id}", "$\\input{a}$", "100 % # _ ^^5c & ~ { }", "% \n\\input{a}", "$odd"),
    *("[x](javascript:alert(1))", "![x](http://a.b/c.png)", "[x]: http://a.b", "a | b", "`id`", "[bold red]x[/]"),
    *("\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\rover", "\x08\x08", "\u202etxt.exe", "\ud800", "\x00\x03\x06"),
]
# outside of quoted values, which may hold any name
LOADS = re.compile(
    r"""<\s*(script|img|link|iframe|object|embed|base|a )|<(?:[^>"]|"[^"]*")*\s(src|onload|href)=|@import|url\(""", re.I
)
FORMS = ("table", "json", "csv", "markdown", "latex", "html")
UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\(input|write)|(?<!\\)\$")  # in LaTeX, outside a comment
LIVE = re.compile(r"(?<!\\)\]\(|(?<!\\)<(?!u>|/u>)|^(- |# )?\[.*\]:", re.M)  # in Markdown


@dataclass(frozen=True)
class Named:
    """A published table with a name for its rows, in one form."""

    name: str
    form: str

    def told(self) -> str:
        return f"a row named {self.name!r} as {self.form}"


def table_of(name: str) -> bytes:
    """Published rows of which all that is a name is `name`."""
    head, *found = [json.loads(line) for line in fuzz.published()[0].splitlines()]
    first = head["table"]["rows"][0]["name"]
    told = {**head["table"], "title": name, "claim": name, "paper": name}
    text = json.dumps([{**head, "table": told}, *found]).replace(json.dumps(first), json.dumps(name))
    return b"".join(json.dumps(line).encode() + b"\n" for line in json.loads(text))


def shown(case: Named) -> str:
    """Why the case is lost: what of the name is left that would do something."""
    case_run = Case(["ablate", "a.jsonl", "--format", case.form, "--claims"], {"a.jsonl": table_of(case.name)})
    if lost := judged.run(case_run):
        return lost
    text = judged.last_output()
    wrong = {"html": LOADS, "latex": UNESCAPED, "markdown": LIVE}.get(case.form)
    if case.form == "latex":
        text = "\n".join(line for line in text.split("\n") if not line.startswith("%"))
    found = wrong.search(text) if wrong else None
    return f"{found.group()!r} in {text[max(0, found.start() - 60) : found.end() + 40]!r}" if found else ""


# --- rows -------------------------------------------------------------------------------------------------------------


def rows() -> Iterator[dict[str, Any]]:
    """A row of each kind."""
    for kind, cases in (
        ("hostile: checkpoints and scores", of_checkpoints()),
        ("hostile: YAML and JSON", of_text()),
        ("hostile: lists and links", of_lists()),
        ("hostile: frames beyond memory", of_frames()),
    ):
        yield {**fuzz._row(kind, judged.run, list(cases)), "what": RESCUED}
    named = [Named(name, form) for name in NAMES for form in FORMS]
    what = (
        "names of rows, titles and claims in every form of a table; none is a command, a tag, a link or a control code"
    )
    yield {**fuzz._row("hostile: names", shown, named), "what": what}
    yield _audit()


def _audit() -> dict[str, Any]:
    """Known holes of the pinned packages, where the tool and its service are there."""
    import subprocess

    began, kind = time.monotonic(), "hostile: pip-audit on the pins"
    words = [sys.executable, "-m", "pip_audit", "-r", str(fuzz.ROOT / "constraints.txt"), "--no-deps", "--disable-pip"]
    try:
        done = subprocess.run([*words, "-f", "json"], capture_output=True, text=True, timeout=300)
        told = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return {
            "kind": kind,
            "tries": 0,
            "survived": 0,
            "lost": 0,
            "seconds": 0.0,
            "what": "not run: no pip-audit, or no service",
        }
    known = [one for one in told if "skip_reason" not in one]
    holes = [f"{one['name']} {hole['id']}" for one in known for hole in one["vulns"]]
    what = (
        f"packages without a known hole{': ' + ', '.join(holes) if holes else ''}"
        if known
        else "not run: its service is not reachable"
    )
    lost = sum(bool(one["vulns"]) for one in known)
    seconds = round(time.monotonic() - began, 1)
    return {
        "kind": kind,
        "tries": len(known),
        "survived": len(known) - lost,
        "lost": lost,
        "seconds": seconds,
        "what": what,
    }
