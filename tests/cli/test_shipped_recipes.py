"""vidops recipes, from a folder that holds none."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml
from terminal import ROOT, told_errors

from vidops_cli.cli.common import recipe_files
from vidops_cli.recipe.reading import find, shipped
from vidops_cli.recipe.shipped import names


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(vidops, *words):
    code, out, err = vidops(*words)
    assert (code, err) == (0, ""), (out, err)
    return out


def test_listed(vidops, monkeypatch):
    every = json.loads(said(vidops, "recipes", "--format", "json"))
    assert [told["recipe"] for told in every] == [path.as_posix() for path in names()]
    assert len(every) >= 104 and all(told["title"] for told in every)
    assert {"rows", "layers"} == {told["runs"].split()[1] for told in every}
    few = [path for path in names() if path.parts[1] in ("rsa", "selfy")]
    monkeypatch.setattr("vidops_cli.recipe.shipped.names", lambda: few)
    found = said(vidops, "recipes", "--find", "KERNEL", "--find", "rsa/")
    assert "recipes/rsa/kernel.yaml" in found and "selfy" not in found and "kernel_context" in found
    assert "2021" in said(vidops, "recipes", "--find", "rsa/kernel.yaml", "--claims")
    assert said(vidops, "recipes", "list", "--find", "KERNEL", "--find", "rsa/") == found
    code, _, err = vidops("recipes", "--find", "zzz")
    assert code == 2 and "zzz" in told_errors(err)[0][0]


def test_names_work_in_every_folder(vidops, empty):
    told = said(vidops, "validate", "recipes/quickstart.yaml", "recipes/profile/speed.yaml")
    assert "3 rows x 2 seeds" in told and "a suite of" in told
    assert Path("recipes/rsa/kernel.yaml") in recipe_files(Path("recipes/rsa"))
    code, _, err = vidops("validate", "quickstart.yaml")
    assert code == 2 and "did you mean recipes/quickstart.yaml?" in err
    (empty / "recipes").mkdir()
    (empty / "recipes/quickstart.yaml").write_text("base: base/mini_motion.yaml\ntitle: mine\n")
    assert "title: mine" in said(vidops, "recipes", "show", "recipes/quickstart.yaml")
    assert recipe_files(Path("recipes")) == [Path("recipes/quickstart.yaml")]
    assert find(empty / "recipes/rsa") == empty / "recipes/rsa"


def test_shown_as_it_is_run(vidops):
    told = yaml.safe_load(said(vidops, "recipes", "show", "recipes/quickstart.yaml", "train.epochs=2"))
    assert told["train"]["epochs"] == 2 and told["data"]["name"] == "mini_motion" and "base" not in told
    assert len(told["ablation"]["rows"]) == 3 and "augment" not in told["data"]
    row = json.loads(said(vidops, "recipes", "show", "recipes/quickstart.yaml", "--row", "TSM", "--format", "json"))
    assert row["model"]["ops"] == [{"op": "tsm", "at": "all"}] and "ablation" not in row
    full = yaml.safe_load(said(vidops, "recipes", "show", "recipes/quickstart.yaml", "--full"))
    assert full["data"]["augment"] is None and full["train"]["ema"] == 0.0


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("name", ["recipes/quickstart.yaml", "recipes/rsa/kernel.yaml", "recipes/profile/speed.yaml"])
def test_a_copy_runs_where_it_lands(vidops, empty, name, merged):
    (empty / "mine").mkdir()
    said(vidops, "recipes", "copy", name, "mine", *(["--merged"] if merged else []))
    (copied,) = (empty / "mine").iterdir()
    text = copied.read_text()
    assert name not in text and f"mine/{copied.name}" in text
    assert ("base: recipes/base/" in text) == (not merged and "profile" not in name)
    said(vidops, "validate", f"mine/{copied.name}")
    if "profile" not in name:
        assert said(vidops, "recipes", "diff", name, f"mine/{copied.name}").strip() == "no key differs"
    copied.write_text("changed")
    code, _, err = vidops("recipes", "copy", name, copied)
    assert code == 2 and "is there already" in told_errors(err)[0][0] and copied.read_text() == "changed"


def test_a_base_is_found_from_where_the_copy_is(vidops, empty):
    (empty / "a/deep").mkdir(parents=True)
    (empty / "a/base.yaml").write_text("base: recipes/base/mini_motion.yaml\ntitle: below\n")
    (empty / "a/one.yaml").write_text("base: 'base.yaml'  # below\ntitle: above\n")
    for to, base in (("a/two.yaml", "base.yaml"), ("a/deep", "../base.yaml"), ("three.yaml", "a/base.yaml")):
        said(vidops, "recipes", "copy", "a/one.yaml", to)
        file = empty / to / "one.yaml" if to == "a/deep" else empty / to
        assert file.read_text() == f"base: {base}  # below\ntitle: above\n"
        said(vidops, "validate", file)
    shutil.copytree(shipped() / "base", empty / "own/base")
    shutil.copy(shipped() / "quickstart.yaml", empty / "own/quickstart.yaml")
    said(vidops, "recipes", "copy", "own/quickstart.yaml", "own/mine.yaml")
    assert "\nbase: base/mini_motion.yaml\n" in (empty / "own/mine.yaml").read_text()


def test_differences(vidops):
    words = ["recipes/quickstart.yaml", "recipes/quickstart_shuffled.yaml", "train.epochs=3"]
    told = json.loads(said(vidops, "recipes", "diff", *words, "--format", "json"))
    keys = ["title", "claim", "data.shuffle_labels", "train.epochs", "ablation.claims"]
    assert [row["key"] for row in told["rows"]] == keys
    assert told["rows"][3] == {"key": "train.epochs", "a": 1, "b": 3} and told["hash_a"] != told["hash_b"]
    out = said(vidops, "recipes", "diff", "recipes/quickstart.yaml", "--row", "TSN", "--row", "TSM")
    assert "model.ops" in out and "{op: tsm, at: all" in out
    out = said(vidops, "recipes", "diff", "recipes/quickstart.yaml", "title=x", "--row", "TSN")
    assert "the same run" in out
    code, _, err = vidops("recipes", "diff", "recipes/quickstart.yaml", "--row", "TSN")
    assert code == 2 and "two recipes" in told_errors(err)[0][0]


def test_the_page_shows_what_is_printed(vidops, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = "\n".join(re.findall(r"```console\n(.*?)```", (ROOT / "docs/recipes.md").read_text(), re.S))
    commands = re.findall(r"^\$ vidops ([^\n]+)\n(.*?)(?=^\$ |\Z)", text, re.S | re.M)
    assert len(commands) >= 6
    for command, shown in commands:
        if "--find" not in command:
            assert said(vidops, *shlex.split(command)).split() == shown.split()
    assert f"{len(names())} of them come with vidops" in (ROOT / "docs/recipes.md").read_text()


def test_schema(vidops, empty):
    printed = said(vidops, "recipes", "schema")
    said(vidops, "recipes", "schema", "--out", "recipe.schema.json")
    assert (empty / "recipe.schema.json").read_text() == printed
    assert json.loads(printed)["then"] == {"$ref": "#/$defs/Suite"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show nowhere.yaml", "no such recipe"),
        ("show recipes/profile/layers.yaml", "is a suite"),
        ("show recipes/quickstart.yaml --format xml", "xml"),
        ("show recipes/quickstart.yaml --row TSX", "TSX"),
        ("copy recipes/rsa", "is a folder"),
        ("diff recipes/quickstart.yaml", "two recipes"),
        ("diff recipes/quickstart.yaml nowhere.yaml", "nowhere.yaml"),
        ("--format csv", "csv"),
    ],
)
def test_refused(vidops, words, message):
    code, out, err = vidops("recipes", *words.split())
    assert (code, out) == (2, "") and message in told_errors(err)[0][0]
