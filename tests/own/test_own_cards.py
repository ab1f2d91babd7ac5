import subprocess
import sys

import pytest
import torch
from torch import nn

from vidops_cli.ops import Card
from vidops_cli.own.card import own_card
from vidops_cli.profiling.traced import try_out

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, channels, *, heads: int = 4, scale: float = 0.5, bias: bool = True, mode: str = "a",
                 window: int | None = None, sizes=(1, 3)):
        super().__init__()
        if heads > 8:
            raise ValueError("too many heads")
        self.told = (channels, heads, scale, bias, mode, window, sizes)
        self.conv = nn.Conv3d(channels, channels, 1, bias=bias)
    def forward(self, x):
        return self.conv(x)

class Dim(nn.Module):
    def __init__(self, dim, depth: int):
        super().__init__()
        self.fc = nn.Linear(dim, dim * depth)
    def forward(self, x):
        return self.fc(x)

class Bare(nn.Module):
    def forward(self, x, y):
        return x * y

class Pair(nn.Module):
    def forward(self, x):
        return x, x

class Fixed(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.conv = nn.Conv2d(width, 8, 3)
    def forward(self, x):
        return self.conv(x)

class NoModule:
    pass

def factory(channels, kernel: int = 3):
    return nn.Conv2d(channels, channels, kernel)

def wrong(channels):
    return "no module"

made = Bare()
NUMBER = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a user's module; forgotten afterwards."""
    (tmp_path / "my_ops.py").write_text(SOURCE)
    package = tmp_path / "my_lab"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "blocks.py").write_text("import torch\nclass Block(torch.nn.Identity): pass\n")
    (package / "needy.py").write_text("import a_library_that_is_not_there\n")
    (package / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("my_ops", "my_lab")]:
        del sys.modules[name]


def refused(call):
    with pytest.raises(ValueError) as error:
        call()
    message, hint = error.value.args
    assert message and hint and "\n" not in message + hint
    return message, hint


def test_a_class_that_takes_channels():
    card = own_card("my_ops:Plain")
    assert isinstance(card, Card)
    assert [card.name, card.cls, card.slot] == ["my_ops:Plain", "Plain", ""]
    assert set(card.options) == {"heads", "scale", "bias", "mode", "window", "sizes"}
    assert card.defaults == {"heads": 4, "scale": 0.5, "bias": True, "mode": "a", "window": None, "sizes": (1, 3)}
    op = card.load()(16, heads=2)
    assert op.told == (16, 2, 0.5, True, "a", None, (1, 3))
    x = card.example(2, 16, (3, 4, 5))
    assert [part.shape for part in x] == [(2, 16, 3, 4, 5)]
    try_out(card, op, x)


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("heads", [2], [2.5, "two", None]),
        ("scale", [1, 0.25], ["x", None]),
        ("bias", [False], [0, "no"]),
        ("mode", ["b"], [1, None]),
        ("window", [3, None], [1.5]),
        ("sizes", [5, (1, 2, 3), None, "any"], []),  # not annotated: its constructor judges
    ],
)
def test_options_are_checked_by_their_annotations(option, good, bad):
    told = own_card("my_ops:Plain").options[option]
    assert [told.problem(value) for value in good] == [None] * len(good)
    for value in bad:
        assert told.describe() in told.problem(value)
    assert told.help


def test_a_first_argument_without_default_is_the_channels():
    card = own_card("my_ops:Dim", inputs=["B N C"])
    assert list(card.options) == ["depth"]
    assert card.defaults == {}
    message, hint = refused(lambda: card.load()(16))
    assert "depth" in message and "--set depth=VALUE" in hint
    op = card.load()(16, depth=2)
    assert op.fc.in_features == 16
    (x,) = card.example(2, 16, (3, 4, 5))
    assert x.shape == (2, 60, 16)
    try_out(card, op, [x])


def test_a_class_that_takes_nothing_and_two_inputs():
    card = own_card("my_ops:Bare", inputs=["B C H W", "1, C, 1, 7"])
    assert not card.takes_channels
    op = card.load()(16)
    x, y = card.example(2, 16, (1, 4, 7))
    assert [x.shape, y.shape] == [(2, 16, 4, 7), (1, 16, 1, 7)]
    try_out(card, op, [x, y])


def test_frames_are_there_where_an_input_has_them():
    assert own_card("my_ops:Plain").layer[1] > 1
    assert own_card("my_ops:Bare", inputs=["B C H W", "B C H W"]).layer[1] == 1


def test_examples_follow_the_generator():
    card = own_card("my_ops:Plain")
    a, b = (card.example(1, 4, (1, 2, 2), torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(a, b)


def test_a_function_that_makes_a_module():
    card = own_card("my_ops:factory", inputs=["B C H W"])
    assert isinstance(card.load()(8, kernel=1), nn.Conv2d)
    assert card.options["kernel"].problem("x")


def test_a_class_in_a_package_of_the_working_folder():
    assert own_card("my_lab.blocks:Block").load()(4).training


def test_a_class_of_an_installed_library():
    card = own_card("torch.nn:LayerNorm", inputs=["B N C"])
    op = card.load()(12)
    try_out(card, op, card.example(2, 12, (1, 3, 3)))


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("my_ops.Plain", "names no class", "did you mean my_ops:Plain?"),
        ("Plain", "names no class", "package.module:Class"),
        (":Plain", "names no class", "package.module:Class"),
        ("my_ops:", "names no class", "package.module:Class"),
        ("my_opps:Plain", "no module named 'my_opps'", "did you mean my_ops?"),
        ("nowhere_at_all:Plain", "no module named", "sys.path"),
        ("my_lab.block:Block", "no module named 'my_lab.block'", "did you mean my_lab.blocks?"),
        ("my_ops.deeper:Block", "no module named", "sys.path"),
        ("my_ops.py:Plain", "my_ops.py is a file", "my_ops:Class"),
        ("my_lab/blocks.py:Block", "is a file", "my_lab.blocks:Class"),
        ("my_ops:Plane", "my_ops has no 'Plane'", "did you mean my_ops:Plain?"),
        ("my_lab.blocks:Xyz", "has no 'Xyz'", "modules there: Block"),
        ("my_ops:NoModule", "is not an nn.Module", "class of nn.Module"),
        ("my_ops:made", "made already", "class"),
        ("my_ops:NUMBER", "is int", "package.module:Class"),
        ("my_lab.needy:Block", "a_library_that_is_not_there", "install"),
        ("my_lab.broken:Block", "ZeroDivisionError: division by zero", "python -c 'import my_lab.broken'"),
    ],
)
def test_names_that_are_wrong(spec, message, hint):
    told, advice = refused(lambda: own_card(spec))
    assert message in told
    assert hint in advice


@pytest.mark.parametrize("text", ["B C X", "", "B C 0", "BCHW", "B -1"])
def test_shapes_that_are_wrong(text):
    message, hint = refused(lambda: own_card("my_ops:Plain", inputs=[text]))
    assert "--input" in message
    assert "B C T H W" in hint


def test_a_constructor_that_raises():
    message, hint = refused(lambda: own_card("my_ops:Plain").load()(16, heads=9))
    assert message == "Plain(16, heads=9) raises ValueError: too many heads"
    assert "--set" in hint
    assert "not an nn.Module" in refused(lambda: own_card("my_ops:wrong").load()(16))[0]


def test_inputs_that_the_module_refuses():
    card = own_card("my_ops:Fixed", inputs=["B C H W"])
    op = card.load()(64)
    message, hint = refused(lambda: try_out(card, op, card.example(1, 64, (1, 8, 8))))
    assert "(1, 64, 8, 8)" in message and "32 channels" in message
    assert '"B C H W"' in hint and "--input" in hint and "--channels" in hint
    try_out(card, op, card.example(1, 32, (1, 8, 8)))
    assert op.training
    card = own_card("my_ops:Bare")
    assert "argument: 'y'" in refused(lambda: try_out(card, card.load()(4), card.example(1, 4, (1, 2, 2))))[0]


def test_outputs_that_are_no_tensor():
    card = own_card("my_ops:Pair")
    message, hint = refused(lambda: try_out(card, card.load()(4), card.example(1, 4, (1, 2, 2))))
    assert "gives tuple" in message and "wrap" in hint


def test_the_working_folder_is_looked_in_as_python_m_does(folder):
    """From a script elsewhere, whose own folder stands first on the path."""
    source = "from vidops_cli.own.card import own_card; own_card('my_ops:Plain')"
    script = folder / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(source)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
