"""What every verb has: --quiet, json for scripts, no control character where there is no terminal, 60 columns."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import typer
from rich.cells import cell_len
from terminal import ROOT

from vidops_cli.cli import app, live
from vidops_cli.cli.common import console

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SHOWING = [
    ("list", "ops"),
    ("show", "rsa"),
    ("show", "resnet18"),
    ("recipes", "diff", "recipes/quickstart.yaml", "recipes/quickstart_shuffled.yaml"),
    ("validate", "recipes/quickstart.yaml", "recipes/profile/speed.yaml"),
    ("ablate", "results/claims/selfy.jsonl", "--claims"),
    ("compare", "results/profile/layers.json", "results/profile/layers.json"),
    ("verify", "--op", "tsm"),
]


def verbs():
    """Every command, with the words that lead to it."""

    def below(command, words):
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*words, name])
        if words:
            yield words, command

    return list(below(typer.main.get_command(app), []))


def test_help_is_wrapped_by_the_terminal_alone():
    """A line of the source is no line of the help."""
    told = [part for _, command in verbs() for part in (command.help or "").split("\n\n")]
    assert len(told) >= 40 and not [part for part in told if "\n" in part.strip()]


def test_every_verb_takes_quiet_and_a_format():
    found = verbs()
    assert len(found) >= 22
    for words, command in found:
        options = {option for parameter in command.params for option in parameter.opts}
        assert words == ["data"] or {"--quiet", "-q"} <= options, words
        files = words[0] == "recipes" and words[-1] in ("copy", "schema")  # which write a file, and that is all
        assert words == ["data"] or files or "--format" in options, words


@pytest.mark.parametrize("words", SHOWING, ids=" ".join)
def test_shown_in_sixty_columns_and_to_scripts(vidops, monkeypatch, words):
    """No line is longer, no column is squeezed to nothing, nothing is coloured; and the same as JSON."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "60")
    code, out, err = vidops(*words, "--quiet")
    assert (code, err) == (0, "")
    assert not CONTROL.search(out)
    ruled = [line for line in out.splitlines() if line[:1] in "┏┃┡│└"]
    assert all(cell_len(line) <= 60 for line in ruled)
    assert not any(re.search("━[┳╇]━{0,2}[┳╇┓┩]", line) for line in ruled)
    code, out, err = vidops(*words, "--format", "json", "--quiet")
    assert (code, err) == (0, "") and json.loads(out)


def test_what_verbs_make_is_told_to_scripts(vidops, place):
    """Each answers with JSON alone, of what it wrote."""

    def told(*words):
        code, out, err = vidops(*words, "--quiet", "--format", "json")
        assert (code, err) == (0, ""), words
        return json.loads(out)

    made = told("data", "generate", "mini_motion", "--root", "new", "--train", 4, "--val", 4, "--test", 4)
    assert [(each["data"], each["root"]) for each in made] == [("mini_motion", "new")]
    assert {split: each["clips"] for split, each in made[0]["splits"].items()} == {"train": 4, "val": 4, "test": 4}
    data = ("mini_motion", "--root", "new")
    assert told("data", "preview", *data, "--out", "a.png", "--clips", 2) == (
        {"written": "a.png", "split": "train", "clips": 2, "of": 4, "bad": {}}
    )
    assert told("data", "prepare", *data, "--out", "small", "--side", 0, "--split", "val") == (
        {"written": "small", "splits": ["val"], "clips": 4, "of": 4, "bad": {}}
    )
    plan = told("train", "one.yaml", "--dry-run")
    assert plan["run"] == "runs/one" and plan["classes"] == 4 and plan["macs"] > plan["params"] > 0
    clip = next((place / "new/train").glob("*.mp4"))
    picture = told("visualize", "--op", "motion_squeeze", "--video", clip, "--out", "seen")
    assert [each["written"] for each in picture] == ["seen/motion_squeeze-displacement.png"]
    page = told("report", ROOT / "results/first", "--out", "page.html")
    assert page["written"] == "page.html" and page["bytes"] == (place / "page.html").stat().st_size


def test_quiet_leaves_results_and_errors(vidops, place):
    loud = vidops("data", "generate", "mini_motion", "--root", "new", "--train", 4, "--val", 4, "--test", 4)
    shutil.rmtree("new")
    quiet = vidops("data", "generate", "mini_motion", "--root", "new", "--train", 4, "--val", 4, "--test", 4, "-q")
    assert loud[0] == quiet[0] == 0 and loud[1] == quiet[1] and "4 train" in quiet[1]
    assert "writing clips" in loud[2] and quiet[2] == ""
    code, _, err = vidops("train", "nowhere.yaml", "--quiet")
    assert code == 2 and err.startswith("error: ")
    assert not console(stderr=True).quiet and console(stderr=True, note=True).quiet
    vidops("list", "datasets")
    assert not console(stderr=True, note=True).quiet


def test_a_dumb_terminal_gets_lines(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    for term, raw in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        counter = live.Counter("counting")
        counter(1, 2)
        counter(2, 2)
        assert bool(CONTROL.search(capsys.readouterr().err)) == raw
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console().print("told", style="bold red")
    assert "\x1b[31" not in capsys.readouterr().out
