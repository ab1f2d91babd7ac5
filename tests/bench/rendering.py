"""Tables of 10,000 rows, of the kinds that `vidops ablate` and `vidops profile` print, in every form."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rows import Row, timed

from vidops_cli.record import read_lines
from vidops_cli.report.ablation import ablation_table
from vidops_cli.report.profile import profile_table
from vidops_cli.report.table import Table, to_csv

ROWS, RUNS, MOST = 10_000, 3, 2.0
RECORD = Path(__file__).parents[2] / "results/quickstart.jsonl"


def measure() -> Iterator[Row]:
    for kind, (table, rows) in {"ablate": ablation(), "profile": profile()}.items():
        assert len(table.body) == ROWS
        for form, render in forms(table, rows).items():
            times = [seconds(render) for _ in range(RUNS)]
            yield timed("rendering", f"{kind}, {form}", times, most=MOST, note=f"{ROWS:,} rows")


def forms(table: Table, rows: list[dict[str, Any]]) -> dict[str, Callable[[], object]]:
    def printed(width: int) -> None:
        Console(file=io.StringIO(), width=width).print(table.rich(width))

    wide = {f"rich, {width} columns": lambda width=width: printed(width) for width in (80, 160)}
    return {**wide, "Markdown": table.markdown, "CSV": lambda: to_csv(rows), "LaTeX": table.latex}


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def varied(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same row with other numbers, so that no cell is met twice."""
    factor = rng.uniform(0.5, 1.5)
    return {key: value * factor if isinstance(value, float) else value for key, value in row.items()}


def ablation() -> tuple[Table, list[dict[str, Any]]]:
    """The quickstart's record, grown by rows of other names and numbers."""
    rng = random.Random(0)
    header, *recorded = read_lines(RECORD)
    told = header["table"]
    known = told.get("row_names") or [row["name"] for row in told["rows"]]
    copies = -(-ROWS // len(known))
    rows = [{**varied(row, rng), "row": f"{row['row']} {i}"} for i in range(copies) for row in recorded]
    names = [f"{name} {i}" for i in range(copies) for name in known][:ROWS]
    told |= {"rows": [{"name": name} for name in names], "reference": names[0], "quoted": []}
    return ablation_table(told, rows), rows


def profile() -> tuple[Table, list[dict[str, Any]]]:
    rng = random.Random(0)
    row = {
        "op": "rsa",
        "shape": "1x256x8x14x14",
        "options": "window=5x7x7 latent=32",
        "dtype": "float32",
        "device": "cpu",
        "threads": 2,
        "params": 123_456,
        **dict.fromkeys(("macs", "other_flops", "flops"), 1.234e9),
        **{f"{way}_{key}": 12.34 for way in ("fwd", "fwdbwd") for key in ("ms", "p10", "p90")},
        **dict.fromkeys(("peak_fwd_bytes", "peak_fwdbwd_bytes", "saved_bytes"), 1.234e8),
        "fwd_flags": ["noisy"],
        "clips_per_s": 81.2,
        "bound_share": 0.4,
        "bound_by": "memory",
        "baseline": "conv3d",
        **dict.fromkeys(("fwd_speedup", "fwd_speedup_low", "fwd_speedup_high"), 1.5),
        "fwd_verdict": "faster",
        "checked": 1.2e-6,
        "passed": True,
    }
    rows = [{**varied(row, rng), "layer": f"layer {i}"} for i in range(ROWS)]
    env = {"torch": "2.0", "cpu": "cpu", "cores": 2, "commit": None, "dirty": False, "code": "", "date": "2000-01-01"}
    return profile_table(rows, env), rows
