"""Training through torch.compile. Backends here are quick ones; inductor's need of a compiler is played."""

from functools import partial

import jaxtyping
import pytest
import torch

from vidops_cli.engine import checkpoint, setup
from vidops_cli.engine.train import train
from vidops_cli.models import MODELS
from vidops_cli.models.blocks import compile_blocks

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo asks a block's input for it


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Without the checks of annotations, which dynamo would trace too."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_a_compiled_run(recipe, tmp_path, monkeypatch):
    """By dynamo alone, which leaves the arithmetic as it is: the same bits, keys and tests."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(setup, "compile_blocks", partial(compile_blocks, backend=backend))
    told, found = ("train.epochs=1", "train.recalibrate_bn=0", "model.drop_path=0.3", "eval.split=val"), {}
    told += ("model.ops=[{op: se, at: res4}]",)
    for compiled in ("false", "true"):
        given = recipe(*told, f"train.compile={compiled}")
        summary = train(given, tmp_path / compiled, device="cpu")
        found[compiled] = summary["metrics"], checkpoint.load(tmp_path / compiled / "last.pt")
        assert bool(graphs) == (compiled == "true")
    assert len(graphs) == 1 + 2 * (3 + 1)  # a trial, then blocks and what stands behind one, in training and in tests
    (plain, before), (again, after) = found.values()
    assert plain == again and before["recipe"] != after["recipe"]
    assert before["model"].keys() == after["model"].keys()
    assert all(torch.equal(value, after["model"][key]) for key, value in before["model"].items())


def test_without_a_compiler_it_says_so():
    def backend(graph, inputs):
        raise RuntimeError("No working C++ compiler found")

    with pytest.raises(ValueError, match="needs a C") as refused:
        compile_blocks(MODELS["resnet_tiny"].build(classes=3), backend=backend)
    assert refused.value.args[1] == "set train.compile=false"
