"""python tests/ops/exporting.py [NAME...]: exports operators by torch.export, and prints how far they are from eager.

Without names all of the zoo, at the defaults of their cards, on clips of 3 frames where they take any. A JSON object:
name -> largest error over max(1, largest value), or the reason why it cannot be exported. A process of its own: under
pytest the functions carry shape checks, which are no part of a graph.
"""

from __future__ import annotations

import json
import sys

import torch

from vidops_cli.ops import OPS, Card


def exported(card: Card) -> float:
    torch.manual_seed(0)
    op, inputs = card.load()(16).eval(), card.example(2, 16, (card.max_frames or 3, 4, 6))
    program = torch.export.export(op, tuple(inputs))
    others = card.example(2, 16, (card.max_frames or 3, 4, 6))  # a number that was fixed while tracing would be told
    true, found = op(*others), program.module()(*others)
    return ((found - true).abs().max() / true.abs().max().clamp(min=1)).item()


def main(names: list[str]) -> None:
    told: dict[str, float | str] = {}
    for name in names or OPS:
        try:
            told[name] = exported(OPS[name])
        except Exception as error:
            told[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
