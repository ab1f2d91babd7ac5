import io
import random

import pytest
from rich.console import Console

from vidops_cli.report.table import _Grid


def printed(thing, *, encoding: str, color: bool) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=file, width=1000, force_terminal=color, color_system="standard" if color else None).print(thing)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize(("encoding", "letters"), [("utf-8", "abc é±視 -xyz,"), ("ascii", "abcdefg -xyz,")])
def test_a_grid_is_that_of_rich(encoding, letters):
    """Character for character: cells to be broken, wide letters, heads of several lines, no rows."""
    rng = random.Random(0)

    def word() -> str:
        return "".join(rng.choice(letters) for _ in range(rng.choice([0, 1, 8, 20, 40, 60])))

    broken = 0
    for _ in range(100):
        columns = rng.randint(1, 6)
        head, *body = [[word() or "x" for _ in range(columns)] for _ in range(rng.randint(1, 6))]
        grid = _Grid(head, body, numeric=rng.random() < 0.7)
        ours, theirs = (printed(thing, encoding=encoding, color=False) for thing in (grid, grid._flowing()))
        assert ours == theirs
        broken += len(ours.splitlines()) > len(body) + 4
    assert broken > 20


def test_heads_are_bold_on_a_terminal():
    told = printed(_Grid(["name", "value"], [["a", "1"]], numeric=True), encoding="utf-8", color=True)
    assert told.count("\x1b[1m") == 2 and "a    │     1" in told
