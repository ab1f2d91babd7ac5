"""What docs/own_operator.md and docs/api.md show is what happens."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from vidops_cli.ops import OPS, Card
from vidops_cli.own import BUILT_IN
from vidops_cli.profiling.profile import Settings

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/own_operator.md").read_text()
FILES = {name: text for text, name in re.findall(r"```(?:python|yaml)\n(# (\S+)\n.*?)```", PAGE, re.S)}
SHOWN = dict(re.findall(r"```console\n\$ ([^\n]+)\n(.*?)```", PAGE, re.S))
QUICK = [command for command in SHOWN if command.split()[1] in ("show", "verify", "validate") or "--dry-run" in command]
ZOO = "vidops_cli/ops/frame_gate.py", "vidops_cli/textbook/frame_gate.py", "vidops_cli/ops/cards/frame_gate.py"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The folder of the page."""
    for name in ("my_ops.py", "bad_ops.py", "own.yaml", "wrong.yaml"):
        (tmp_path / name).write_text(FILES[name])
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("my_ops", "bad_ops"):
        sys.modules.pop(name, None)
    for name in [name for name in OPS if name not in BUILT_IN]:
        del OPS[name]


def lines(text):
    """Without those that tell of a machine, of data on it and of the folder."""
    told = (line.rstrip() for line in text.strip().splitlines())
    return [line for line in told if not re.match(r"own operator |on cpu|data  |train  ", line)]


def test_the_example_has_as_many_lines_as_it_says():
    assert len(FILES["my_ops.py"].splitlines()) <= 30 and len(QUICK) == 6 and len(SHOWN) == 8


def test_shown_output_is_what_is_printed(lab, vidops, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for command in QUICK:
        _, out, err = vidops(*shlex.split(command)[1:])
        told = "\n".join(line for line in err.splitlines() if line.startswith(("error:", "hint:")))
        assert lines(f"{told}\n{out}") == lines(SHOWN[command]), command
    (row,) = [line for line in SHOWN["vidops ablate own.yaml --store runs/own"].splitlines() if "params" in line]
    assert [cell.strip() for cell in row.split("│")[2:5]] == ["78.4 k", "78.7 k", "78.7 k"]


def _module(path: str) -> dict:
    """A file of the page as it would be in its folder."""
    package = path.removesuffix(".py").replace("/", ".").rpartition(".")[0]
    held = {"__name__": f"{package}.frame_gate", "__package__": package}
    exec(compile(FILES[path], path, "exec"), held)
    return held


def test_the_pieces_of_the_zoo_fit_together():
    """Card, operator, formula and textbook form."""
    from vidops_cli.profiling.cost import costs

    op_file, textbook, cards = map(_module, ZOO)
    (card,), kind = cards["CARDS"], op_file["FrameGate"]
    assert isinstance(card, Card) and kind.__init__.__kwdefaults__ == card.defaults
    torch.manual_seed(0)
    op, x = kind(8, scale=0.5).double(), torch.randn(2, 8, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(op(x), textbook["forward"](op, x), rtol=1e-12, atol=1e-12)
    found = costs(op.float(), [x.float()], textbook["forward"], 4)
    assert found["cost_gap"] == 0 and found["uncounted"] == []
    with pytest.raises(ValueError, match="at least 2 frames"):
        op(x[:, :, :1].float())
    own = _module_of("my_ops.py")["FrameGate"](8, scale=0.5)
    own.load_state_dict(op.state_dict())
    torch.testing.assert_close(own(x.float()), op(x.float()))


def _module_of(name: str) -> dict:
    held: dict = {"__name__": name}
    exec(compile(FILES[name], name, "exec"), held)
    return held


def test_the_page_on_the_api_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("vidops_cli.profiling.tree.MOST", 3)  # passes
    monkeypatch.setattr("vidops_cli.profiling.profile.Settings", partial(Settings, budget=0.01))
    text = (ROOT / "docs/api.md").read_text()
    examples = doctest.DocTestParser().get_doctest(text, {"__name__": "page"}, "api.md", None, 0)
    assert len(examples.examples) >= 13
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    told: list[str] = []
    done = doctest.DocTestRunner(optionflags=flags).run(examples, out=told.append)
    assert done.failed == 0, "".join(told)
