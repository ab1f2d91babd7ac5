"""vidops show"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidops_cli.report.table import Table, number

from .common import check_format, console, find_op, print_json, print_table

if TYPE_CHECKING:
    from vidops_cli.ops import Card

Shown = tuple[dict[str, str], Table | None, str]  # what is told, a table below it, what it costs


def command(
    name: Annotated[
        str,
        typer.Argument(
            help="An operator, a network, a data set, or `recipe` for the keys of recipes.", show_default=False
        ),
    ],
    format: Annotated[str, typer.Option(help="table, json, or bibtex: an operator's paper.")] = "table",
) -> None:
    """Show a card: an operator's paper, equation, options and cost; a network's places; a recipe's keys.

    Example: vidops show motion_squeeze
    """
    from vidops_cli.data import DATASETS
    from vidops_cli.models import MODELS
    from vidops_cli.own import Operators, is_own
    from vidops_cli.recipe import nearest

    check_format(format, ("table", "json", "bibtex"))
    ops = Operators()
    if name == "recipe":
        found = _recipe()
    elif format == "bibtex" and (is_own(name) or name in ops):
        typer.echo(_bibtex(find_op(name)), nl=False)
        return
    elif is_own(name) or name in ops:
        found = _op(find_op(name))
    elif name in MODELS:
        found = _model(name)
    elif name in DATASETS:
        found = _dataset(name)
    else:
        names = ["recipe", *ops, *MODELS, *DATASETS]
        raise ValueError(f"nothing is called {name!r}", nearest(name, names, "known"))
    told, table, cost = found
    if format == "bibtex":
        raise ValueError(f"{name} is no operator, of whose paper BibTeX is made", "`vidops list ops` names them")
    if format == "json":
        rows = {table.title: [dict(zip(table.head, row, strict=True)) for row in table.body]} if table else {}
        print_json({**told, **rows, **({"cost": cost} if cost else {})})
        return
    if told:
        _lines(told)
    if table:
        print_table(table)
    if cost:
        console().print(cost)


def _bibtex(card: Card) -> str:
    """The paper of an operator; authors are those of CITATION.cff."""
    import yaml

    from vidops_cli.report.bibtex import bibtex

    if card.arxiv == "-":
        raise ValueError(f"{card.name} is of no paper", "`vidops show` tells what it is")
    package = Path(__file__).parents[1]
    places = [folder / "CITATION.cff" for folder in (package, package.parent)]  # inside, or beside it in a checkout
    text = next((place.read_text(encoding="utf-8") for place in places if place.is_file()), "{}")
    papers = {entry["url"].rpartition("/")[2]: entry for entry in yaml.safe_load(text).get("references", ())}
    told = {"title": card.paper, "venue": card.venue, "arxiv": card.arxiv}
    return bibtex(f"{card.name}{card.venue.rpartition(' ')[2]}", **told, cited=papers.get(card.arxiv))


def _dataset(name: str) -> Shown:
    from vidops_cli.data import DATASETS

    card = DATASETS[name]
    told = {"data set": card.title, "how": card.how}
    if card.page:
        sizes = ", ".join(f"{split} {size:,}" for split, size in card.sizes.items())
        told |= {"classes": str(card.classes), "clips": sizes or "not known", "page": card.page}
        told |= {"divided": f"{', '.join(card.divisions)}: data.splits.train"} if card.divisions else {}
        if not card.mirrors:
            told["mirrored"] = "labels may change: data.flip needs data.flip_keep or data.flip_swap"
    if card.generated:
        from dataclasses import fields

        dials = fields(card.load().Dials)
        told |= {"needs": card.needs, "cannot help": "\n".join(card.cannot_help.values()), "floors": card.floors}
        told["dials"] = ", ".join(f"{dial.name}={dial.default}" for dial in dials)
        told["asked by"] = ", ".join(f"recipes/claims/{table}.yaml" for table in card.tables)
    measured = list(_measured(card.tables))
    notes = ["at the dials and schedule of each: vidops ablate results/claims/TABLE.jsonl"]
    return told, Table("measured", ["table", "row", "score (%)"], measured, notes) if measured else None, ""


def _measured(tables: Iterable[str]) -> Iterator[list[str]]:
    """Table, row and score of what is published of these tables, where results/ is."""
    from vidops_cli.report.ablation import ablation_table

    from .tables import read_published

    for name in tables:
        path = Path("results/claims") / f"{name}.jsonl"
        if path.is_file():
            told, rows = read_published(path)
            yield from ([name, *words[:2]] for words in ablation_table(told, rows).body)


def _lines(told: dict[str, str]) -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 2))
    for key, value in told.items():
        grid.add_row(Text(key), Text(value))
    console().print(grid)


def _op(card: Card) -> Shown:
    from vidops_cli.verify import count_by_op

    cases, required = count_by_op()[card.name], getattr(card, "required", ())
    C, T, H, W = card.layer
    told = {
        "operator": f"{card.title} ({card.name})",
        "paper": card.paper + (f", {card.venue}, arXiv {card.arxiv}" if card.arxiv != "-" else ""),
        "equation": card.equation,
        "slot": card.slot or "as a recipe says",
        "status": card.status,
        "deviations": card.deviations,
        "verified": f"{cases} case{'s' if cases > 1 else ''} of the released code: `vidops verify --op {card.name}`"
        if cases
        else "none",
        "input": ", ".join(f"{told.name} ({told.shape.replace(' ', ', ')})" for told in card.inputs)
        + f", T {'=' if card.max_frames == 1 else '>='} {card.min_frames}",
    }
    body = [
        [
            key,
            "required" if key in required else _yaml(option.default),
            option.help + (f" ({', '.join(option.choices)})" if option.choices else ""),
        ]
        for key, option in card.options.items()
    ]
    table = Table("options", ["name", "default", "meaning"], body, numeric=False) if body else None
    if required:  # it cannot be built without being told more
        return told, table, ""
    from vidops_cli.profiling.profile import counts

    cost = counts(card)
    words = (
        f"cost at {C} channels, {T}x{H}x{W}: {number(cost['params'])} parameters, {number(cost['macs'])} MACs, "
        f"{number(cost['other_flops'])} other FLOPs, {number(cost['flops'])} FLOPs"
        + (f"; not counted: {', '.join(cost['uncounted'])}" if cost["uncounted"] else "")
    )
    return told, table, words


def _yaml(value: object) -> str:
    """As a recipe writes it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _model(name: str) -> Shown:
    from vidops_cli.models import CHECKPOINTS, MODELS, SLOTS

    model = MODELS[name]
    sources = [source for source, networks in CHECKPOINTS.items() if name in networks]
    tried = "tried on values made by rule under the released names and shapes"
    tried += "; no checkpoint was released" if name.startswith("sifa") else ", not on a trained checkpoint"
    takes = f"{', '.join(model.inputs)}; {model.joints} joints a person ({model.skeleton}), others by model.skeleton"
    told = {
        "network": model.title,
        "paper": model.paper,
        **{f"slot {slot}": f"{SLOTS[slot]}: {', '.join(places)}" for slot, places in model.slots.items()},
        **({"stride": f"in conv2 of {', '.join(model.strided)}"} if model.strided else {}),
        **({"inflate": "yes: model.inflate"} if model.inflates else {}),
        **({"checkpoints": f"`vidops import` {', '.join(sources)}; {tried}"} if sources else {}),
        **({"takes": takes} if model.skeleton else {}),
    }
    return told, None, ""


def _recipe() -> Shown:
    from vidops_cli.recipe import keys

    body = [list(told) for told in keys()]
    return {}, Table("keys of a recipe", ["key", "type", "default", "meaning"], body, numeric=False), ""
