"""Recipes: YAML files that say what to train, evaluate and ablate.

A recipe is read with the line of every key, merged over its one `base:`, changed by `key=value` overrides, and checked
as a whole: every problem is reported at once, each with its line and a hint. Knows no torch; the operators, networks
and data sets that exist are handed in (`Known`).
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a recipe, where, and what to do about it."""

    where: str
    message: str
    hint: str


class RecipeError(ValueError):
    """All problems of a recipe."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__("\n".join(f"{p.where}: {p.message}" for p in problems), problems[0].hint)


@dataclass(frozen=True)
class Known:
    """The names a recipe may use. Cards have `options`, of which each has `problem(value)`."""

    ops: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, Any] = field(default_factory=dict)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Data(Section):
    """Which clips, and how frames become a tensor. `frames` and `shuffle_labels` are controls."""

    name: str
    root: str
    splits: dict[Literal["train", "val", "test"], str] = {}
    num_frames: Positive = 8
    resize: Positive | None = None
    crop: Positive | None = None
    flip: Share = 0.0
    mean: Annotated[list[float], Field(min_length=3, max_length=3)] = [0.485, 0.456, 0.406]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = [0.229, 0.224, 0.225]
    frames: Literal["ordered", "reversed", "shuffled"] = "ordered"
    shuffle_labels: bool = False
    cache: Literal["memory", "none"] = "none"
    workers: Annotated[int, Field(ge=0)] = 0
    max_bad: Annotated[int, Field(ge=0)] = 0


class Placed(Section):
    """An operator put into a slot of the network: `at` is all, a stage (res3), a block (res3.1), or a list of them."""

    op: str
    at: str | list[str] = "all"
    slot: str | None = None
    options: dict[str, Any] = {}


class Model(Section):
    name: str
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ops: list[Placed] = []


class Optimizer(Section):
    name: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    decay_norm_bias: bool = False


class Schedule(Section):
    name: Literal["cosine", "constant"] = "cosine"
    warmup: Share = 0.0
    final: Share = 0.0


class Train(Section):
    """`checkpoint` is which weights are tested; `recalibrate_bn` counts batches that renew the running statistics."""

    epochs: Positive
    batch: Positive
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    label_smoothing: Share = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    recalibrate_bn: Annotated[int, Field(ge=0)] = 0
    checkpoint: Literal["best", "last"] = "last"
    save_every: Positive | None = None
    threads: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class Eval(Section):
    split: Literal["train", "val", "test"] = "test"
    batch: Positive = 64


class Row(Section):
    name: Annotated[str, Field(min_length=1)]
    set: dict[str, Any] = {}


class Ablation(Section):
    metric: str = "top1"
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    rows: Annotated[list[Row], Field(min_length=1)]


class Recipe(Section):
    title: str = ""
    claim: str = ""
    paper: str = ""
    scale: Literal["full", "mini"] = "full"
    data: Data
    model: Model
    train: Train
    eval: Eval = Eval()
    ablation: Ablation | None = None

    def identity(self) -> dict[str, Any]:
        """What decides a run's result: no title, no folder, no number of workers."""
        told = self.model_dump(mode="json", exclude={"title", "claim", "paper", "ablation"})
        for key in ("root", "workers"):
            told["data"].pop(key)
        told["train"].pop("save_every")
        return told

    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:12]


# --- reading: a value, and the file and line of each of its keys ------------------------------------------------------

Path_ = tuple[Any, ...]
Lines = dict[Path_, str]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _read_yaml(text: str, name: str) -> tuple[Any, Lines]:
    lines: Lines = {}
    try:
        loader = _Loader(text)
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.AliasEvent):
                where = f"{name}:{event.start_mark.line + 1}"
                raise RecipeError(
                    [Problem(where, f"aliases (*{event.anchor}) are not read", "write the values out, or use base:")]
                )
        node = loader.get_single_node()
        value = _construct(loader, node, (), name, lines) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(
            [Problem(where, f"not valid YAML: {problem}", "check indentation, quotes and colons")]
        ) from None
    return value, lines


def _construct(loader: _Loader, node: yaml.Node, path: Path_, name: str, lines: Lines) -> Any:
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
    return loader.construct_object(node)


def _read_file(path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"no such recipe: {path}", _nearest_file(path)) from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder, not a recipe", "name a .yaml file in it") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file", "a recipe is YAML in UTF-8") from None
    value, lines = _read_yaml(text, str(path))
    if value is None:
        raise ValueError(f"{path} is empty", "start from recipes/quickstart.yaml")
    if not isinstance(value, dict):
        raise ValueError(
            f"{path} holds {type(value).__name__}, not keys and values", "start from recipes/quickstart.yaml"
        )
    return value, lines


def _nearest_file(path: Path) -> str:
    near = difflib.get_close_matches(
        path.name, [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    )
    return f"did you mean {path.parent / near[0]}?" if near else "`vidops list recipes` shows those at hand"


def _with_base(path: Path) -> tuple[dict[str, Any], Lines]:
    value, lines = _read_file(path)
    base = value.pop("base", None)
    if base is None:
        return value, lines
    if not isinstance(base, str):
        raise RecipeError([Problem(lines[("base",)], f"base names one file, got {base!r}", "base: ../base/NAME.yaml")])
    below, below_lines = _read_file(path.parent / base)
    if "base" in below:
        raise RecipeError([Problem(below_lines[("base",)], "a base has no base of its own", "write its keys out")])
    return _merge(below, value), {**below_lines, **lines}


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key; all else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


# --- overrides --------------------------------------------------------------------------------------------------------


def _override(value: dict[str, Any], lines: Lines, key: str, new: Any, where: str) -> None:
    """Set a dotted key, making mappings on the way; the new value's problems are reported at `where`."""
    parts: list[Any] = [int(part) if part.isdigit() else part for part in key.split(".")]
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
            node[part] = {}
        if last:
            node[part] = new
        else:
            node = node[part]
    prefix = tuple(parts)
    for old in [path for path in lines if path[: len(prefix)] == prefix]:
        del lines[old]
    lines[prefix] = where


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][\w]*(\.[\w]+)*", key):
        raise ValueError(f"not an override: {text!r}", "write key=value, as in train.epochs=2")
    return key, _read_yaml(value, text)[0]


# --- checking ---------------------------------------------------------------------------------------------------------


def _check(value: dict[str, Any], lines: Lines, known: Known) -> tuple[Recipe | None, list[Problem]]:
    try:
        recipe = Recipe.model_validate(value)
    except ValidationError as error:
        return None, [_explain(item, lines) for item in error.errors()]
    problems = _check_names(recipe, lines, known)
    return (recipe if not problems else None), problems


def _where(path: Path_, lines: Lines) -> str:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, "recipe")


def _explain(item: dict[str, Any], lines: Lines) -> Problem:
    path = tuple(part for part in item["loc"] if (part not in ("str", "list[str]") or len(item["loc"]) == 1))
    dotted = ".".join(map(str, path))
    if item["type"] == "extra_forbidden":
        keys = _keys_at(path[:-1])
        return Problem(_where(path, lines), f"unknown key {dotted!r}", _nearest(str(path[-1]), keys, "keys here"))
    if item["type"] == "missing":
        return Problem(
            _where(path[:-1], lines),
            f"{dotted!r} is missing",
            f"add {path[-1]}: under {'.'.join(map(str, path[:-1])) or 'the top'}",
        )
    message = item["msg"].replace("Input should be ", "expected ")
    return Problem(
        _where(path, lines), f"{dotted}: {message}, got {item['input']!r}", "`vidops show recipe` lists keys and types"
    )


def _keys_at(path: Path_) -> list[str]:
    schema: Any = Recipe
    for part in path:
        if isinstance(part, int):
            continue
        annotation = schema.model_fields[part].annotation
        schema = next((t for t in models_in(annotation)), None)
        if schema is None:
            return []
    return list(schema.model_fields)


def models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def _nearest(word: str, known: list[str] | Mapping[str, Any], what: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(known)}"


def _check_names(recipe: Recipe, lines: Lines, known: Known) -> list[Problem]:
    problems = []
    for path, name, names, what in (
        (("data", "name"), recipe.data.name, known.datasets, "data sets"),
        (("model", "name"), recipe.model.name, known.models, "networks"),
    ):
        if name not in names:
            problems.append(Problem(_where(path, lines), f"unknown {path[0]} {name!r}", _nearest(name, names, what)))
    for i, placed in enumerate(recipe.model.ops):
        path: Path_ = ("model", "ops", i)
        card = known.ops.get(placed.op)
        if card is None:
            hint = _nearest(placed.op, known.ops, "operators")
            problems.append(Problem(_where((*path, "op"), lines), f"unknown operator {placed.op!r}", hint))
            continue
        for option, value in placed.options.items():
            where = _where((*path, "options", option), lines)
            if option not in card.options:
                hint = _nearest(option, card.options, f"options of {placed.op}")
                problems.append(Problem(where, f"{placed.op} has no option {option!r}", hint))
            elif reason := card.options[option].problem(value):
                problems.append(Problem(where, f"{placed.op}.{option}: {reason}", card.options[option].help))
        model = known.models.get(recipe.model.name)
        if model is not None:
            try:
                model.select(placed.slot or card.slot, placed.at)
            except ValueError as error:
                problems.append(Problem(_where((*path, "at"), lines), f"{placed.op}: {error.args[0]}", error.args[1]))
        if recipe.data.num_frames < card.min_frames:
            problems.append(
                Problem(
                    _where(("data", "num_frames"), lines),
                    f"{placed.op} needs at least {card.min_frames} frames",
                    "raise data.num_frames",
                )
            )
    return problems


# --- the two entry points ---------------------------------------------------------------------------------------------


def load(path: Path, known: Known, overrides: list[str] | None = None) -> Recipe:
    """Read, merge, override and check a recipe, and every row of its ablation. Raises RecipeError with all problems."""
    value, lines = _with_base(path)
    for text in overrides or []:
        key, new = _parse_override(text)
        _override(value, lines, key, new, text)
    recipe, problems = _check(value, lines, known)
    if recipe is not None and recipe.ablation is not None:
        problems += _check_rows(value, lines, recipe, known)
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    assert recipe is not None
    return recipe


def _check_rows(value: dict[str, Any], lines: Lines, recipe: Recipe, known: Known) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for i, row in enumerate(recipe.ablation.rows):
        where = _where(("ablation", "rows", i), lines)
        try:
            resolved = _row(value, lines, i, row, known)
        except RecipeError as error:
            problems += error.problems
            continue
        if row.name in seen.values():
            problems.append(Problem(where, f"two rows are named {row.name!r}", "give each row a name of its own"))
        elif resolved.hash() in seen:
            problems.append(
                Problem(where, f"{row.name!r} is the same as {seen[resolved.hash()]!r}", "a row must change something")
            )
        seen[resolved.hash()] = row.name
    for i, seed in enumerate(recipe.ablation.seeds):
        if seed in recipe.ablation.seeds[:i]:
            problems.append(
                Problem(_where(("ablation", "seeds", i), lines), f"seed {seed} stands twice", "keep one of them")
            )
    return problems


def _row(value: dict[str, Any], lines: Lines, index: int, row: Row, known: Known) -> Recipe:
    value, lines = copy.deepcopy(value), dict(lines)
    value.pop("ablation")
    for key, new in row.set.items():
        where = _where(("ablation", "rows", index, "set", key), lines)
        below = {
            path[5:]: line
            for path, line in lines.items()
            if path[:5] == ("ablation", "rows", index, "set", key) and path[5:]
        }
        _override(value, lines, key, copy.deepcopy(new), where)
        prefix = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        lines.update({prefix + path: line for path, line in below.items()})
    recipe, problems = _check(value, lines, known)
    if recipe is None:
        raise RecipeError(problems)
    return recipe


def resolve(recipe: Recipe, row: Row, seed: int, known: Known) -> Recipe:
    """The recipe of one cell: a row's settings and a seed applied, without the ablation."""
    value = recipe.model_dump(mode="python")
    settings = Row(name=row.name, set={**row.set, "train.seed": seed})
    return _row(value, {}, 0, settings, known)


def dump(recipe: Recipe) -> str:
    """The recipe as YAML that `load` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
