"""vidops doctor"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from vidops_cli.report.table import counted

from .common import Form, check_format, print_json, print_table

FINE, BUSY, ABSENT, BROKEN = "fine", "busy", "not there", "broken"
EXTRAS = {"matplotlib": "plot", "submitit": "slurm", "tensorboard": "tracking", "wandb": "tracking"}  # package: extra
ROOM = 2.0  # GiB that a demo takes at most


@dataclass(frozen=True)
class Found:
    """One thing looked at. `mend`: a command, or a page of docs/. What is not there is optional, what is broken not."""

    what: str
    state: str
    found: str
    mend: str = ""


def command(format: Form = "table") -> None:
    """Look whether this machine has what vidops needs and what it can use, and say how to mend what is missing.

    Exit code 1 if anything that is needed is broken. Data sets are looked for below datasets/.
    """
    from vidops_cli.report.table import Table

    check_format(format)
    found = [each for check in (_versions, _torch, _decoders, _machine, _extras, _data) for each in check()]
    if format == "json":
        print_json([asdict(each) for each in found])
    else:
        body = [[each.what, each.state, each.found, each.mend] for each in found]
        notes = [f"data sets are looked for from this folder: {Path.cwd()}"]
        print_table(Table("doctor", ["what", "state", "found", "how to mend"], body, notes, numeric=False))
    if any(each.state == BROKEN for each in found):
        raise typer.Exit(1)


def _versions() -> Iterator[Found]:
    from vidops_cli import __version__

    yield Found("vidops", FINE, __version__)
    yield Found("Python", FINE, platform.python_version())


def _torch() -> Iterator[Found]:
    try:
        import torch
    except Exception as error:  # a broken library raises whatever it likes
        yield Found("torch", BROKEN, _line(error), "pip install --force-reinstall torch")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Found("torch", FINE, f"{torch.__version__}, {counted(torch.get_num_threads(), 'thread')} on {cores} cores")
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            told = torch.cuda.get_device_properties(i)
            yield Found(
                f"GPU {i}", FINE, f"{told.name}, {told.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
            )
    elif torch.version.cuda is None:
        yield Found(
            "GPU", ABSENT, "this torch is built for CPUs", "install a CUDA build of torch: pytorch.org, Get Started"
        )
    else:
        yield Found("GPU", ABSENT, f"CUDA {torch.version.cuda}, and no GPU answers", "see what nvidia-smi says")
    if importlib.util.find_spec("triton") is None:
        yield Found("Triton", ABSENT, "pure PyTorch runs in its place", "comes with CUDA builds of torch")
    else:
        yield Found("Triton", FINE, importlib.metadata.version("triton"))
    compiler = next((name for name in (os.environ.get("CXX"), "g++", "clang++") if name and shutil.which(name)), None)
    if compiler:
        yield Found("C++ compiler", FINE, f"{compiler}, for train.compile")
    else:
        yield Found("C++ compiler", ABSENT, "train.compile needs one on a CPU", "install g++")


def _decoders() -> Iterator[Found]:
    """Each decoder reads a video that is written here."""
    import numpy as np

    try:
        from vidops_cli.data.video import VideoFile, has_decord, write_video
    except Exception as error:
        yield Found("decoders", BROKEN, _line(error), "pip install --force-reinstall numpy av")
        return
    shades = np.linspace(20, 220, 8).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shades.mp4"
        for backend, package in (("pyav", "av"), ("decord", "decord2")):
            if backend == "decord" and not has_decord():
                yield Found(backend, ABSENT, "PyAV reads in its place", f"pip install {package}, where a wheel is")
                continue
            try:
                if not path.exists():
                    write_video(path, shades[:, None, None, None].repeat(32, 1).repeat(32, 2).repeat(3, 3))
                read = VideoFile(path, backend=backend).read(np.arange(8)).mean(axis=(1, 2, 3))
                wrong = int((np.abs(read - shades) > 4).sum())
            except Exception as error:
                yield Found(backend, BROKEN, _line(error), f"pip install --force-reinstall {package}")
                continue
            if wrong:
                yield Found(
                    backend, BROKEN, f"{wrong} of 8 frames read wrong", f"pip install --force-reinstall {package}"
                )
            else:
                yield Found(backend, FINE, f"{package} {importlib.metadata.version(package)}, a video read exactly")


def _machine() -> Iterator[Found]:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    told = f"{load:.1f} on {cores} cores"
    if load > cores / 2:
        yield Found("load", BUSY, f"{told}: times measured now will be wrong", "wait, or see what runs: top")
    else:
        yield Found("load", FINE, told)
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    writable = os.access(Path.cwd(), os.W_OK)
    if not writable:
        yield Found("disk", BROKEN, "this folder cannot be written", "go to one that can: runs/ is made there")
    elif free < ROOM:
        yield Found("disk", BROKEN, f"{free:.1f} GiB free", f"make room: the demo takes up to {ROOM:.0f} GiB")
    else:
        yield Found("disk", FINE, f"{free:.0f} GiB free")
    shared = Path("/dev/shm")
    if shared.is_dir():
        room = shutil.disk_usage(shared).free / 2**30
        if room < 1:
            yield Found("shared memory", ABSENT, f"{room:.2f} GiB for data.workers", "docker run --shm-size 8g")
        else:
            yield Found("shared memory", FINE, f"{room:.0f} GiB for data.workers")
    if found := shutil.which("sbatch"):
        yield Found("Slurm", FINE, found)
    else:
        yield Found("Slurm", ABSENT, "no sbatch: --launcher slurm runs where jobs are submitted")


def _extras() -> Iterator[Found]:
    for package, extra in EXTRAS.items():
        try:
            yield Found(package, FINE, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Found(package, ABSENT, "optional", f"pip install 'vidops[{extra}]'")


def _data() -> Iterator[Found]:
    from vidops_cli.data import DATASETS

    for dataset in DATASETS.values():
        if not (dataset.generated or dataset.page):
            continue
        root = dataset.root
        if root.is_dir() and any(root.iterdir()):
            yield Found(dataset.name, FINE, str(root), f"is it whole: vidops data verify {dataset.name}")
        else:
            yield Found(dataset.name, ABSENT, str(root), dataset.how)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
