"""vidops data"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import data_prepare, data_preview, data_verify
from .common import Form, Overrides, check_format, load_recipe, recipe_files, tell
from .live import Counter, stoppable

if TYPE_CHECKING:
    from vidops_cli.recipe import Recipe

app = typer.Typer(help="Make, check, prepare and look at data sets.", no_args_is_help=True)
app.command("verify")(data_verify.command)
app.command("prepare")(data_prepare.command)
app.command("preview")(data_preview.command)


@app.callback()
def _group() -> None:
    pass


@app.command()
def generate(
    name: Annotated[
        str,
        typer.Argument(
            help="A generated benchmark, or a recipe (or folder of them) whose data.generated describes one.",
            show_default=False,
        ),
    ],
    overrides: Overrides = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder to write into. Default: see `vidops list datasets`.", show_default=False),
    ] = None,
    train: Annotated[int, typer.Option(min=1, help="Clips of the train split.")] = 6144,
    val: Annotated[int, typer.Option(min=1, help="Clips of the val split.")] = 512,
    test: Annotated[int, typer.Option(min=1, help="Clips of the test split.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the benchmark.")] = 0,
    dial: Annotated[
        list[str] | None, typer.Option(help="Difficulty, as in speed=4; repeat it.", metavar="NAME=VALUE")
    ] = None,
    mini: Annotated[bool, typer.Option("--mini", help="Of a recipe: what `vidops ablate --mini` takes.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Of a recipe: what `vidops ablate --smoke` takes.")] = False,
    format: Form = "table",
) -> None:
    """Generate a benchmark as real video or image files, with hashes. What is there and whole is kept.

    Example: vidops data generate mini_motion --dial speed=3 --dial noise=0.2 --root datasets/easier
    """
    from vidops_cli.data import DATASETS
    from vidops_cli.data.mini import benchmark
    from vidops_cli.recipe.reading import find

    check_format(format)
    path = Path(name)
    if find(path).is_dir() or path.suffix in (".yaml", ".yml"):
        if root is not None or dial:
            raise ValueError("--root and --dial are of a benchmark", "a recipe has its own: data.root, data.generated")
        _of_recipes(path, overrides, "smoke" if smoke else "mini" if mini else "full", format)
        return
    if mini or smoke:
        raise ValueError(f"--mini and --smoke are of a recipe, {name} is none", "leave them out")
    if overrides:
        raise ValueError(f"{overrides[0]} changes a recipe, {name} is none", "dials: --dial NAME=VALUE")
    made = benchmark.generator(name)
    where = root or DATASETS[name].root
    with stoppable():
        parts = benchmark.generate(
            name,
            where,
            dials=benchmark.make_dials(name, _values(made.Dials, dial or [])),
            sizes={"train": train, "val": val, "test": test},
            seed=seed,
            progress=Counter(f"writing clips to {where}"),
        )
    splits = {
        part: {"clips": each["count"], "fingerprint": benchmark.fingerprint(each)} for part, each in parts.items()
    }
    told = ", ".join(f"{each['clips']} {part} ({each['fingerprint']})" for part, each in splits.items())
    tell(format, [{"data": name, "root": str(where), "splits": splits}], [f"{name} at {where}: {told}"])


def _of_recipes(path: Path, overrides: list[str] | None, scale: str, format: str) -> None:
    from vidops_cli.recipe.reading import find

    files = recipe_files(path) if find(path).is_dir() else [path]
    found = [load_recipe(file, overrides, scale=scale) for file in files]
    described = [recipe for recipe in found if generated(recipe)]
    if not described:
        raise ValueError(f"{path} describes no generated benchmark", "data.generated does")
    made, lines = [], []
    for recipe in described:
        make_missing(recipe)
        title = recipe.title or str(path)
        its = dict.fromkeys((one.data.name, one.data.root) for one in generated(recipe))
        made += [{"data": data, "root": str(root), "recipe": title} for data, root in its]
        lines.append(f"{title}: {', '.join(f'{data} at {root}' for data, root in its)}")
    tell(format, made, lines)


def generated(recipe: Recipe) -> list[Recipe]:
    """The recipe, and those of its rows with data of their own, as far as they are of generated benchmarks."""
    from vidops_cli.recipe import resolve

    from .common import known

    rows = recipe.ablation.rows if recipe.ablation else []
    others = [row for row in rows if row.kind != "profile" and any(key.split(".")[0] == "data" for key in row.set)]
    every = [recipe, *(resolve(recipe, row, 0, known()) for row in others)]
    return [one for one in every if one.data.generated is not None]


@contextmanager
def made_by(recipe: Recipe, words: Iterable[str]) -> Iterator[None]:
    """Where a generated benchmark is not there, the hint names the command that makes it as the recipe describes it.

    `words`: the recipe's path, and what changes it.
    """
    from vidops_cli.data.mini import benchmark

    try:
        yield
    except ValueError as error:
        told, *hint = error.args or ("",)
        before, command, _ = str(hint[0] if hint else "").partition("vidops data generate ")
        if not command:
            raise
        made = shlex.join(["vidops", "data", "generate", *words])
        if recipe.data.generated is None:
            made = benchmark.command(recipe.data.name, Path(recipe.data.root))
        raise type(error)(told, before + made) from None


def make_missing(recipe: Recipe) -> None:
    """Make what a recipe's rows need of generated benchmarks and what is not there."""
    from vidops_cli.data.mini import benchmark

    seeds = recipe.ablation.seeds if recipe.ablation else [recipe.train.seed]
    each = {one.data.model_dump_json(include={"name", "root", "generated"}): one for one in generated(recipe)}
    for told in each.values():
        name, root, made = told.data.name, Path(told.data.root), told.data.generated
        assert made is not None
        dials, sizes = benchmark.make_dials(name, made.dials), made.sizes.model_dump()
        heads = benchmark.heads_of(name, dials, sizes, made.seed, seeds)
        if not all(benchmark.is_whole(root, head) for head in heads.values()):
            benchmark.generate(
                name,
                root,
                dials=dials,
                sizes=sizes,
                seed=made.seed,
                train_seeds=seeds,
                progress=Counter(f"writing clips to {root}"),
            )


def _values(dials: Any, texts: Iterable[str]) -> dict[str, Any]:
    """`name=value` texts as the kinds that the dials have; what is no number stays a text, and is refused by name."""
    from dataclasses import fields

    kinds, found = {field.name: type(field.default) for field in fields(dials)}, {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name] = kinds.get(name, str)(value)
        except ValueError:
            found[name] = value
    return found
