"""Cells as jobs: submitit's local executor, and a Slurm whose commands are small scripts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from fakes import grid

from vidops_cli.ablation import attempt
from vidops_cli.ablation.launch import failure, run_cells
from vidops_cli.ablation.slurm import Cluster, Slurm, Work, load_cluster
from vidops_cli.ablation.store import Store
from vidops_cli.recipe import RecipeError

pytest.importorskip("submitit")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


LOCAL = Cluster(cluster="local", hours=0.1, gpus=0)


def test_cells_as_jobs_of_the_local_executor(tmp_path, store, fake):
    found = grid(tmp_path)[:3]
    fake.set(FAKE_FAILS=found[1].key)
    codes = run_cells(found, store, jobs=3, device="cpu", launcher=Slurm(LOCAL, store.root))
    assert [codes[cell.key] for cell in found] == [0, 3, 0]
    assert failure(store.folder(found[1])) == "error: it failed"
    assert [store.finished(cell) for cell in found] == [True, False, True]
    assert fake.starts() == {cell.key: 1 for cell in found}
    fake.set(FAKE_FAILS="")
    assert set(run_cells(found, store, jobs=3, device="cpu", launcher=Slurm(LOCAL, store.root)).values()) == {0}
    assert fake.starts().total() == 4


def test_setup_runs_before_a_job(tmp_path, store, fake):
    cluster = LOCAL.model_copy(update={"setup": ["export CUDA_VISIBLE_DEVICES=set"]})
    found = grid(tmp_path)[:1]
    run_cells(found, store, jobs=1, device="cpu", launcher=Slurm(cluster, store.root))
    assert [place for _, _, place, _ in fake.notes("start")] == ["set"]


def test_a_job_whose_time_is_over_saves_and_is_queued_again(tmp_path, store, fake):
    import threading
    import time

    fake.set(FAKE_SECONDS=30)
    folder = tmp_path / "cell"
    folder.mkdir()
    hold = [sys.executable, "-m", "vidops_cli.ablation.hold", str(folder), "summary.json", "fake_vidops"]
    work = Work([*hold, "train", "--out", str(folder)], folder / "log.txt")
    thread = threading.Thread(target=work)
    thread.start()
    while not fake.starts().total():
        time.sleep(0.02)
    again = work.checkpoint()
    thread.join()
    assert fake.notes("stopped")
    assert attempt.last(folder).code in attempt.INTERRUPTED
    fake.set(FAKE_SECONDS=0)
    assert again.function() == 0
    assert (folder / "summary.json").exists()


# --- a Slurm of scripts -----------------------------------------------------------------------------------------------

SBATCH = """
import os, pathlib, re, subprocess, sys
place = pathlib.Path(__file__).parent
text = pathlib.Path(sys.argv[1]).read_text()
number = 1 + sum(1 for _ in open(place / "jobs")) if (place / "jobs").exists() else 1
array = re.search("--array=['\\"]?0-([0-9]+)", text)
(place / f"{number}.sh").write_text(text)
with open(place / "jobs", "a") as jobs:
    jobs.write(f"{number}\\n")
for i in range(int(array[1]) + 1 if array else 1):
    name = f"{number}_{i}" if array else str(number)
    (place / f"{name}.state").write_text("PENDING")
    env = {**os.environ, "SLURM_JOB_ID": name, "SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0",
           "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_JOB_NODELIST": "node1"}
    if array:
        env |= {"SLURM_ARRAY_JOB_ID": str(number), "SLURM_ARRAY_TASK_ID": str(i)}
    wait = f"sleep {os.environ['QUEUE']}; echo RUNNING > {place}/{name}.state; "
    script = wait + f"bash {place}/{number}.sh; echo COMPLETED > {place}/{name}.state"
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(["bash", "-c", script], env=env, start_new_session=True, **quiet)
print("Submitted batch job", number)
"""
SRUN = """
import os, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[1:] if words[0] == "--unbuffered" else words[2:]
os.execvp(words[0], words)
"""
SACCT = """
import pathlib
print("JobID|State|NodeList")
for path in pathlib.Path(__file__).parent.glob("*.state"):
    print(path.stem, path.read_text().strip(), "node1", sep="|")
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder of commands in which jobs start after QUEUE seconds."""
    place = tmp_path / "slurm"
    place.mkdir()
    for name, source in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (place / name).write_text(f"#!{sys.executable} -S\n{source}")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=":")
    monkeypatch.setenv("QUEUE", "0")
    return place


ASKED = Cluster(
    partition="gpu", account="lab", hours=1.5, gpus=2, cpus=6, memory=32, parallel=5, setup=["module load cuda"]
)


def test_jobs_are_one_array_that_asks_for_what_the_file_says(tmp_path, store, fake, cluster):
    found = grid(tmp_path)
    (cluster / "module").write_text("#!/bin/sh\n")
    (cluster / "module").chmod(0o755)
    codes = run_cells(found, store, jobs=6, device="cpu", launcher=Slurm(ASKED, store.root))
    assert codes == {cell.key: 0 for cell in found}
    assert fake.starts() == {cell.key: 1 for cell in found}
    assert (cluster / "jobs").read_text() == "1\n"
    script = (cluster / "1.sh").read_text()
    asked = ["array=0-5%5", "partition=gpu", "account=lab", "time=90", "gpus-per-node=2", "cpus-per-task=6", "mem=32GB"]
    for words in asked:
        assert f"#SBATCH --{words}\n" in script
    assert "\nmodule load cuda\n" in script


def test_jobs_in_the_queue_are_found_by_the_next_launcher(tmp_path, store, fake, cluster, monkeypatch):
    monkeypatch.setenv("QUEUE", "2")
    found = grid(tmp_path)[:2]

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(found, store, jobs=2, device="cpu", launcher=Slurm(ASKED, store.root), watch=leave)
    assert fake.starts().total() == 0
    assert run_cells(found, store, jobs=2, device="cpu", launcher=Slurm(ASKED, store.root)) == {
        cell.key: 0 for cell in found
    }
    assert fake.starts() == {cell.key: 1 for cell in found}
    assert (cluster / "jobs").read_text() == "1\n"


def test_a_job_that_slurm_knows_no_more_is_submitted_again(tmp_path, store, fake, cluster):
    found = grid(tmp_path)[:1]
    store.folder(found[0]).mkdir(parents=True)
    (store.folder(found[0]) / "submitted.json").write_text('{"job": "77", "cluster": "slurm"}')
    assert set(run_cells(found, store, jobs=1, device="cpu", launcher=Slurm(ASKED, store.root)).values()) == {0}


# --- a training on several machines -----------------------------------------------------------------------------------

PLACE = """
import os, pathlib, sys
names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_WORLD_SIZE")
pathlib.Path(sys.argv[1], os.environ["RANK"]).write_text(" ".join(os.environ[name] for name in names))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that notes its place among the processes in a folder."""
    (tmp_path / "noted").mkdir()
    (tmp_path / "tell_place.py").write_text(PLACE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ["tell_place", str(tmp_path / "noted")]


def noted(tmp_path, count):
    end = time.monotonic() + 90
    while len(found := sorted((tmp_path / "noted").iterdir())) < count and time.monotonic() < end:
        time.sleep(0.1)
    return {path.name: path.read_text() for path in found}


def test_a_job_starts_a_process_for_each_gpu(tmp_path, cluster, module):
    slurm = Slurm(ASKED.model_copy(update={"setup": []}), tmp_path / "run")
    assert slurm.submit(module, tmp_path / "run", 2) == "1"
    assert noted(tmp_path, 2) == {"0": "0 2 0 1", "1": "1 2 1 1"}
    script = (cluster / "1.sh").read_text()
    for words in ("nodes=1", "ntasks-per-node=1", "gpus-per-node=2"):
        assert f"#SBATCH --{words}\n" in script


def test_one_process_is_started_without_torchrun(tmp_path, monkeypatch):
    """Whose traceback would stand below what failed."""
    (tmp_path / "refused.py").write_text("import sys; sys.exit('error: not there')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    slurm, works = Slurm(LOCAL, tmp_path / "run"), []
    monkeypatch.setattr(slurm.executor, "submit", lambda work: works.append(work) or SimpleNamespace(job_id="1"))
    slurm.submit(["refused"], tmp_path / "run", 1)
    assert works[0]() == 1 and (tmp_path / "run/log.txt").read_text() == "error: not there\n"


def test_machines_of_a_job_meet(tmp_path, monkeypatch):
    """Two machines are two processes here, each told by Slurm's variables which one it is."""
    pytest.importorskip("submitit")
    (tmp_path / "noted").mkdir()
    (tmp_path / "tell_place.py").write_text(PLACE)
    told = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "2", "SLURM_JOB_NUM_NODES": "2", "SLURM_LOCALID": "0"}
    told |= {"SLURM_JOB_NODELIST": "localhost", "PYTHONPATH": str(tmp_path), "SUBMITIT_EXECUTOR": "slurm"}
    text = (
        "import sys; from pathlib import Path; from vidops_cli.ablation.slurm import Work; "
        f"sys.exit(Work(['tell_place', {str(tmp_path / 'noted')!r}], Path({str(tmp_path)!r}) / 'log', 2, 2)())"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", text], env={**os.environ, **told, "SLURM_NODEID": i, "SLURM_PROCID": i})
        for i in "01"
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0], (tmp_path / "log").read_text()
    found = noted(tmp_path, 4)
    assert sorted(found) == ["0", "1", "2", "3"] and {text.split()[1] for text in found.values()} == {"4"}
    assert {text.split()[3] for text in found.values()} == {"2"}


def test_a_job_that_waits_is_not_submitted_twice(tmp_path, cluster, module, monkeypatch):
    monkeypatch.setenv("QUEUE", "30")
    for _ in range(2):
        slurm = Slurm(ASKED, tmp_path / "run")
        if not (cluster / "jobs").exists():
            slurm.submit(module, tmp_path / "run", 2)
        else:
            with pytest.raises(ValueError, match=r"job 1 of .*run is pending") as error:
                slurm.submit(module, tmp_path / "run", 2)
            assert "scancel" in error.value.args[1]
    assert (cluster / "jobs").read_text() == "1\n"


def test_a_cell_is_of_one_machine(tmp_path, store, fake, cluster):
    asked = ASKED.model_copy(update={"nodes": 2})
    with pytest.raises(ValueError, match="a cell of a table runs on one machine"):
        run_cells(grid(tmp_path)[:1], store, jobs=1, device="cpu", launcher=Slurm(asked, store.root))


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_file_of_a_cluster(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("partition: gpu\nhours: 12\nsetup: [module load cuda]\n")
    assert load_cluster(path) == Cluster(partition="gpu", hours=12, setup=["module load cuda"])


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("hours: 1\npartitoin: gpu\n", "cluster.yaml:2: unknown key 'partitoin'", "did you mean 'partition'?"),
        ("hours: 1\ngpus: many\n", "cluster.yaml:2: gpus: expected a valid integer, got 'many'", "keys: cluster"),
        ("partition: gpu\n", "'hours' is missing", "add hours"),
        ("hours: 1\nhours: 2\n", "cluster.yaml:2", ""),
        ("", "is empty", "slurm.py"),
        ("- 1\n", "not keys and values", "slurm.py"),
    ],
)
def test_bad_files_of_a_cluster(tmp_path, text, told, hint):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load_cluster(path)
    assert told in error.value.args[0]
    assert hint in error.value.args[1]


def test_all_problems_of_a_file_are_told(tmp_path):
    (tmp_path / "cluster.yaml").write_text("hours: 0\ncpus: 0\nmore: 1\n")
    with pytest.raises(RecipeError) as error:
        load_cluster(tmp_path / "cluster.yaml")
    assert len(error.value.problems) == 3


def test_without_slurm_or_submitit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no sbatch here") as error:
        Slurm(ASKED, tmp_path)
    assert "cluster: local" in error.value.args[1]
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ValueError, match="needs submitit") as error:
        Slurm(LOCAL, tmp_path)
    assert error.value.args[1] == "pip install 'vidops[slurm]'"
