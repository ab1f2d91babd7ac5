"""What stands in the plot of claims."""

import pytest

from vidops_cli.report import intervals

HELD = {"table": "rsa", "claim": "it helps", "verdict": "held", "effect": 4.0, "low": 1.0, "high": 7.0, "least": 0.5}
ALONE = {**HELD, "claim": "one seed", "verdict": "undecided", "low": None, "high": None}
COST = {**HELD, "claim": "it is free", "least": None, "most": 2.0}
UNRUN = {**HELD, "claim": "later", "verdict": "not run", "effect": None}


def test_effects_with_their_intervals(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.errorbar", lambda self, *at, **how: drawn.append((*at, how)))
    intervals.claims_plot([HELD, COST, ALONE, UNRUN], tmp_path / "plot.svg")
    (effect, line, how), (other, below, alone) = drawn
    assert (effect, line, how["xerr"], how["color"]) == (4.0, 0, [[3.0], [3.0]], intervals.COLOURS["held"])
    assert (other, below, alone["xerr"], alone["color"]) == (4.0, 1, None, intervals.COLOURS["undecided"])


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_claims_give_the_same_file(tmp_path, suffix):
    for name in ("a", "b"):
        intervals.claims_plot([HELD, ALONE], tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    with pytest.raises(ValueError, match="no claim on accuracy"):
        intervals.claims_plot([COST, UNRUN], tmp_path / f"none.{suffix}")
