"""The guard: every operator against its textbook form, beside the speeds on record."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from commands import VIDOPS
from rows import Row, row

ROOT = Path(__file__).parents[2]
SUITE, RECORD = Path("recipes/profile/speed.yaml"), Path("results/profile/speed.jsonl")
SLOWER = "15%"  # change of a row that counts, if it is beyond both intervals too


def measure(out: Path | None = None) -> Iterator[Row]:
    """Runs the suite, into `out` if there is one, and compares; layers that are worse are timed a second time.

    Of two runs of one commit a few rows differ, as one finds the memory of the machine in another state; those that are
    worse twice are worse. What the commands print is shown.
    """
    lacking = [str(path) for path in (SUITE, RECORD) if not (ROOT / path).is_file()]
    if lacking:
        yield verdict(None, f"not run, nothing to compare: there is no {' and no '.join(lacking)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh, again = (out or Path(folder)).absolute() / "speed.jsonl", Path(folder) / "again.jsonl"
        profile(ROOT / SUITE, fresh)
        first = worse(fresh)
        if first is not None and first:
            few = Path(folder) / "again.yaml"
            few.write_text(json.dumps(only(yaml.safe_load((ROOT / SUITE).read_text()), first)))  # JSON is YAML
            profile(few, again)
            second = worse(again)
            first = None if second is None else first & second
    if first is None:
        yield verdict(False, "`vidops profile --suite` or `vidops compare` failed: see above")
    else:
        yield verdict(not first, f"worse twice: {', '.join(sorted(first))}" if first else "no row is worse twice")


def profile(suite: Path, out: Path) -> None:
    run("profile", "--suite", suite, "--out", out, "--format", "markdown")


def only(suite: dict[str, Any], layers: set[str]) -> dict[str, Any]:
    """The suite without other layers."""
    return suite | {"layers": [layer for layer in suite["layers"] if layer["name"] in layers]}


def worse(fresh: Path) -> set[str] | None:
    """Layers that are worse than on record; None if that cannot be told."""
    told = subprocess.run(
        [VIDOPS, "compare", str(RECORD), str(fresh), "--fail-over", SLOWER, "--format", "json"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if not told.stdout.startswith("{"):
        return None
    return {row["layer"] for row in json.loads(told.stdout)["rows"] if row["worse"]}


def run(*words: object) -> int:
    return subprocess.run([VIDOPS, *map(str, words)], cwd=ROOT, check=False).returncode


def verdict(passed: bool | None, note: str) -> Row:
    bar = f"no row {SLOWER} worse than the record, and beyond both intervals, twice"
    return row("speed", f"suite {SUITE.name}", "", bar=bar, passed=passed, note=note)
