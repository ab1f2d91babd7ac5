"""The guard: every operator against its textbook form, beside the speeds on record."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from commands import VIDOPS
from rows import Row, row

ROOT = Path(__file__).parents[2]
SUITE, RECORD = Path("recipes/profile/speed.yaml"), Path("results/profile/speed.jsonl")
SLOWER = "15%"  # change of a row that counts, if it is beyond both intervals too
TOLD = {0: "no row is worse", 1: "a row is worse: see above"}  # exit codes of `vidops compare`


def measure(out: Path | None = None) -> Iterator[Row]:
    """Runs the suite, into `out` if there is one, and compares; what the commands print is shown."""
    lacking = [str(path) for path in (SUITE, RECORD) if not (ROOT / path).is_file()]
    if lacking:
        yield verdict(None, f"not run, nothing to compare: there is no {' and no '.join(lacking)}")
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = (out or Path(folder)).absolute() / "speed.jsonl"
        if run("profile", "--suite", SUITE, "--out", fresh, "--format", "markdown"):
            yield verdict(False, "`vidops profile --suite` failed")
        else:
            code = run("compare", RECORD, fresh, "--fail-over", SLOWER)
            yield verdict(code == 0, TOLD.get(code, f"`vidops compare` ended with {code}"))


def run(*words: object) -> int:
    return subprocess.run([VIDOPS, *map(str, words)], cwd=ROOT, check=False).returncode


def verdict(passed: bool | None, note: str) -> Row:
    return row(
        "speed", f"suite {SUITE.name}", "", bar=f"no row {SLOWER} worse than the record", passed=passed, note=note
    )
