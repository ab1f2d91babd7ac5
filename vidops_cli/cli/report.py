"""vidops report"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidops_cli.report.table import counted

from .common import Form, check_format, console, tell
from .output import Output

RESULTS = Path("results")


def command(
    results: Annotated[Path, typer.Argument(help="Folder of rows (.json, .jsonl).", metavar="RESULTS")] = RESULTS,
    runs: Annotated[
        list[Path] | None, typer.Option(help="Folder of a run, or a store of cells: loss curves. Repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page that is written: .html.")] = Path("report.html"),
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
    if results.is_dir() or not (folders and results == RESULTS):
        folders.insert(0, results)
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder", "name one with results, as in `vidops report results`")
    reader, sections, top = Reader(results), {}, results.resolve().name
    for path in files_below(results):
        part = reader.part(path)
        if part is not None:
            name = path.parent.relative_to(results).as_posix()
            sections.setdefault(top if name == "." else name, []).append(part)
    if claims := reader.all_claims():
        sections = {"All claims": [claims], **sections}
    if found := run_parts(folders, reader):
        sections["Runs"] = found
    if not sections:
        told = f": {reader.left_out[0]}" if reader.left_out else ""
        raise ValueError(
            f"nothing below {folders[0]} can be shown{told}", "rows are files that --out or --publish wrote"
        )
    if not reader.draws:
        reader.left_out.append("without plots, which need matplotlib: pip install 'vidops[plot]'")
    text = document(f"vidops: {top}", sections, reader.left_out)
    write_text(out, text)
    for line in reader.left_out:
        console(stderr=True).print(line, soft_wrap=True)
    parts: list[Part] = [part for each in sections.values() for part in each]
    tables, plots = sum(len(part.tables) for part in parts), sum(len(part.plots) for part in parts)
    size, drawn = len(text.encode()), {"tables": tables, "plots": plots}
    told = {"written": str(out), **drawn, "bytes": size, "left_out": reader.left_out}
    tell(format, told, [f"{out}: {counted(tables, 'table')}, {counted(plots, 'plot')}, {size / 2**20:.1f} MiB"])
