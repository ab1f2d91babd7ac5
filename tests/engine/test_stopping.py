"""A run is asked to leave: where it does, and that it goes on as if it had not."""

import signal
import time

import pytest
import torch

from vidops_cli.data.clips import Clips
from vidops_cli.engine import checkpoint, loop
from vidops_cli.engine.stopping import Left, Stop
from vidops_cli.engine.tasks import Classification
from vidops_cli.engine.train import train
from vidops_cli.record import read_lines


def same(a, b):
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_who_is_asked_leaves_at_once_only_where_nothing_is_lost():
    stop = Stop()
    with pytest.raises(Left), stop.at_once():
        stop.ask()
    with pytest.raises(Left), stop.at_once():
        raise AssertionError("not reached: it was asked before")
    stop = Stop()
    stop.ask()  # not amid a step
    assert stop()
    stop = Stop()
    with pytest.raises(RuntimeError, match="its own"), stop.at_once():
        raise RuntimeError("its own")
    with pytest.raises(Left), stop.at_once():
        stop.asked = True
        raise RuntimeError("Connection closed by peer")


@pytest.mark.parametrize("phase", ["decoding train", "validating", "testing"])
def test_a_run_that_is_left_in_any_phase_goes_on_exactly(recipe, tmp_path, phase):
    """At once, not at its end: what follows in the phase is done when the run goes on."""
    told, stop, after = recipe("data.cache=memory", "train.ema=0.5"), Stop(), []
    whole = train(told, tmp_path / "whole", device="cpu")

    def report(status):
        if stop.asked:
            after.append(status)
        elif status["phase"] == phase:
            stop.ask()

    assert train(told, tmp_path / "cut", device="cpu", report=report, stop=stop) is None
    assert not after
    assert train(told, tmp_path / "cut", device="cpu")["metrics"] == whole["metrics"]
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert same(a["model"], b["model"]) and same(a["mean"], b["mean"])
    assert read_lines(tmp_path / "whole" / "metrics.jsonl") == read_lines(tmp_path / "cut" / "metrics.jsonl")


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_a_long_step_is_left_amid_and_taken_anew(recipe, tmp_path, monkeypatch, phase):
    """Running statistics and random numbers are as before it; of its backward pass the rest is not waited for."""
    told, stop, calls = recipe("train.recalibrate_bn=0"), Stop(), []
    whole = train(told, tmp_path / "whole", device="cpu")
    loss = Classification.loss

    def slow(task, model, batch):
        found, logs = loss(task, model, batch)
        calls.append(model)
        if len(calls) == 3 and phase == "forward":
            stop.ask()
        if len(calls) == 3 and phase == "backward":  # a second or so, without a line of Python
            found = found + (torch.ones(2000, 2000, requires_grad=True) @ torch.ones(2000, 2000)).sum()
            signal.setitimer(signal.ITIMER_REAL, 0.02)
        return found, logs

    monkeypatch.setattr(Classification, "loss", slow)
    monkeypatch.setattr(loop, "LONG", 0.0)
    before = signal.signal(signal.SIGALRM, lambda *_: stop.ask())
    try:
        assert train(told, tmp_path / "cut", device="cpu", stop=stop) is None
    finally:
        signal.signal(signal.SIGALRM, before)
    assert checkpoint.load(tmp_path / "cut" / "last.pt")["step"] == 2
    assert any(each.grad is None for each in calls[2].parameters())
    monkeypatch.setattr(Classification, "loss", loss)
    assert train(told, tmp_path / "cut", device="cpu")["metrics"] == whole["metrics"]
    a, b = (checkpoint.load(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    assert same(a["model"], b["model"]) and torch.equal(a["rng"][0], b["rng"][0])


def test_who_waits_for_a_batch_leaves_at_once(recipe, tmp_path, monkeypatch):
    """A clip that takes for ever stands for a disk that does not answer; the run goes on with the same step."""
    read, stop = Clips.__getitem__, Stop()
    monkeypatch.setattr(Clips, "__getitem__", lambda clips, key: time.sleep(60) if clips.train else read(clips, key))
    wait, began = loop._next, []

    def waits(*given):
        began.append(time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, 1)
        return wait(*given)

    monkeypatch.setattr(loop, "_next", waits)
    before = signal.signal(signal.SIGALRM, lambda *_: stop.ask())
    try:
        assert train(recipe("data.workers=1"), tmp_path / "run", device="cpu", stop=stop) is None
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(began) == 1 and 1 <= time.monotonic() - began[0] < 12
    assert checkpoint.load(tmp_path / "run" / "last.pt")["step"] == 0
