"""Operators whose card promises it are one graph for torch.compile, without a break, and give the same.

In a process of its own: under pytest the functions carry shape checks, which are no part of a graph.
"""

import json
import subprocess
import sys

from vidops_cli.ops import OPS

SCRIPT = """
import json, torch
from vidops_cli.ops import OPS

told = {}
for name, card in OPS.items():
    if not card.compiles:
        continue
    torch.manual_seed(0)
    op, inputs = card.load()(16).eval(), card.example(2, 16, (card.max_frames or 3, 4, 6))
    compiled = torch.compile(op, fullgraph=True, backend="aot_eager")
    torch._dynamo.reset()
    try:
        leaves = [[x.clone().requires_grad_() for x in inputs] for _ in range(2)]
        found = [form(*given) for form, given in zip((op, compiled), leaves)]
        for y in found:
            y.square().sum().backward()
        pairs = [found, *([a.grad, b.grad] for a, b in zip(*leaves))]
        told[name] = max(((a - b).abs().max() / b.abs().max().clamp(min=1)).item() for a, b in pairs if a is not None)
    except Exception as error:
        told[name] = f"{type(error).__name__}: {str(error)[:300]}"
print(json.dumps(told))
"""


def test_compiles_where_the_card_promises_it():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == {name for name, card in OPS.items() if card.compiles}
    assert len(told) >= 20
    assert {name: error for name, error in told.items() if not isinstance(error, float) or not error < 1e-5} == {}
