"""A recipe's values against the schema, and its names against what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .clips import clip_problems, view_problems
from .problems import LIKE, Problem
from .reading import Lines, Place
from .schema import Data, Eval, Model, Placed, Recipe, Train, named
from .training import training_problems

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Known:
    """The names a recipe may use. Cards have `options`, of which each has `problem(value)`.

    The lookup of an operator that is not of the zoo imports it, and may raise a ValueError with a hint.
    """

    ops: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, Any] = field(default_factory=dict)


def check(value: dict[str, Any], lines: Lines, known: Known) -> tuple[Recipe | None, list[Problem]]:
    """The recipe, or all that is wrong with it: types and names alike."""
    problems: list[Problem] = []
    recipe = None
    try:
        recipe = Recipe.model_validate(value)
        recipe = recipe.model_copy(update={"model": _placed_by_name(recipe.model)})
    except ValidationError as error:
        problems += explain(error, lines)
    problems += _names(value, lines, known)
    return (None if problems else recipe), problems


def check_model(model: dict[str, Any], known: Known) -> tuple[Model | None, list[Problem]]:
    """A `model:` block alone, or all that is wrong with it."""
    lines: Lines = {(): "model"}
    problems: list[Problem] = []
    told = None
    try:
        told = _placed_by_name(Model.model_validate(model))
    except ValidationError as error:
        problems += explain(error, lines, Model)
    problems += _names({"model": model}, lines, known)
    return (None if problems else told), problems


def _placed_by_name(model: Model) -> Model:
    """With places of the network in place of the names that `places` gives them."""
    ops = [placed.model_copy(update={"at": named(placed.at, model.places)}) for placed in model.ops]
    return model.model_copy(update={"ops": ops})


def where(path: Place, lines: Lines) -> str:
    """File and line of a key: its own, that of something below it, or that of what holds it."""
    while path:
        if path in lines:
            return lines[path]
        below = next((line for other, line in lines.items() if other[: len(path)] == path), None)
        if below:
            return below
        path = path[:-1]
    return lines.get((), "recipe")


# --- types ------------------------------------------------------------------------------------------------------------

_UNION_TAGS = (
    "str",
    "list[str]",
    "constrained-str",
    "constrained-int",
    "list[constrained-int]",
    "dict[constrained-str,constrained-str]",
)  # pydantic names the member of a union as if it were a key


def explain(error: ValidationError, lines: Lines, schema: type[BaseModel] = Recipe) -> Iterator[Problem]:
    """What pydantic found, each place once, in the words of the file."""
    grouped: dict[Place, list[Any]] = {}
    for item in error.errors():
        path = tuple(part for part in item["loc"] if part not in _UNION_TAGS)
        grouped.setdefault(path, []).append(item)
    for path, items in grouped.items():
        yield _explain(path, items, lines, schema)


def _explain(path: Place, items: list[Any], lines: Lines, schema: type[BaseModel]) -> Problem:
    dotted, above = ".".join(map(str, path)), ".".join(map(str, path[:-1]))
    kind = items[0]["type"]
    if kind == "extra_forbidden":
        hint = nearest(str(path[-1]), _keys_at(path[:-1], schema), "keys here")
        return Problem(where(path, lines), f"unknown key {dotted!r}", hint)
    if kind == "missing":
        return Problem(where(path[:-1], lines), f"{dotted!r} is missing", f"add {path[-1]}: under {above or 'the top'}")
    wanted = " or ".join(dict.fromkeys(item["msg"].replace("Input should be ", "") for item in items))
    line = where(path, lines)
    key = "" if line.startswith(f"{dotted}=") else f"{dotted}: "  # an override tells it itself
    got = f"{key}expected {wanted}, got {items[0]['input']!r}"
    hint = (
        "`vidops show recipe` lists keys and types" if schema in (Recipe, Model) else "see recipes/profile/layers.yaml"
    )
    return Problem(line, got, hint)


def _keys_at(path: Place, schema: Any) -> list[str]:
    for part in path:
        if isinstance(part, int):
            continue
        told = schema.model_fields.get(part)
        schema = next(iter(models_in(told.annotation)), None) if told else schema  # else a key of a mapping of them
        if schema is None:
            return []
    return list(schema.model_fields)


def models_in(annotation: Any) -> list[Any]:
    """The sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def nearest(word: str, known: list[str] | Mapping[str, Any], what: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=LIKE)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(known)}"


# --- names ------------------------------------------------------------------------------------------------------------


def section(schema: type[S], value: Any) -> S | None:
    """A part of the recipe if it is sound in itself, so that its names are checked whatever else is wrong."""
    try:
        return schema.model_validate(value)
    except ValidationError:
        return None


def _names(value: dict[str, Any], lines: Lines, known: Known) -> Iterator[Problem]:
    told = value.get("model")
    data, model = section(Data, value.get("data")), section(Model, told)
    if data and data.name not in known.datasets:
        hint = nearest(data.name, known.datasets, "data sets")
        yield Problem(where(("data", "name"), lines), f"unknown data {data.name!r}", hint)
    train = section(Train, value.get("train"))
    network = known.models.get(model.name) if model else None
    dataset = known.datasets.get(data.name) if data else None
    joints = network is not None and "coords" in network.inputs
    if data:
        episodes = value.get("episodes") is not None
        for place, message, hint in clip_problems(data, train, dataset, episodes=episodes, joints=joints):
            yield Problem(where(place, lines), message, hint)
    for place, message, hint in training_problems(train, episodes=value.get("episodes") is not None) if train else ():
        yield Problem(where(place, lines), message, hint)
    tested = section(Eval, value.get("eval", {}))
    if data and tested:
        for place, message, hint in view_problems(tested, data, episodes=value.get("episodes") is not None):
            yield Problem(where(place, lines), message, hint)
    if data and data.splits and data.name in known.datasets:
        try:
            known.datasets[data.name].division(data.splits)
        except ValueError as error:
            yield Problem(where(("data", "splits"), lines), *error.args)
    if data and data.corruption:
        yield from _corruption(data, lines)
    if data and data.generated and data.name in known.datasets:
        yield from _generated(data, known.datasets[data.name], lines)
    if model and model.name not in known.models:
        hint = nearest(model.name, known.models, "networks")
        yield Problem(where(("model", "name"), lines), f"unknown model {model.name!r}", hint)
    if network is not None and joints and dataset is not None and not dataset.joints:
        able = ", ".join(name for name, other in known.datasets.items() if other.joints)
        told = f"{network.name} sees joints, of which {dataset.name} has none"
        yield Problem(where(("model", "name"), lines), told, f"data sets with joints: {able}")
    if network is not None and model is not None and model.skeleton is not None:
        try:
            network.drawing(model.skeleton)
        except ValueError as error:
            yield Problem(where(("model", "skeleton"), lines), *error.args)
    if network is not None and model is not None and model.inflate and not network.inflates:
        able = ", ".join(name for name, other in known.models.items() if other.inflates)
        yield Problem(where(("model", "inflate"), lines), f"{model.name} has no inflated form", f"networks: {able}")
    if network is not None and model is not None and value.get("episodes") is not None and not network.episodes:
        able = ", ".join(name for name, other in known.models.items() if other.episodes)
        yield Problem(where(("model", "name"), lines), f"{model.name} takes no episodes", f"networks: {able}")
    listed = told.get("ops") if isinstance(told, dict) else None
    taken: dict[tuple[str, str], str] = {}
    for i, item in enumerate(listed if isinstance(listed, list) else []):
        placed = section(Placed, item)
        if placed:
            placed = placed.model_copy(update={"at": named(placed.at, model.places if model else {})})
            yield from _placed(placed, ("model", "ops", i), network, data, lines, known, taken)


MOST = {"noise": 255, "blur": 64, "occlusion": 1}  # of data.corruption.amount


def _corruption(data: Data, lines: Lines) -> Iterator[Problem]:
    told = data.corruption
    assert told is not None
    if told.amount > MOST[told.name]:
        what = f"data.corruption.amount: {told.name} goes up to {MOST[told.name]}, got {told.amount}"
        yield Problem(where(("data", "corruption", "amount"), lines), what, "grey levels, pixels, or share of the side")
    if told.frames and told.frames > data.num_frames:
        what = f"data.corruption.frames is {told.frames}, a clip has {data.num_frames} frames"
        yield Problem(where(("data", "corruption", "frames"), lines), what, "lower it, or leave it out: all frames")


def _generated(data: Data, dataset: Any, lines: Lines) -> Iterator[Problem]:
    assert data.generated is not None
    if not dataset.generated:
        line = where(("data", "generated"), lines)
        yield Problem(line, f"{data.name} is not a generated benchmark", "leave data.generated out")
        return
    try:
        dataset.check_dials(data.generated.dials)
    except ValueError as error:
        line = where(("data", "generated", "dials"), lines)
        yield Problem(line, f"data.generated.dials: {error.args[0]}", error.args[1])


def _placed(
    placed: Placed,
    path: Place,
    network: Any,
    data: Data | None,
    lines: Lines,
    known: Known,
    taken: dict[tuple[str, str], str],
) -> Iterator[Problem]:
    card = find_card(placed.op, path, lines, known)
    if isinstance(card, Problem):
        yield card
        return
    yield from option_problems(placed.op, card, placed.options, path, lines, given=GIVEN)
    if not (placed.slot or card.slot):
        told = f"{placed.op} does not say where in a network it stands"
        slots = f" one of {', '.join(network.slots)}" if network is not None else ""
        yield Problem(where(path, lines), told, f"add slot:{slots}, or `slot` as an attribute of its class")
        return
    stride = placed.options.get("stride", 1)
    if "stride" in card.options and stride != 1 and card.options["stride"].problem(stride) is None:
        line = where((*path, "options", "stride"), lines)
        told = f"{placed.op}.stride: a slot keeps the size of the map, got {stride}"
        yield Problem(line, told, "leave stride out")
    if network is not None:
        try:
            slot = placed.slot or card.slot
            for place in network.select_for(card, placed.slot, placed.at):
                network.take(taken, slot, place, placed.op)
        except ValueError as error:
            key = "slot" if "slot" in error.args[0].split(" for ")[0] and placed.slot else "at"
            yield Problem(where((*path, key), lines), f"{placed.op}: {error.args[0]}", error.args[1])
    if data and data.num_frames < card.min_frames:
        message = f"{placed.op} needs at least {card.min_frames} frames, data.num_frames is {data.num_frames}"
        yield Problem(where(("data", "num_frames"), lines), message, "raise data.num_frames")
    if data and card.max_frames and data.num_frames > card.max_frames:
        message = f"{placed.op} takes {card.max_frames} frames at most, data.num_frames is {data.num_frames}"
        yield Problem(where(("data", "num_frames"), lines), message, "lower data.num_frames")


GIVEN = ("out_channels", "classes")  # arguments that a network gives


def find_card(op: str, path: Place, lines: Lines, known: Known) -> Any:
    """The card of the operator that is named below `path`; where there is none the Problem."""
    try:
        card = known.ops.get(op)
    except ValueError as error:
        return Problem(where((*path, "op"), lines), *error.args)
    if card is None:
        return Problem(where((*path, "op"), lines), f"unknown operator {op!r}", nearest(op, known.ops, "operators"))
    return card


def option_problems(
    op: str, card: Any, options: Mapping[str, Any], path: Place, lines: Lines, *, given: Sequence[str] = ()
) -> Iterator[Problem]:
    """What an operator's card says against options that stand below `path`; those that are `given` are not missed."""
    for option in getattr(card, "required", ()):
        if option not in (*options, *given):
            yield Problem(where(path, lines), f"{op} needs the option {option!r}", f"options: {{{option}: VALUE}}")
    for option, value in options.items():
        line = where((*path, "options", option), lines)
        if option not in card.options:
            hint = nearest(option, card.options, f"options of {op}") if card.options else "it has no options"
            yield Problem(line, f"{op} has no option {option!r}", hint)
        elif reason := card.options[option].problem(value):
            yield Problem(line, f"{op}.{option}: {reason}", card.options[option].help)
