"""What may happen to a run of days, done on purpose and counted: `make faults`.

kill        SIGKILL, SIGTERM and SIGINT at random moments of `vidops train` and `vidops ablate`
folders     a full disk, a folder that is read-only, gone, or another process's
memory      memory that is too short, in training and in profiles
decoders    videos that are corrupt, hang or crash what decodes them
fuzz        recipes, command lines, results, videos and annotations that were changed at random
hostile     files made to run code, to fill the memory, or to write elsewhere
numerics    inputs that are zero, constant, vanishing or huge, in each precision
long        two hours of training and tables: memory, open files and threads; VIDOPS_MINUTES for another time

`python tests/faults --only kill,folders --out results` runs some groups, and writes results/reliability.json and .md;
rows of other groups that stand there stay. Exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from vidops_cli.cli.common import print_table
from vidops_cli.record import SCHEMA, environment, read_json, write_json, write_text
from vidops_cli.report.bench import faults_table

GROUPS = ("kill", "folders", "memory", "decoders", "fuzz", "hostile", "numerics", "long")
Row = dict[str, Any]


def main() -> None:
    told = parsed(sys.argv[1:])
    env = environment()
    found = [row for row in kept(told.out) if row["group"] not in told.only]
    for group in told.only:
        rows = importlib.import_module(group).rows
        for row in rows(told.out) if group == "long" else rows():
            found.append({"group": group, **row, "commit": env["commit"], "date": env["date"]})
            print(f"{row['kind']}: {row['tries']} tries, {row['lost']} lost, {row['seconds']:.0f} s", file=sys.stderr)
            found.sort(key=lambda row: GROUPS.index(row["group"]))
            if told.out:
                write(told.out, found, env)
    print_table(faults_table(found, env))
    sys.exit(any(row["lost"] for row in found))


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=groups, default=GROUPS, help="groups, with commas between them")
    parser.add_argument("--out", type=Path, help="folder for the rows and their table")
    return parser.parse_args(words)


def groups(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(GROUPS):
        raise argparse.ArgumentTypeError(f"unknown group {min(unknown)!r}; groups: {', '.join(GROUPS)}")
    return chosen


def kept(out: Path | None) -> list[Row]:
    """What was written before."""
    path = out and out / "reliability.json"
    return read_json(path)["rows"] if path and path.is_file() else []


def write(out: Path, found: list[Row], env: dict[str, Any]) -> None:
    """All rows each time: what is finished is not lost."""
    write_json(out / "reliability.json", {"schema": SCHEMA, "env": env, "rows": found})
    write_text(out / "reliability.md", faults_table(found, env).markdown())


if __name__ == "__main__":
    main()
