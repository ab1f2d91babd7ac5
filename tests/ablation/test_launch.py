"""Cells as real processes, killed and doubled; what they run is a fake."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

import pytest
from fakes import KINDS, STARTED, TEXT, finish, grid

from vidops_cli.ablation import attempt, launch
from vidops_cli.ablation.grid import Cell
from vidops_cli.ablation.launch import failure, gpus, run_cells
from vidops_cli.ablation.store import Store
from vidops_cli.cli.common import known
from vidops_cli.recipe import load

TWENTY = TEXT.replace("[0, 1]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]").replace("    - name: slow", "    - name: other")
TWENTY = TWENTY[: TWENTY.index("    - name: other")]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def until(told, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# --- one launcher -----------------------------------------------------------------------------------------------------


def test_finished_cells_are_reported(tmp_path, store, fake):
    found = grid(tmp_path)
    codes = run_cells(found, store, jobs=3, device="cpu")
    assert codes == {cell.key: 0 for cell in found}
    assert fake.starts() == {cell.key: 1 for cell in found}
    assert all(store.summary(cell)["metrics"]["n"] == 16 for cell in found)
    assert len(store.rows(found)) == 30
    assert run_cells(found, store, jobs=3, device="cpu") == codes
    assert fake.starts().total() == 6


def test_a_failed_cell_does_not_stop_the_others(tmp_path, store, fake):
    found = grid(tmp_path)
    fake.set(FAKE_FAILS=f"{found[0].key} {found[3].key}")
    codes = run_cells(found, store, jobs=2, device="cpu")
    assert [codes[cell.key] for cell in found] == [3, 0, 0, 3, 0, 0]
    assert [store.state(cell) for cell in found] == ["failed", "finished", "finished", "failed", "finished", "finished"]
    assert store.failed(found) == [found[0], found[3]]
    assert failure(store.folder(found[0])) == "error: it failed"
    fake.set(FAKE_FAILS="")
    assert set(run_cells(found, store, jobs=2, device="cpu").values()) == {0}
    assert fake.starts() == {cell.key: 2 if cell in (found[0], found[3]) else 1 for cell in found}
    assert store.failed(found) == []


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_no_more_jobs_than_allowed(tmp_path, store, fake, jobs):
    fake.set(FAKE_SECONDS=0.3)
    found = grid(tmp_path)[:4]
    seen = []

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        seen.append(len(running))
        assert len(running) + len(codes) + len(waiting) == 4

    codes = run_cells(found, store, jobs=jobs, device="cpu", watch=watch)
    assert len(codes) == 4
    assert max(seen) == jobs
    assert seen[-1] == 0


def test_an_interrupt_lets_the_children_save(tmp_path, store, fake):
    fake.set(FAKE_SECONDS=30)
    found = grid(tmp_path)[:2]

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        if fake.starts().total() == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(found, store, jobs=2, device="cpu", watch=watch)
    assert sorted(key for key, *_ in fake.notes("stopped")) == sorted(cell.key for cell in found)
    assert [attempt.last(store.folder(cell)).code for cell in found] == [attempt.INTERRUPTED[0]] * 2
    assert store.failed(found) == []
    assert [store.state(cell) for cell in found] == ["to run", "to run"]


def test_nothing_starts_where_data_are_lacking(tmp_path, store, fake):
    from vidops_cli.ablation.grid import cells
    from vidops_cli.cli.common import known
    from vidops_cli.recipe import load

    (tmp_path / "recipe.yaml").write_text(TEXT.replace("train.optimizer.lr: 1e-4", "data.root: elsewhere"))

    def fingerprint(told) -> str:
        if told.data.root == "elsewhere":
            raise ValueError("no such folder of videos: elsewhere", "get them")
        return "data"

    text = TEXT.replace("train.optimizer.lr: 1e-4", "data.root: elsewhere\n        train.epochs: 3")
    (tmp_path / "recipe.yaml").write_text(text)
    found = cells(load(tmp_path / "recipe.yaml", known()), known(), fingerprint)
    assert [bool(cell.lacking) for cell in found] == [False] * 4 + [True] * 2
    assert store.state(found[4]) == "data not there"
    with pytest.raises(ValueError, match="no such folder of videos: elsewhere") as error:
        run_cells(found, store, jobs=2, device="cpu")
    assert error.value.args[1] == "get them"
    assert not store.root.exists()
    assert set(run_cells(found[:4], store, jobs=4, device="cpu").values()) == {0}


def test_nothing_starts_in_a_store_that_cannot_be_written(tmp_path, fake):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written") as error:
        run_cells(grid(tmp_path), Store(tmp_path / "file" / "store"), jobs=2, device="cpu")
    assert "--store" in error.value.args[1]
    assert fake.starts().total() == 0


# --- kinds ------------------------------------------------------------------------------------------------------------


def test_an_eval_cell_waits_for_its_weights(tmp_path, store, fake):
    found = grid(tmp_path, KINDS)
    found = [*found[6:8], found[8], *found[:6]]  # eval cells first, then profile
    assert [cell.kind for cell in found[:3]] == ["eval", "eval", "profile"]
    codes = run_cells(found, store, jobs=4, device="cpu")
    assert codes == {cell.key: 0 for cell in found}
    order = [key for key, *_ in fake.notes("start")]
    ended = [key for key, *_ in fake.notes("end")]
    for cell in found[:2]:
        weights = next(other for other in found if other.key == cell.of)
        assert (weights.row, weights.seed) == ("shift", cell.seed)
        assert order.index(cell.key) > 0 and ended.index(cell.of) < ended.index(cell.key)
    verbs = {key: verb for key, _, _, verb in fake.notes("start")}
    assert [verbs[cell.key] for cell in found] == [cell.kind for cell in found]
    assert (store.folder(found[2]) / "profile.json").exists()


def test_an_eval_cell_fails_with_the_one_it_tests(tmp_path, store, fake):
    found = grid(tmp_path, KINDS)[2:8:2]  # seed 0 of shift, slow, reversed
    fake.set(FAKE_FAILS=found[0].key)
    codes = run_cells(found, store, jobs=4, device="cpu")
    assert [codes[cell.key] for cell in found] == [3, 0, 1]
    told = f"error: the cell whose weights it takes, {found[0].key}, has not finished"
    assert failure(store.folder(found[2])) == told
    assert run_cells(found[2:], store, jobs=1, device="cpu") == {found[2].key: 1}
    assert fake.starts() == {found[0].key: 1, found[1].key: 1}
    fake.set(FAKE_FAILS="")
    assert set(run_cells(found, store, jobs=4, device="cpu").values()) == {0}


def test_a_cell_waits_for_the_weights_it_starts_from(tmp_path, store, fake):
    found = grid(tmp_path, STARTED)
    fake.set(FAKE_FAILS=found[2].key)
    codes = run_cells(found[::-1], store, jobs=4, device="cpu")
    assert [codes[cell.key] for cell in found] == [0, 0, 3, 0, 0, 0, 1, 0, 1, 0]
    ended = [key for key, *_ in fake.notes("end")]
    assert ended.index(found[3].key) < ended.index(found[7].key) < ended.index(found[9].key)
    for cell, of in ((found[7], found[3]), (found[9], found[7])):
        told = load(store.folder(cell) / "cell.yaml", known())
        assert told.model.weights == {"layers": str(store.folder(of) / "last.pt")}
    assert failure(store.folder(found[6])).startswith(f"error: the cell whose weights it takes, {found[2].key}")


def test_the_words_of_each_kind(tmp_path, store):
    found = grid(tmp_path, KINDS, "data.classes=174")
    for cell, words in (
        (found[0], "train {0}/cell.yaml --out {0} --device cuda"),
        (found[6], "eval {0}/cell.yaml --checkpoint {1}/last.pt --out {0} --other-network --device cuda"),
        (found[8], "profile {0}/cell.yaml --depth 0 --out {0}/profile.json --classes 174 --device cuda"),
    ):
        of = store.root / "cells" / str(cell.of)
        told = " ".join(launch.command(cell, store, "cuda"))
        assert told.endswith(" vidops_cli " + words.format(store.folder(cell), of))
    told = [launch.command(cell, store, "cpu", ("tensorboard", "wandb")) for cell in (found[0], found[6], found[8])]
    assert ["--track tensorboard,wandb" in " ".join(words) for words in told] == [True, False, False]
    told = [launch.command(cell, store, "cuda", nproc=4) for cell in (found[0], found[6], found[8])]
    assert ["--nproc 4" in " ".join(words) for words in told] == [True, False, False]
    best = grid(tmp_path, KINDS, "train.checkpoint=best")
    assert f"{best[6].of}/best.pt" in " ".join(launch.command(best[6], store, "cpu"))


# --- GPUs -------------------------------------------------------------------------------------------------------------


def test_each_running_cell_has_a_gpu_of_its_own(tmp_path, store, fake):
    fake.set(CUDA_VISIBLE_DEVICES="3,5,7", FAKE_SECONDS=0.3)
    found = grid(tmp_path)

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        used = [attempt.last(store.folder(cell)) for cell in running]
        used = [told.told["gpu"] for told in used if told is not None and told.alive]
        assert len(used) == len(set(used))

    run_cells(found, store, jobs=2, device="cuda", watch=watch)
    assert {place for _, _, place, _ in fake.notes("start")} == {"3", "5"}
    with pytest.raises(ValueError, match="--jobs 4 asks for a GPU each, and 3 can be seen") as error:
        run_cells(found, store, jobs=4, device="cuda")
    assert "--jobs 3" in error.value.args[1]


def test_one_cell_at_a_time_sees_all_gpus(tmp_path, store, fake):
    fake.set(CUDA_VISIBLE_DEVICES="3,5")
    run_cells(grid(tmp_path)[:1], store, jobs=1, device="cuda")
    assert [place for _, _, place, _ in fake.notes("start")] == ["3,5"]


def test_which_gpus_can_be_seen(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: one'\necho '  MIG'\necho 'GPU 1: two'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-ab, 2")
    assert gpus() == ["GPU-ab", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
    assert launch.Local().places(3, "cuda") == [None] * 3


# --- two launchers, and dead ones -------------------------------------------------------------------------------------


def test_a_launcher_waits_for_what_another_runs_and_takes_its_result(tmp_path, store, fake):
    """The first is killed: its child goes on, and is not started twice."""
    fake.set(FAKE_SECONDS=1.0)
    found = grid(tmp_path)[:1]
    first = fake.controller(TEXT[: TEXT.index("    - name: shift")].replace("[0, 1]", "[0]"), jobs=1)
    until(lambda: fake.starts().total())
    kill(first.pid)
    first.wait()
    assert store.state(found[0]) == "running"
    seen = []

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        seen.extend(running)

    assert run_cells(found, store, jobs=1, device="cpu", watch=watch) == {found[0].key: 0}
    assert seen[0] == found[0]
    assert fake.starts() == {found[0].key: 1}


@pytest.mark.parametrize("how", ["killed", "stopped", "failed"])
def test_what_becomes_of_a_cell_that_ends_elsewhere(tmp_path, store, fake, how):
    """Killed or stopped it is taken over; what failed has failed."""
    found = grid(tmp_path)[:1]
    fake.set(FAKE_SECONDS=0.7, FAKE_FAILS=found[0].key)
    first = fake.controller(TEXT[: TEXT.index("    - name: shift")].replace("[0, 1]", "[0]"), jobs=1)
    until(lambda: fake.starts().total())
    kill(first.pid)
    first.wait()
    fake.set(FAKE_FAILS="")

    ended: list[int] = []

    def watch(running: list[Cell], codes: dict[str, int], waiting: list[Cell]) -> None:
        if how != "failed" and not ended:  # once: what takes over may not have told of its start yet
            ended.append(1)
            pid = attempt.last(store.folder(found[0])).told["pid"]
            os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGTERM)
            until(lambda: not attempt.last(store.folder(found[0])).alive)

    codes = run_cells(found, store, jobs=1, device="cpu", watch=watch)
    assert codes == {found[0].key: 3 if how == "failed" else 0}
    assert fake.starts() == {found[0].key: 1 if how == "failed" else 2}
    assert fake.notes("overlap") == []


def test_a_cell_that_runs_elsewhere_on_this_machine_takes_a_place(tmp_path, store, fake):
    fake.set(FAKE_SECONDS=1.0)
    found = grid(tmp_path)[:3]
    first = fake.controller(TEXT[: TEXT.index("    - name: shift")].replace("[0, 1]", "[0]"), jobs=1)
    until(lambda: fake.starts().total())
    kill(first.pid)
    first.wait()
    seen = []
    fake.set(FAKE_SECONDS=0.1)
    run_cells(found, store, jobs=2, device="cpu", watch=lambda running, *_: seen.append(len(running)))
    assert max(seen) == 2
    assert fake.starts() == {cell.key: 1 for cell in found}


def test_two_launchers_at_once_run_every_cell_once(tmp_path, store, fake):
    fake.set(FAKE_SECONDS=0.1)
    both = [fake.controller(TWENTY, jobs=3) for _ in range(2)]
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    found = grid(tmp_path, TWENTY)
    assert fake.starts() == {cell.key: 1 for cell in found}
    assert len(found) == 20


def test_a_sweep_that_is_killed_ten_times(tmp_path, store, fake):
    """The launcher, and at random its children, are killed outright: no cell is lost, none that has finished is run."""
    fake.set(FAKE_SECONDS=0.3)
    found = grid(tmp_path, TWENTY)
    chance = random.Random(0)
    for _ in range(10):
        before = fake.starts().total()
        launcher = fake.controller(TWENTY)
        until(lambda before=before: fake.starts().total() > before)
        time.sleep(chance.uniform(0, 0.3))
        assert launcher.poll() is None
        kill(launcher.pid)
        launcher.wait()
        for cell in found:
            latest = attempt.last(store.folder(cell))
            if latest is not None and latest.alive and chance.random() < 0.5:
                kill(latest.told["pid"])
    assert 0 < sum(store.finished(cell) for cell in found) < 20
    assert fake.controller(TWENTY).wait(timeout=60) == 0
    assert len({cell.key for cell in found if store.summary(cell)["metrics"]["n"] == 16}) == 20
    assert fake.starts().total() > 20  # some were killed
    assert fake.notes("repeat") == fake.notes("overlap") == []
    ended = [key for key, *_ in fake.notes("end")]
    assert sorted(ended) == sorted(cell.key for cell in found)


def test_a_cell_that_finishes_while_another_process_takes_it_is_not_run(tmp_path, store, fake):
    """The launcher looks, the other finishes, the child looks again."""
    cell = grid(tmp_path)[0]
    folder = store.folder(cell)

    class Late(launch.Local):
        def start(self, commands):
            finish(store, cell)
            return super().start(commands)

    assert run_cells([cell], store, jobs=1, device="cpu", launcher=Late()) == {cell.key: 0}
    assert fake.starts().total() == 0
    assert attempt.last(folder).code == 0


# --- what is told of a failure ----------------------------------------------------------------------------------------


def test_what_is_told_of_a_failure(tmp_path):
    assert failure(tmp_path) == "no output"
    (tmp_path / "log.txt").write_bytes(b"epoch 1\nTraceback\nKeyError: \xff\n\n")
    assert failure(tmp_path).startswith("KeyError")
    (tmp_path / "log.txt").write_text("error: first\nhint: x\nerror: second\nhint: y\n")
    assert failure(tmp_path) == "error: second"
