"""Operators of each kind are exported by torch.export and give the same; `python tests/bench --only export`: all."""

import json
import subprocess
import sys
from pathlib import Path

# a shift; windows, and moved windows, by custom operations; Fourier; two inputs
FEW = ("tsm", "rsa", "sifa", "lisa", "integral_action")


def test_exports():
    script = Path(__file__).with_name("exporting.py")
    done = subprocess.run([sys.executable, "-W", "ignore", script, *FEW], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == set(FEW)
    assert {name: error for name, error in told.items() if not isinstance(error, float) or not error <= 1e-6} == {}
