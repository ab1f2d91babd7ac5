"""What users wait for, measured and held against bars: `make bench`.

commands    whole commands, from the start of the process to its end
rendering   tables of 10,000 rows in every form
engine      a training step of the engine over a bare one
feeding     a training step on clips that workers decode, over one on tensors; takes minutes
networks    tiny networks and ResNet-50: our operators against their textbook form; takes minutes
speed       every operator against the speeds on record
export      every operator by torch.export, held against itself
decoding    frames of all kinds of files, memory and speed of reading them; takes minutes

`python tests/bench --only commands,engine --out results` runs some groups, and writes results/bench.jsonl and bench.md;
`--name decoding` writes decoding.jsonl and decoding.md in their place.
Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import rows
from rows import Row

from vidops_cli.cli.common import print_table
from vidops_cli.record import SCHEMA, environment, write_text
from vidops_cli.report.bench import bench_table

GROUPS = ("commands", "rendering", "engine", "feeding", "networks", "speed", "export", "decoding")


def main() -> None:
    told = parsed(sys.argv[1:])
    env, found = environment(), []
    for group in told.only:
        measure = importlib.import_module(group).measure
        for row in measure(told.out) if group == "speed" else measure():
            found.append(row)
            print(f"{row['group']}: {row['name']} {row['note']}", file=sys.stderr)
            if told.out:
                write(told.out / told.name, found, env)
    print_table(bench_table(found, env))
    sys.exit(bool(rows.missed(found)))


def parsed(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=groups, default=GROUPS, help="groups, with commas between them")
    parser.add_argument("--out", type=Path, help="folder for the rows and their table")
    parser.add_argument("--name", default="bench", help="of the files that are written")
    return parser.parse_args(words)


def groups(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := set(chosen) - set(GROUPS):
        raise argparse.ArgumentTypeError(f"unknown group {min(unknown)!r}; groups: {', '.join(GROUPS)}")
    return chosen


def write(record: Path, found: list[Row], env: dict[str, Any]) -> None:
    """The whole record each time: what is finished is not lost."""
    lines = [{"schema": SCHEMA, "env": env}, *found]
    write_text(record.with_suffix(".jsonl"), "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
    write_text(record.with_suffix(".md"), bench_table(found, env).markdown())


if __name__ == "__main__":
    main()
