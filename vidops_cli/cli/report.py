"""vidops report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidops_cli.report.table import counted

from .common import Form, check_format, console, tell
from .output import Output

RESULTS = Path("results")
LEAD = "What runs of vidops measured, each table made of the rows that they wrote. "
CLAIMS = (
    "A claim says that one row of a table is better than another by some points, its least: held where the whole "
    "interval of the difference lies above that, not held where it lies below, undecided else. At scale mini, smaller "
    "than the paper's data or schedule, that is a verdict on these rows, not on the paper. "
)
LINES = "Headings sort; below each table stands where its lines are from."


def command(
    results: Annotated[
        Path, typer.Argument(help="Folder of rows (.json, .jsonl), or a file.", metavar="RESULTS")
    ] = RESULTS,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Folder of a run, or a store of cells: loss curves. Repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page that is written: .html.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Of the page. Default: the folder's name.")] = None,
    format: Form = "table",
) -> None:
    """Write all results into one HTML page that needs no other file and no network.

    Tables that sort, plots, claims with their intervals, and where each line is
    from. What cannot be read is left out, and named.

    Example: vidops report results --out report.html
    """
    from vidops_cli.record import write_text
    from vidops_cli.report.document import Part, document

    from .parts import Reader, files_below
    from .run_folders import run_parts

    check_format(format)
    if out.suffix != ".html":
        raise ValueError(f"--out ends in .html, got {out}", "as in --out report.html")
    Output("html", out, None, full=False)  # refuses what cannot be written, before all is read
    folders = list(runs or [])
    alone = results.is_file()
    if not alone and (results.is_dir() or not (folders and results == RESULTS)):
        folders.insert(0, results)
    for folder in folders:
        if not folder.is_dir():
            hint = "vidops report PLACE: a file of rows that --out wrote, a folder of those, or of a run"
            raise ValueError(f"{folder} is no folder" if folder.exists() else f"no folder {folder} here", hint)
    root = results.parent if alone else results
    reader, sections, top = Reader(root), {}, results.stem if alone else results.resolve().name
    for path in [results] if alone else files_below(results):
        part = reader.part(path)
        if part is not None:
            name = path.parent.relative_to(root).as_posix()
            sections.setdefault(top if name == "." else name, []).append(part)
    if claims := reader.all_claims():
        sections = {"All claims": [claims], **sections}
    if found := run_parts(folders, reader):
        sections = {"Runs": found, **sections}
    if not sections:
        told = f": {reader.left_out[0]}" if reader.left_out else ""
        raise ValueError(
            f"nothing {'of' if alone else 'below'} {results if alone else folders[0]} can be shown{told}",
            "rows are files that --out or --publish wrote",
        )
    if not reader.draws:
        reader.left_out.append("without plots, which need matplotlib: pip install 'vidops[plot]'")
    lead = LEAD + (CLAIMS if reader.claims else "") + LINES
    text = document(title or f"vidops: {top}", sections, reader.left_out, lead)
    write_text(out, text)
    for line in reader.left_out:
        console(stderr=True).print(line, soft_wrap=True)
    parts: list[Part] = [part for each in sections.values() for part in each]
    tables, plots = sum(len(part.tables) for part in parts), sum(len(part.plots) for part in parts)
    size, drawn = len(text.encode()), {"tables": tables, "plots": plots}
    told = {"written": str(out), **drawn, "bytes": size, "left_out": reader.left_out}
    tell(format, told, [f"{out}: {counted(tables, 'table')}, {counted(plots, 'plot')}, {size / 2**20:.1f} MiB"])
