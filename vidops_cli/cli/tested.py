"""What `vidops eval` tested: weights of another network refused with the row that they are of; notes; what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .common import known, load_recipe


@contextmanager
def rows_named(what: Path, overrides: list[str] | None) -> Iterator[None]:
    """Weights of another network than the recipe's: the error's hint names the rows of the recipe."""
    from vidops_cli.engine.made_of import OtherNetwork

    try:
        yield
    except OtherNetwork as error:
        told, hint = error.args
        if named := None if what.is_dir() else _rows_of(what, overrides, error.made_of):
            hint = f"{named}; or {hint}"
        if error.near:
            hint += "; --other-network tests what fits of it"
        raise ValueError(told, hint) from None


def _rows_of(path: Path, overrides: list[str] | None, made_of: dict[str, Any]) -> str:
    """Which rows of a table are of this network, or, where that is not told or none is, all that are trained."""
    from vidops_cli.engine.made_of import differences, of_recipe
    from vidops_cli.recipe import resolve

    try:
        told = load_recipe(path, overrides)
    except ValueError:  # in its rows; the recipe itself is sound
        return ""
    trained = [row for row in told.ablation.rows if row.kind == "train"] if told.ablation else []
    if made_of:
        recipes = {row.name: resolve(told, row, told.train.seed, known()) for row in trained}
        if like := [name for name, one in recipes.items() if not differences(made_of, of_recipe(one))]:
            return " or ".join(f"--row {name!r}" for name in like)
    return f"a row of it: --row NAME, of {', '.join(repr(row.name) for row in trained)}" if trained else ""


def is_training(path: Path) -> bool:
    """Whether it is the summary of a training."""
    try:
        return json.loads(path.read_text()).get("kind") == "train"
    except (OSError, ValueError, AttributeError):
        return False


def weights_told(found: dict[str, Any], epochs: int) -> list[str]:
    """Lines on a checkpoint: which it is, and of a run that has not ended, how far it is. `epochs` of the recipe."""
    path = Path(found["path"])
    lines = [f"checkpoint {path}, sha256 {found['sha256']}" + (f", step {found['step']}" if "step" in found else "")]
    epoch, epochs = found.get("epoch"), found.get("epochs") or epochs
    if epoch is not None and epoch < epochs and not is_training(path.with_name("summary.json")):
        unfinished = ": its training is unfinished" if path.with_name("recipe.yaml").is_file() else ""
        lines.append(f"epoch {epoch} of {epochs}{unfinished}")
    return lines


def write(folder: Path, told: Any, found: dict[str, Any], made: dict[str, Any], words: dict[str, Any]) -> None:
    """A summary as `vidops train` writes it, and beside it the recipe as it was resolved. `words`: what was asked for.

    ValueError if they cannot be written.
    """
    from vidops_cli.recipe import dump
    from vidops_cli.record import SCHEMA, command_line, environment, write_json, write_text

    from .train import cost

    head = {"schema": SCHEMA, "kind": "eval", "recipe": told.hash(), "seed": told.train.seed, "command": command_line()}
    found["cost"] = cost(told, found["classes"], found["clip"])
    write_text(folder / "recipe.yaml", dump(told))
    write_json(
        folder / "summary.json", {**head, **words, **found, "env": environment(found["device"], made["code"]) | made}
    )
