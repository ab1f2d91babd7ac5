"""Texts, values and bytes, changed at random."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

Draw = random.Random
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
    "train.epochs=.nan",
    "model.ops.0.op=zzz",
    "model.ops.9.op=tsm",
    "model.ops.².op=tsm",
    f"train.epochs={'[' * 3000}",
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
