"""The sdist builds the wheel, and the wheel works where there is no checkout: recipes, cards and fixtures are in it."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from vidops_cli import __version__
from vidops_cli.ops import OPS

ROOT = Path(__file__).parent.parent
BUILD = "import setuptools.build_meta as it; it.build_{}({!r})"
RUN = """
import sys
from vidops_cli.cli import main
for words in {verbs!r}:
    sys.argv = ["vidops", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
import vidops_cli
print(vidops_cli.__file__)
"""


def build(what: str, source: Path, into: Path) -> Path:
    """As pip does it, without a network and without pip."""
    into.mkdir()
    command = [sys.executable, "-c", BUILD.format(what, str(into))]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = into.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of the sdist, that of the files here."""
    place = tmp_path_factory.mktemp("packaging")
    source = place / "source"
    shutil.copytree(ROOT / "vidops_cli", source / "vidops_cli", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "recipes", source / "recipes")
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, source)
    with tarfile.open(build("sdist", source, place / "sdist")) as archive:
        archive.extractall(place / "unpacked", filter="data")
    (unpacked,) = (place / "unpacked").iterdir()
    return build("wheel", unpacked, place / "wheel")


def test_what_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        (name,) = (each for each in inside if each.endswith(".dist-info/METADATA"))
        told = email.message_from_string(archive.read(name).decode())
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vidops_cli").rglob("*") if path.is_file()}
    here = {path for path in here if "__pycache__" not in path}
    recipes = {f"vidops_cli/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "recipes").rglob("*.yaml")}
    fixtures = {path for path in here if path.endswith((".safetensors", ".manifest.json"))}
    assert len(recipes) >= 132 and len(fixtures) >= 65 and "vidops_cli/py.typed" in here
    others = {path for path in inside if ".dist-info/" not in path}
    assert others == here | recipes | {"vidops_cli/CITATION.cff"}
    assert told["Name"] == "vidops" and told["License-Expression"] == "Apache-2.0" and told["Requires-Python"]
    assert set(told.get_all("Provides-Extra")) == {"plot", "gpu", "slurm", "tracking", "parity", "dev"}
    assert any(path.endswith("licenses/LICENSE") for path in inside)


def test_it_works_in_an_empty_folder(wheel, tmp_path):
    site, empty = tmp_path / "site", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    empty.mkdir()
    verbs = [
        ["list", "ops"],
        ["recipes", "show", "recipes/quickstart.yaml", "--row", "TSM"],
        ["recipes", "copy", "recipes/rsa/kernel.yaml", "mine.yaml"],
        ["validate", "recipes/quickstart.yaml", "recipes/profile/layers.yaml", "mine.yaml"],
        ["ablate", "recipes/quickstart.yaml", "--table"],
        ["verify", "--op", "tsm"],
    ]
    env = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", RUN.format(verbs=verbs)]
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(site / "vidops_cli/__init__.py")
    for word in ("motion_squeeze", "op: tsm", "written: mine.yaml", "mine.yaml: valid", "Quickstart", "pass"):
        assert word in done.stdout
    assert {path.name for path in empty.iterdir()} <= {"mine.yaml", "runs"}


PAPERS = ("lisa", "rsa", "scr", "selfy", "motion_squeeze", "integral_action", "sifa")


def test_the_citation_is_sound():
    """The keys that CFF 1.2.0 requires, our version, and a reference for each of the seven papers."""
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["cff-version"] == "1.2.0" and told["type"] == "software" and told["license"] == "Apache-2.0"
    assert all(told[key] for key in ("message", "title", "authors")) and told["version"] == __version__
    found = {each["url"].rpartition("/")[2]: each["title"] for each in told["references"]}
    assert found == {OPS[name].arxiv: OPS[name].paper for name in PAPERS}
    for each in told["references"]:
        assert each["type"] in ("article", "conference-paper") and each["year"]
        assert all(author["family-names"] and author["given-names"] for author in each["authors"])
