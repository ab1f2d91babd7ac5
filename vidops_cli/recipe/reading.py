"""YAML with the line of every key, merged over its base, changed by `key=value` overrides."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml

from .problems import LIKE, Problem, RecipeError

Place = tuple[Any, ...]
Lines = dict[Place, str]
DEEPEST = 32  # levels of a file: its readers recurse, and libyaml's dies of too many
LARGEST = 2**63 - 1  # of whole numbers: what torch counts with


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fast):  # libyaml, where the wheel has it: ten times as fast
    """YAML 1.2: 1e-3 is a number, 010 is no octal one, on and 1:30 are words."""


class Dumper(yaml.SafeDumper):
    """Quotes what the loader would take for a number."""


_PLAIN = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", list("-+0123456789.")),
)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _PLAIN:
    for _class in (_Loader, Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _read_yaml(text: str, name: str) -> tuple[Any, Lines]:
    lines: Lines = {}
    try:
        loader, depth = _Loader(text), 0
        for event in yaml.parse(text, _Loader):
            where = f"{name}:{event.start_mark.line + 1}"
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise RecipeError([Problem(where, f"more than {DEEPEST} levels", "write what is nested so deep flat")])
            if isinstance(event, yaml.AliasEvent):
                told = f"aliases (*{event.anchor}) are not read"
                raise RecipeError([Problem(where, told, "write the values out, or use base:")])
            if getattr(event, "tag", None):
                raise RecipeError([Problem(where, f"tags ({event.tag}) are not read", "write plain values")])
        node = loader.get_single_node()
        value = _construct(loader, node, (), name, lines) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise RecipeError([Problem(where, "not valid YAML: a tab", "use spaces to indent")]) from None
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(
            [Problem(where, f"not valid YAML: {problem}", "check indentation, quotes and colons")]
        ) from None
    return value, lines


def _construct(loader: _Loader, node: yaml.Node, path: Place, name: str, lines: Lines) -> Any:
    where = f"{name}:{node.start_mark.line + 1}"
    lines.setdefault(path, where)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = f"{name}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise RecipeError(
                    [Problem(line, f"a key must be a word, got {key!r}", "quote it if it is meant as one")]
                )
            if key in found:
                raise RecipeError([Problem(line, f"the key {key!r} stands twice", "keep one of them")])
            lines[(*path, key)] = line
            found[key] = _construct(loader, value_node, (*path, key), name, lines)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item, (*path, i), name, lines) for i, item in enumerate(node.value)]
    if node.tag.endswith(":int") and (len(node.value) > 20 or abs(int(node.value)) > LARGEST):
        told = f"{node.value[:24]}{'...' if len(node.value) > 24 else ''} is beyond whole numbers of 64 bits"
        raise RecipeError([Problem(where, told, "write a smaller one, or 1e30 for a number that need not be whole")])
    return loader.construct_object(node)


def shipped() -> Path:
    """The folder of the recipes that come with vidops: inside the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "recipes"
    return inside if inside.is_dir() else package.with_name("recipes")


def find(path: Path) -> Path:
    """The file or folder; where none is there and its name begins with recipes/, the one that is shipped."""
    if path.parts[:1] != ("recipes",) or path.exists():
        return path
    place = shipped().joinpath(*path.parts[1:])
    return place if place.exists() else path


def read_file(
    path: Path, kind: str = "recipe", example: str = "recipes/quickstart.yaml"
) -> tuple[dict[str, Any], Lines]:
    """Keys and values of a YAML file, and the line of each. ValueError if it is none."""
    try:
        text = find(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"no such {kind}: {path}", _nearest_file(path)) from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a {kind}", "name a .yaml file in it") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file", f"a {kind} is YAML in UTF-8") from None
    value, lines = _read_yaml(text, str(path))
    if value is None:
        raise ValueError(f"{path} is empty", f"start from {example}")
    if not isinstance(value, dict):
        held = "a list" if isinstance(value, list) else "text" if isinstance(value, str) else "one value"
        raise ValueError(f"{path} holds {held}, not keys and values", f"start from {example}")
    return value, lines


def _nearest_file(path: Path) -> str:
    folder = find(path.parent)
    stems = [p.stem for p in folder.glob("*.yaml")] if folder.is_dir() else []
    if near := difflib.get_close_matches(path.stem, stems, cutoff=LIKE):
        return f"did you mean {path.parent / near[0]}.yaml?"
    same = sorted(p.relative_to(shipped()) for p in shipped().rglob("*.yaml") if p.stem == path.stem)
    return f"did you mean {Path('recipes') / same[0]}?" if same else "`vidops list recipes` shows those at hand"


def base_of(path: Path, base: str) -> Path:
    """Where a recipe's base is: from the recipe's folder, or one that is shipped, by its name."""
    beside = path.parent / base
    return beside if find(beside).is_file() or not find(Path(base)).is_file() else Path(base)


def with_base(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Lines]:
    """A recipe merged over its base, and that over its own."""
    value, lines = read_file(path)
    base = value.pop("base", None)
    if base is None:
        return value, lines
    where = lines[("base",)]
    if not isinstance(base, str):
        raise RecipeError([Problem(where, f"base names one file, got {base!r}", "base: ../base/NAME.yaml")])
    if find(path).resolve() in above:
        raise RecipeError([Problem(where, "this recipe is its own base", "name another file")])
    place = base_of(path, base)
    if not find(place).is_file():
        raise RecipeError([Problem(where, f"no such base: {place}", _nearest_file(place))])
    below, below_lines = with_base(place, (*above, find(path).resolve()))
    return _merge(below, value), {**below_lines, **lines}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key; all else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def override(value: dict[str, Any], lines: Lines, key: str, new: Any, where: str) -> None:
    """Set a dotted key, making mappings on the way; the new value's problems are reported at `where`."""
    parts = split_key(key)
    node: Any = value
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if isinstance(node, list):
            if not isinstance(part, int) or part >= len(node):
                raise RecipeError(
                    [Problem(where, f"{key}: {part!r} is no entry of a list of {len(node)}", "count from 0")]
                )
        elif not isinstance(node, dict):
            raise RecipeError(
                [Problem(where, f"{key}: nothing can be set below {'.'.join(map(str, parts[:i]))}", "shorten the key")]
            )
        elif not last and node.get(part) is None:
            if isinstance(parts[i + 1], int):
                raise RecipeError([Problem(where, f"{key}: there is no list to count in", "give the whole list")])
            node[part] = {}
        if last:
            node[part] = new
        else:
            node = node[part]
    for old in [path for path in lines if path[: len(parts)] == parts]:
        del lines[old]
    lines[parts] = where


def split_key(key: str) -> Place:
    """train.epochs -> ("train", "epochs"); numbers count the entries of a list."""
    return tuple(int(part) if re.fullmatch(r"[0-9]{1,9}", part) else part for part in key.split("."))


def parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w]*(\.[\w]+)*", key):
        raise ValueError(f"not an override: {text!r}", "write key=value, as in train.epochs=2")
    return key, _read_yaml(value, text[:80])[0]
