"""JSON Schema of recipes and suites, from their models and cards: what editors complete and check YAML by.

It says what a file may hold, whether it is a whole recipe, a base, or stands on one: keys of sections into which a base
is merged are never required. What only a whole recipe tells, as places of its network, `vidops validate` checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .checking import Known, models_in
from .rows import CHANGED
from .schema import Recipe
from .suite import PUBLISHED, Suite

Schema = dict[str, Any]
FOREIGN = {"type": "string", "pattern": r"^[\w.]+:\w+$", "description": "package.module:Class of your own"}
KINDS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def json_schema(known: Known) -> Schema:
    """Draft 2020-12, of a file with `layers:` as a suite, of any other as a recipe. Imports no torch."""
    _, whole = models_json_schema([(Recipe, "validation"), (Suite, "validation")])
    defs: Schema = whole["$defs"]
    for name, told in defs.items():
        told.pop("title", None)
        for each in told["properties"].values():
            each.pop("title", None)
        if name in {model.__name__ for model in _merged(Recipe)}:
            told.pop("required", None)
    recipe = defs["Recipe"]["properties"]
    base = {"type": "string", "description": "another recipe, which this one changes; a path from here, or recipes/..."}
    defs["Recipe"]["properties"] = {"base": base, **recipe}
    defs["Data"]["properties"]["name"]["enum"] = [*known.datasets]
    defs["Model"]["properties"]["name"]["enum"] = [*known.models]
    slots = dict.fromkeys(slot for model in known.models.values() for slot in model.slots)
    defs["Placed"]["properties"]["slot"] |= {"enum": [*slots, None]}
    _name_ops(defs, known)
    keys = {part: dict(_dotted(recipe[part], defs, "")) for part in CHANGED}
    small = {part: _keyed(keys[part]) for part in CHANGED}
    recipe["mini"]["anyOf"][0] = {"type": "object", "properties": small, "additionalProperties": False}
    of_rows = {f"{part}.{key}": told for part, found in keys.items() for key, told in found.items()}
    of_rows = {**{part: recipe[part] for part in CHANGED}, **of_rows}
    of_rows.pop("train.seed")
    defs["Row"]["properties"]["set"] |= _keyed(of_rows)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vidops recipe or suite",
        "type": "object",
        "if": {"required": ["layers"]},
        "then": {"$ref": "#/$defs/Suite"},
        "else": {"$ref": "#/$defs/Recipe"},
        "$defs": defs,
    }


def _merged(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The sections of a recipe that are merged key by key: all but entries of lists and values of mappings."""
    yield model
    for told in model.model_fields.values():
        for inner in models_in(told.annotation):
            if inner.__name__ not in ENTRIES:
                yield from _merged(inner)


ENTRIES = {"Row", "Quoted", "Claim", "PaperValue", "Source", "Placed", "Group"}


def _name_ops(defs: Schema, known: Known) -> None:
    """Names of operators, and under each name its options."""
    named: Schema = {"anyOf": [{"enum": [*known.ops]}, FOREIGN]}
    options = {name: _options(card) for name, card in known.ops.items()}
    for section in ("Placed", "Layer"):
        told = defs[section]
        told["properties"]["op"] |= named
        told["allOf"] = [
            {"if": {"properties": {"op": {"const": name}}}, "then": {"properties": {"options": found}}}
            for name, found in options.items()
        ]
    baselines = {"enum": [PUBLISHED, *known.ops, None]}
    for section in ("Layer", "Suite"):
        defs[section]["properties"]["baseline"] |= baselines


def _options(card: Any) -> Schema:
    found = {name: _option(option) for name, option in card.options.items()}
    return {"type": "object", "properties": found, "additionalProperties": False}


def _option(option: Any) -> Schema:
    kind = option.type.rstrip("?")
    number: Schema = {"type": KINDS.get(kind, "integer")}
    number |= {} if option.least is None else {"minimum": option.least}
    number |= {} if option.above is None else {"exclusiveMinimum": option.above}
    number |= {"not": {"multipleOf": 2}} if option.odd else {}
    number |= {"enum": [*option.choices]} if option.choices else {}
    size = {"minItems": option.length, "maxItems": option.length} if option.length else {"minItems": 1}
    told = {"type": "array", "items": number, **size} if kind == "ints" else number
    if option.type.endswith("?"):
        told = {"anyOf": [told, {"type": "null"}]}
    return {**told, "default": option.default, "description": option.help}


def _dotted(told: Schema, defs: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    """Dotted keys of a section and below it; N stands for an entry of a list, * for any word."""
    inner = _section(told)
    if inner is not None:
        for key, below in defs[inner]["properties"].items():
            yield prefix + key, below
            yield from _dotted(below, defs, f"{prefix}{key}.")
    for part in (told, *told.get("anyOf", ())):
        if "items" in part:
            yield f"{prefix}N", part["items"]
            yield from _dotted(part["items"], defs, f"{prefix}N.")
        elif part.get("type") == "object":
            values = part.get("additionalProperties", True)
            yield f"{prefix}*", values if isinstance(values, dict) else {}


def _section(told: Schema) -> str | None:
    """The name of the section that a key holds."""
    for part in (told, *told.get("anyOf", ()), *told.get("allOf", ())):
        if "$ref" in part:
            return part["$ref"].rpartition("/")[2]
    return None


def _keyed(keys: dict[str, Schema]) -> Schema:
    """An object that has those keys and no others."""
    exact = {key: told for key, told in keys.items() if not {"N", "*"} & set(key.split("."))}
    others = {key: told for key, told in keys.items() if key not in exact}
    patterns = {f"^{_pattern(key)}$": told for key, told in others.items()}
    return {"type": "object", "properties": exact, "patternProperties": patterns, "additionalProperties": False}


def _pattern(key: str) -> str:
    parts = {"N": "[0-9]+", "*": r"\w+(\.\w+)*"}
    return r"\.".join(parts.get(part, part) for part in key.split("."))
