"""The README's commands work, and what it shows of their output is what they print."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from vidops_cli.ops import OPS
from vidops_cli.verify import SHIPPED, count_by_op, find

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def shown(text: str) -> dict[str, str]:
    """Commands of a page's console blocks, and what it shows of their output."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.S))
    return dict(re.findall(r"^\$ ([^\n]+)\n(.*?)(?=^\$ |\Z)", blocks, re.S | re.M))


SHOWN = shown(README)
PROFILE = shown((ROOT / "docs/profile.md").read_text())
CHEAP = [
    command
    for command in SHOWN
    if re.match(r"vidops (list|show|validate) ", command) or "train.epoch=2" in command  # an error is shown too
]


def run(words: list[str]) -> subprocess.CompletedProcess:
    env = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "vidops_cli", *words]
    return subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_readme_shows_every_verb():
    verbs = {shlex.split(command)[1] for command in SHOWN}
    assert verbs == {
        *(
            "ablate",
            "train",
            "eval",
            "profile",
            "compare",
            "verify",
            "import",
            "export",
            "list",
            "show",
            "validate",
            "recipes",
            "doctor",
            "visualize",
            "data",
        )
    }
    assert len(CHEAP) == 5


@pytest.mark.parametrize("command", [*SHOWN, *PROFILE])
def test_every_command_is_understood(command):
    """With --help at its end a command is parsed, and an option that does not exist is refused."""
    vidops, *words = shlex.split(command)
    assert vidops == "vidops"
    done = run([*words, "--help"])
    assert (done.returncode, "Usage" in done.stdout) == (0, True), done.stdout
    assert run([*words, "--no-such-option", "--help"]).returncode == 2


@pytest.mark.parametrize("command", CHEAP)
def test_shown_output_is_what_is_printed(command):
    assert lines(run(shlex.split(command)[1:]).stdout) == lines(SHOWN[command])


def test_counts_of_the_profile_are_what_is_counted():
    """Times differ from run to run; params, MACs and FLOPs do not."""
    from vidops_cli.report.table import number

    (command,) = (command for command in SHOWN if command.startswith("vidops profile"))
    assert SHOWN[command].strip() == PROFILE[command].strip()
    cells = {row[0]: row[1:] for row in (re.split(r"\s*[│┃]\s*", line)[1:-1] for line in lines(SHOWN[command])) if row}
    assert cells["op"] == ["self_attention", "lisa"]
    for i, name in enumerate(cells["op"]):
        op = OPS[name].load()(256)
        cost = op.cost((1, 256, 1, 64, 64))
        counted = [sum(p.numel() for p in op.parameters()), cost.macs, cost.other_flops, cost.flops]
        assert [cells[key][i] for key in ("params", "MACs", "other", "FLOPs")] == [number(value) for value in counted]


def test_the_page_of_the_profile_shows_every_option():
    """Each option stands in a command or in the text, each command shows its output, and each figure is there."""
    text = (ROOT / "docs/profile.md").read_text()
    options = set(re.findall(r"(--[a-z-]+)", run(["profile", "--help"]).stdout)) - {
        "--help",
        "--backward",
        "--device",
    }
    assert len(options) >= 20
    assert [option for option in options if option not in text] == []
    assert all(len(lines(output)) > 3 for output in PROFILE.values())
    figures = re.findall(r"!\[.*?\]\(\.\./(.*?)\)", text)
    assert len(figures) == 3 and all((ROOT / figure).stat().st_size > 10_000 for figure in figures)
    module = re.search(r"```python\n(.*?)```", text, re.S)[1]
    assert "(self.q(x) * x.roll(1, 2)).sum" in module and "torch.fft.rfft" in module


def test_the_record_of_layers_is_that_of_the_suite():
    from vidops_cli.ops import OPS
    from vidops_cli.recipe.reading import read_file

    told, _ = read_file(ROOT / "recipes/profile/layers.yaml")
    rows = json.loads((ROOT / "results/profile/layers.json").read_text())["rows"]
    assert [row["layer"] for row in rows] == [layer["name"] for layer in told["layers"]]
    assert {row["op"] for row in rows} == set(OPS)
    assert {row["status"] for row in rows} == {"ok"} and {row["passed"] for row in rows} == {True}
    table = (ROOT / "results/profile/layers.md").read_text()
    assert all(f"| {row['layer']} " in table for row in rows)


@pytest.mark.parametrize("name", ["quickstart", "quickstart_shuffled"])
def test_tables_are_those_of_the_record(name):
    recorded = (ROOT / f"results/{name}.md").read_text().split("\n", 2)[2].strip()
    assert recorded in README


def test_claims_are_those_of_the_record():
    done = run(["ablate", "results/claims", "--claims", "--format", "markdown"])
    assert done.returncode == 0, done.stdout
    assert done.stdout.strip() in README


def test_make_commands_are_targets():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"\bmake (\w+)", README))
    assert named == {"demo", "claims", "test", "bench", "faults"}
    assert named <= targets


def test_every_folder_of_the_map_is_there_and_every_package_is_on_it():
    named = re.findall(r"^\| `([\w/]+/)` \|", README, re.M)
    assert len(named) >= 13
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    packages = {f"vidops_cli/{path.parent.name}/" for path in (ROOT / "vidops_cli").glob("*/__init__.py")}
    assert packages <= set(named)


def test_every_operator_is_in_the_table():
    named = re.findall(r"^\| `(\w+)` \| .* \| (\w+) \| (\w+) \| (.*) \|$", README, re.M)
    cases = count_by_op()
    assert named == [(card.name, card.slot, str(cases[card.name] or "none"), card.status) for card in OPS.values()]


def test_the_shown_cases_are_those_shipped():
    """Errors differ in their last digit from machine to machine; cases and verdicts do not."""
    shown = re.findall(r"^│ (rsa_op/\w+) +│ rsa │.*│ pass +│$", README, re.M)
    assert shown == [case.name for case in find(SHIPPED) if case.group == "rsa_op"]
    recorded = json.loads((ROOT / "results/verify.json").read_text())["rows"]
    assert [row["case"] for row in recorded] == [case.name for case in find(SHIPPED)]
    assert {row["passed"] for row in recorded if row["op"]} == {True}


def test_the_table_of_lisa_time_is_that_of_its_rows(vidops):
    code, out, err = vidops("profile", ROOT / "results/claims/lisa_time.jsonl", "--format", "markdown")
    assert (code, err) == (0, "") and out == (ROOT / "results/claims/lisa_time.md").read_text()
    for words, told in (
        (["--seq", "64"], "--seq means nothing beside rows"),
        (["train.epochs=1"], "means nothing beside rows"),
        (["--device", "cpu"], "--device means nothing beside rows"),
    ):
        code, out, err = vidops("profile", ROOT / "results/claims/lisa_time.jsonl", *words)
        assert (code, out) == (2, "") and told in err
    code, _, err = vidops("profile", ROOT / "results/claims/rsa.jsonl")
    assert code == 2 and "names no op and shape" in err
