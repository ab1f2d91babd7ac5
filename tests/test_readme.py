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
from vidops_cli.verify import SHIPPED, find

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def shown(text: str) -> dict[str, str]:
    """Commands of a page's console blocks, and what it shows of their output."""
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.S))
    return dict(re.findall(r"^\$ ([^\n]+)\n(.*?)(?=^\$ |\Z)", blocks, re.S | re.M))


SHOWN = shown(README)
PROFILE = shown((ROOT / "docs/profile.md").read_text())


def run(words: list[str]) -> subprocess.CompletedProcess:
    env = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "vidops_cli", *words]
    return subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_readme_shows_every_verb():
    from vidops_cli.cli import app

    groups = {group.name for group in app.registered_groups}
    verbs = {command.name for command in app.registered_commands} | groups
    assert {shlex.split(command)[1] for command in SHOWN} == verbs and len(verbs) >= 16


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
        "--quiet",
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


def test_numbers_of_runs_are_those_of_the_record():
    """What takes long is not run again: its output holds the numbers of what it wrote, which is kept."""
    trained, turned = (
        json.loads((ROOT / f"results/first/{path}summary.json").read_text()) for path in ("", "reversed/")
    )
    train, evaluated = (
        next(shown for command, shown in SHOWN.items() if word in command) for word in ("--out runs/first", "reversed")
    )
    told, val = trained["metrics"], trained["train"] | trained["val"]
    assert f"loss {val['train_loss']:.3f}, accuracy {val['train_top1']:.1f} %" in train
    assert f"val loss {val['val_loss']:.3f}, accuracy {val['val_top1']:.1f} %" in train
    assert f"test: top1 {told['top1']:.1f} %, " in train and f"mean_class {told['mean_class']:.1f} %" in train
    for key in ("top1", "top5", "mean_class", "loss"):
        assert re.search(rf"│ {key} +│ +{turned['metrics'][key]:.2f} │", evaluated)
    rows = {row["case"]: row for row in json.loads((ROOT / "results/verify.json").read_text())["rows"]}
    cases = re.findall(r"^│ (rsa_op/\w+) +│ rsa │ (\S+) +│ (\S+) +│ - +│ pass   │$", README, re.M)
    assert [case for case, *_ in cases] == [case.name for case in find(SHIPPED) if case.group == "rsa_op"]
    for case, out, grad in cases:
        assert (out, grad) == (f"{rows[case]['err_out']:.0e}", f"{rows[case]['err_grad']:.0e}")


def test_no_number_is_typed():
    """Between blocks there are versions, and counts without a fraction; all that was measured stands in a block."""
    prose = re.sub(r"```.*?```|<!-- rendered: .*?<!-- end -->|https?://\S+", "", README, flags=re.S)
    assert set(re.findall(r"\d+\.\d+(?:\.\d+)*", prose)) <= {"2.13.0", "3.10", "3.11", "2.0"}
    assert set(re.findall(r"\d+ %|± ?\d|\[[-+]?\d+", prose)) <= {"95 %"}  # of an interval


def test_the_record_of_verify_is_of_all_cases():
    recorded = json.loads((ROOT / "results/verify.json").read_text())["rows"]
    assert [row["case"] for row in recorded] == [case.name for case in find(SHIPPED)]
    assert {row["passed"] for row in recorded if row["op"]} == {True}


def test_the_record_of_operators_is_of_all():
    rows = json.loads((ROOT / "results/profile/operators.json").read_text())["rows"]
    assert [row["op"] for row in rows] == list(OPS)
    assert {row["status"] for row in rows} == {"ok"} and {row["passed"] for row in rows} == {True}


def test_commits_of_the_record_are_of_this_history():
    """Each can be looked at, and none was run with changes that no commit has."""
    git = ["git", "-C", str(ROOT)]
    known = subprocess.run([*git, "rev-list", "HEAD"], capture_output=True, text=True)
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True, text=True).stdout
    if known.returncode or shallow.strip() != "false" or not (ROOT / ".git").exists():
        pytest.skip("no history here, or a part of it")
    history = {commit[:12] for commit in known.stdout.split()}
    files = [path for path in (ROOT / "results").rglob("*.json*") if path.suffix in (".json", ".jsonl")]
    found = {path: set(re.findall(r'"commit": "(\w+)"', path.read_text())) for path in files}
    assert sum(map(len, found.values())) > 20
    assert {str(path): commits - history for path, commits in found.items() if commits - history} == {}
    assert [str(path) for path in files if re.search(r'"dirty": true', path.read_text())] == []
