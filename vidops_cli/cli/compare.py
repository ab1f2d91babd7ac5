"""vidops compare"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import print_table
from .output import FORMATS, form


def command(
    a: Annotated[
        Path, typer.Argument(help="The older profile, a .json or .jsonl of `vidops profile`.", show_default=False)
    ],
    b: Annotated[Path, typer.Argument(help="The newer profile.", show_default=False)],
    fail_over: Annotated[
        str | None, typer.Option(help="Change that counts, as 5%. Default: what exceeds the noise that was measured.")
    ] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".")] = "table",
) -> None:
    """Compare two profiles row by row: times, peak memory, multiply-adds, correctness.

    Rows with the same baseline are judged by their speed-ups, not by milliseconds.
    Exit code 1 if anything became worse, for use in CI.

    Example: vidops compare before.json after.json --fail-over 5%
    """
    from vidops_cli.record import SCHEMA, command_line
    from vidops_cli.report.compare import compare, compare_table, rows_of

    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}", f"one of {', '.join(FORMATS)}")
    threshold = None if fail_over is None else _share(fail_over)
    (rows_a, env_a), (rows_b, env_b) = (rows_of(read(path), str(path)) for path in (a, b))
    compared = compare(rows_a, rows_b, threshold=threshold)
    table = compare_table(compared, env_a, env_b)
    told = {"threshold": threshold, "rows": compared.rows, "only_a": compared.only_a, "only_b": compared.only_b}
    document = {"schema": SCHEMA, "command": command_line(), "env_a": env_a, "env_b": env_b, **told}
    if format == "table":
        print_table(table)
    else:
        typer.echo(form(format, document, [table]), nl=False)
    if compared.worse:
        raise typer.Exit(1)


def _share(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?\s?%?", text):
        raise ValueError(f"--fail-over takes a percentage, got {text!r}", "as in --fail-over 5%")
    return float(text.rstrip(" %")) / 100


def read(path: Path) -> Any:
    from vidops_cli.record import read_json, read_lines

    hint = "give a file that `vidops profile --out FILE.json` wrote"
    try:
        if path.suffix != ".jsonl":
            return read_json(path)
        path.stat()  # read_lines takes a file that is not there for an empty one
        head, *rows = read_lines(path) or [{}]
        return {**head, "rows": rows} if isinstance(head, dict) else head
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}", hint) from None
    except ValueError as error:
        told = str(error.args[0])
        raise ValueError(told if str(path) in told else f"{path} is not JSON: {told}", hint) from None
