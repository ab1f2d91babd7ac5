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
        Path,
        typer.Argument(
            help="The older: a .json or .jsonl of `vidops profile`, or of a table of `vidops ablate`.",
            show_default=False,
        ),
    ],
    b: Annotated[Path, typer.Argument(help="The newer, of the same kind.", show_default=False)],
    fail_over: Annotated[
        str | None,
        typer.Option(help="Change of a profile that counts, as 5%. Default: what exceeds the noise measured."),
    ] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".")] = "table",
) -> None:
    """Compare two profiles row by row: times, peak memory, multiply-adds, correctness. Or two tables, cell by cell.

    Rows with the same baseline are judged by their speed-ups, not by milliseconds.
    Cells of a table that was run again give the same to the last bit, or are judged
    by their spread over seeds. Exit code 1 if anything became worse, for use in CI.

    Example: vidops compare before.json after.json --fail-over 5%
    """
    from vidops_cli.record import SCHEMA, command_line
    from vidops_cli.report.compare import compare, compare_table, rows_of
    from vidops_cli.report.rerun import is_table, rerun, rerun_table

    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}", f"one of {', '.join(FORMATS)}")
    threshold = None if fail_over is None else _share(fail_over)
    read_a, read_b = read(a), read(b)
    if is_table(read_a) and is_table(read_b):
        if threshold is not None:
            raise ValueError("--fail-over is of profiles", "leave it out: tables are judged by their spread over seeds")
        compared = rerun(read_a, read_b)
        table = rerun_table(compared, read_a, read_b)
        told: dict[str, Any] = {"metric": compared.metric}
    else:
        (rows_a, env_a), (rows_b, env_b) = rows_of(read_a, str(a)), rows_of(read_b, str(b))
        compared = compare(rows_a, rows_b, threshold=threshold)
        table = compare_table(compared, env_a, env_b)
        told = {"env_a": env_a, "env_b": env_b, "threshold": threshold}
    told |= {"rows": compared.rows, "only_a": compared.only_a, "only_b": compared.only_b}
    document = {"schema": SCHEMA, "command": command_line(), **told}
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

    hint = "give a file that `vidops profile` or `vidops ablate` wrote with --out"
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
