"""vidops data"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import console
from .live import Counter

app = typer.Typer(help="Make data sets.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command()
def generate(
    name: Annotated[str, typer.Argument(help="mini_motion", show_default=False)],
    root: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("datasets/mini_motion"),
    train: Annotated[int, typer.Option(min=1, help="Clips of the train split.")] = 6144,
    val: Annotated[int, typer.Option(min=1, help="Clips of the val split.")] = 512,
    test: Annotated[int, typer.Option(min=1, help="Clips of the test split.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the benchmark.")] = 0,
    dial: Annotated[
        list[str] | None, typer.Option(help="Difficulty, as in speed=4; repeat it.", metavar="NAME=VALUE")
    ] = None,
) -> None:
    """Generate a benchmark as real H.264 files, with a manifest of hashes. What is there and whole is kept.

    Example: vidops data generate mini_motion --dial speed=3 --dial noise=0.2 --root datasets/easier
    """
    from vidops_cli.data.mini import benchmark

    if name != "mini_motion":
        raise ValueError(f"{name!r} cannot be generated", "mini_motion can")
    manifest = benchmark.generate(
        root,
        dials=benchmark.parse_dials(dial or []),
        sizes={"train": train, "val": val, "test": test},
        seed=seed,
        progress=Counter(f"writing clips to {root}"),
    )
    told = ", ".join(f"{count} {split}" for split, count in manifest["sizes"].items())
    console().print(f"{name} at {root}: {told} clips, fingerprint {benchmark.fingerprint(manifest)}", soft_wrap=True)
