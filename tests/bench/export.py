"""Every operator of the zoo as torch.export makes it, held against itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rows import Row, row

SCRIPT = Path(__file__).parents[1] / "ops/exporting.py"
MOST = 1e-6


def measure() -> Iterator[Row]:
    done = subprocess.run([sys.executable, "-W", "ignore", SCRIPT], stdout=subprocess.PIPE, text=True, check=True)
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        error, note = (found, "") if isinstance(found, float) else (None, found)
        passed = error is not None and error <= MOST
        yield row("export", name, "error", error, n=1, bar=f"at most {MOST:g}", passed=passed, note=note)
