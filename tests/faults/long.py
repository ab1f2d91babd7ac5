"""Hours of training and of tables on the mini benchmark: memory, open files and threads, sampled and plotted.

Half of the time is one training without an end, which decodes in workers, half one table of more seeds than there is
time for. VIDOPS_MINUTES says how long; two hours, unless it does.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from processes import begin, kill, told, tree

from vidops_cli.data.mini import benchmark, motion
from vidops_cli.record import write_text
from vidops_cli.report.plot import figure_of

QUICKSTART = Path(__file__).parents[2] / "recipes/quickstart.yaml"
MINUTES, EVERY = 120.0, 5.0  # the latter in seconds
SIZES = {"train": 1024, "val": 128, "test": 128}
ENDLESS = ("train.epochs=100000", "data.cache=none", "data.workers=2", "--out", "run", "--device", "cpu")
COMMANDS = {
    "train": ("train", str(QUICKSTART), "model.ops=[{op: tsm}]", *ENDLESS),
    "ablate": ("ablate", str(QUICKSTART), "--seeds", "400", "--jobs", "2", "--store", "table", "--device", "cpu"),
}
BEGUN = {"train": "run/best.pt", "ablate": "table/cells/*/summary.json"}  # from when on it is sampled
MOST, KEYS = 0.05, ("MiB", "files", "threads")  # growth that is allowed, of what is sampled
Sample = dict[str, Any]


def rows(out: Path | None = None, minutes: float | None = None) -> Iterator[dict[str, Any]]:
    minutes = minutes or float(os.environ.get("VIDOPS_MINUTES", MINUTES))
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        benchmark.generate("mini_motion", place / "mini", dials=motion.Dials(), sizes=SIZES)
        for name, words in COMMANDS.items():
            process = begin(place, *words, "data.root=mini")
            while process.is_alive() and not list(place.glob(BEGUN[name])):
                process.join(0.5)
            began = time.monotonic()
            mine: list[Sample] = []
            problems: list[str] = []
            while (passed := time.monotonic() - began) < 30 * minutes and process.is_alive():
                mine.append({"command": name, "seconds": round(passed, 1), **sample(process.pid)})
                process.join(EVERY)
            if process.is_alive():
                os.kill(process.pid, signal.SIGTERM)
                process.join(60)
            if process.exitcode not in (75, 130):
                kill(process, children=True)
                problems.append(f"exit code {process.exitcode}: {told(place)[-200:]}")
            samples += mine
            what = f"{len(mine)} samples of all its processes over {passed / 60:.0f} minutes"
            if len(mine) < 8:
                problems.append("too few samples")
            else:
                problems += [problem for key in KEYS if (problem := growing(mine, key))]
                what += f"; {summary(mine)}"
            what += f". Lost: {'; '.join(problems)}" if problems else ""
            counts = {"tries": 1, "survived": int(not problems), "lost": int(bool(problems))}
            yield {"kind": f"hours of {name}", **counts, "seconds": passed, "what": what}
            if out:
                write_text(out / "reliability_long.jsonl", "".join(json.dumps(one) + "\n" for one in samples))
                draw(samples, out / "reliability_long.svg")


def sample(pid: int) -> dict[str, int]:
    """Of a process and all that descend from it: resident memory, open files, threads, and how many they are."""
    found = {"MiB": 0, "files": 0, "threads": 0, "processes": 0}
    for each in tree(pid):
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
            counts = {"files": len(os.listdir(f"/proc/{each}/fd")), "threads": len(os.listdir(f"/proc/{each}/task"))}
        except OSError:  # it has ended
            continue
        for key, value in {"MiB": pages * os.sysconf("SC_PAGE_SIZE") // 2**20, **counts, "processes": 1}.items():
            found[key] += value
    return found


def high(samples: list[Sample], key: str) -> tuple[float, float]:
    """What nine of ten samples of the third quarter, and of the last, do not exceed: processes come and go."""
    quarter = max(1, len(samples) // 4)
    third, last = (
        np.quantile([one[key] for one in part], 0.9) for part in (samples[-2 * quarter : -quarter], samples[-quarter:])
    )
    return float(third), float(last)


def growing(samples: list[Sample], key: str) -> str:
    """In words, if there is more at the end than is allowed."""
    third, last = high(samples, key)
    return f"{last - third:+.1f} {key} from the third quarter to the last" if last > (1 + MOST) * third else ""


def summary(samples: list[Sample]) -> str:
    told = ", ".join(f"{key} {{:.0f}} and {{:.0f}}".format(*high(samples, key)) for key in KEYS)
    return f"nine of ten of the third and of the last quarter are at most {told}; {MOST:.0%} more is allowed"


def draw(samples: list[Sample], path: Path) -> None:
    with figure_of(path, 8, 6) as figure:
        panels = figure.subplots(len(KEYS), 1, sharex=True)
        for panel, key in zip(panels, KEYS, strict=True):
            for name in COMMANDS:
                line = [one for one in samples if one["command"] == name]
                panel.plot([one["seconds"] / 60 for one in line], [one[key] for one in line], label=name)
            panel.set_ylabel(key)
            panel.set_ylim(bottom=0)
        panels[0].legend()
        panels[-1].set_xlabel("minutes")
