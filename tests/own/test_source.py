"""Which files an own operator is, and the code hash of a recipe that names one."""

from __future__ import annotations

import importlib
import sys

import pytest

from vidops_cli.ablation.grid import code_of
from vidops_cli.cli.common import known
from vidops_cli.ops import OPS
from vidops_cli.own import BUILT_IN, Operators
from vidops_cli.own.source import MOST, Source, locate
from vidops_cli.recipe import load

FILES = {
    "lone.py": "import beside, json, torch\ntry:\n    import broken\nexcept ImportError:\n    pass\n",
    "beside.py": "from pack.deep import part\n",
    "unused.py": "",
    "pack/__init__.py": "",
    "pack/deep/__init__.py": "from ..other import *\n",
    "pack/deep/part.py": "from vidops_cli.ops.rsa import RSA\nfrom vidops_cli.functional import shift\n",
    "pack/other.py": "",
    "pack/any.py": "from vidops_cli.ops import OPS\n",
    "op.py": "from torch.nn import Identity\nimport pack.other\n"
    "class Op(Identity):\n    slot = 'conv2'\n    def __init__(self, channels):\n        super().__init__()\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("lone", "beside", "pack", "op"):
            del sys.modules[name]
    for name in [name for name in OPS if name not in BUILT_IN]:
        del OPS[name]


def source(name):
    locate(name)  # puts the folder on the path
    return Source.of(importlib.import_module(name))


def test_files_that_it_imports_from_its_own_folder_count(folder):
    names = ["lone", "beside", "pack", "pack.deep", "pack.deep.part", "pack.other"]
    assert sorted(source("lone")._reached[0]) == sorted(names)
    assert source("lone").zoo == {"rsa"} and source("pack.any").zoo == {"*"} and source("op").zoo == set()
    before = source("lone").code
    (folder / "unused.py").write_text("1")
    assert source("lone").code == before
    (folder / "pack/other.py").write_text("1")
    assert source("lone").code != before


def test_where_packages_are_installed_only_its_own_count(folder):
    """And of a large library not all."""
    base = folder / "site-packages"
    (base / "pack").mkdir(parents=True)
    (base / "lone.py").write_text("")
    (base / "pack/__init__.py").write_text("import lone, pack.one\n")
    (base / "pack/one.py").write_text("\n".join(f"import pack.m{i}" for i in range(2 * MOST)))
    for i in range(2 * MOST):
        (base / f"pack/m{i}.py").write_text("")
    reached = Source("pack", base / "pack/__init__.py")._reached[0]
    assert len(reached) == MOST and "lone" not in reached and "pack.m0" in reached


def test_a_file_is_located_and_nothing_is_run(folder):
    assert locate("pack.deep.part") == str(folder / "pack/deep/part.py") and "pack" not in sys.modules
    assert [locate(name) for name in ("nowhere", "pack.nowhere", "lone.deeper", "", "__main__.x")] == [None] * 5


def test_the_code_of_a_recipe_hangs_on_it(folder):
    text = "data: {name: mini_motion, root: x}\nmodel: {name: resnet_tiny, ops: [OP]}\n"
    text += "train: {epochs: 1, batch: 8, optimizer: {name: adamw, lr: 0.1, weight_decay: 0.0}}\n"

    def code(op):
        (folder / "recipe.yaml").write_text(text.replace("OP", op))
        names = known()
        return code_of(load(folder / "recipe.yaml", names), names)

    own = "{op: 'op:Op', at: res2}"
    plain, before = code("{op: tsm}"), code(own)
    assert code(own) == before
    (folder / "pack/other.py").write_text("x = 1\n")
    assert code(own) == before  # what is loaded is the old one still
    del OPS["op:Op"]
    assert code(own) != before and code("{op: tsm}") == plain


def test_a_module_that_is_loaded_again_has_another_card():
    ops = Operators()
    first = ops["op:Op"]
    assert ops["op:Op"] is first is OPS["op:Op"]
    importlib.reload(sys.modules["op"])
    assert ops["op:Op"] is not first and ops["op:Op"].load()(4).training
    assert list(ops)[: len(BUILT_IN)] == list(BUILT_IN) and "op:Op" not in list(ops)
