"""Who imports whom, what stays free of torch, and where anything is printed."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vidops_cli"

MAY_IMPORT = {
    "__init__": {"api"},
    "__main__": {"cli"},
    "api": {"own", "ops", "models", "data", "recipe", "engine", "profiling"},
    "stats": set(),
    "record": set(),
    "functional": set(),
    "textbook": set(),
    "data": {"record"},
    "recipe": {"stats", "record"},
    "report": {"stats", "record"},
    "ops": {"functional"},
    "models": {"ops", "functional", "record"},
    "visualize": {"functional", "ops"},
    "own": {"ops", "models"},
    "verify": {"functional", "ops", "own", "textbook", "models", "stats", "record"},
    "profiling": {"functional", "ops", "own", "textbook", "models", "stats", "record"},
    "engine": {"recipe", "models", "data", "stats", "record"},
    "ablation": {"recipe", "stats", "record"},
    "cli": {
        "api",
        "stats",
        "record",
        "textbook",
        "data",
        "recipe",
        "report",
        "ops",
        "own",
        "models",
        "verify",
        "visualize",
        "profiling",
        "engine",
        "ablation",
    },
}


def our_imports(file: Path, package: Path) -> list[tuple[int, str]]:
    """(line, imported module of the package) for every import of a file, in functions too, relative ones resolved."""
    inside = (package.name, *file.relative_to(package).parent.parts)
    found: list[tuple[int, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            start = inside[: len(inside) - node.level + 1] if node.level else ()
            found += [(node.lineno, (*start, *module, alias.name)) for alias in node.names]
    return [(line, ".".join(name)) for line, name in found if name[0] == package.name]


def check_walls(package: Path) -> tuple[list[str], int]:
    """Violations as `file:line: ...`, and the number of imports of ours that were looked at."""
    violations, seen = [], 0
    for file in sorted(package.rglob("*.py")):
        inner = file.relative_to(package)
        module = inner.parts[0].removesuffix(".py")
        for line, imported in our_imports(file, package):
            seen += 1
            parts = imported.split(".")
            target = parts[1] if len(parts) > 1 else "(the whole package)"
            if target not in (module, "__version__") and target not in MAY_IMPORT.get(module, set()):
                violations.append(f"{inner}:{line}: {module} may not import {target}")
    return violations, seen


def test_every_import_stands_in_the_table():
    violations, seen = check_walls(PACKAGE)
    assert violations == []
    assert seen >= 40


def test_every_module_has_a_row():
    modules = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules - {"__pycache__"} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("file", "source", "target"),
    [
        ("stats.py", "import vidops_cli.record", "record"),
        ("stats.py", "from . import record", "record"),
        ("stats.py", "from .record import write_text", "record"),
        ("stats.py", "import vidops_cli", "(the whole package)"),
        ("report/table.py", "def late():\n    from vidops_cli.engine.train import train", "engine"),
        ("report/table.py", "class Late:\n    def late(self):\n        from ..engine import train", "engine"),
        ("data/mini/motion.py", "from ...recipe import Recipe", "recipe"),
        ("data/mini/__init__.py", "from ... import recipe", "recipe"),
        ("models/resnet.py", "from vidops_cli import data, ops", "data"),
        ("cli/show.py", "import vidops_cli.functional.window as window", "functional"),
        ("recipe.py", "import typing\nif typing.TYPE_CHECKING:\n    from vidops_cli.ops import Card", "ops"),
        ("attic.py", "from vidops_cli.stats import mean", "stats"),
    ],
)
def test_a_violation_is_caught(tmp_path, file, source, target):
    package = tmp_path / "vidops_cli"
    (package / file).parent.mkdir(parents=True)
    (package / file).write_text(source)
    violations, _ = check_walls(package)
    assert len(violations) == 1
    assert violations[0].startswith(f"{file}:") and violations[0].endswith(f"may not import {target}")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "cli/show.py",
            "import typer\nfrom vidops_cli import __version__, recipe\nfrom os import path",
        ),
        ("data/mini/motion.py", "import numpy\nfrom vidops_cli.record import read_json\nfrom ..video import VideoFile"),
        ("models/resnet.py", "import vidops_clip\nfrom vidops_cli import ops\nfrom ..functional import correlate"),
    ],
)
def test_allowed_imports_pass(tmp_path, file, source):
    package = tmp_path / "vidops_cli"
    (package / file).parent.mkdir(parents=True)
    (package / file).write_text(source)
    violations, seen = check_walls(package)
    assert violations == []
    assert seen == 2


# --- torch ------------------------------------------------------------------------------------------------------------

PROBE = """
import sys
sys.argv = ["vidops", *{words!r}]
from vidops_cli.cli import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
sys.stdout.flush()
sys.stderr.write("torch" if "torch" in sys.modules else "free")
raise SystemExit(code)
"""


def probe(words: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROBE.format(words=words)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--help"], "profile"),
        (["ablate", "--help"], "--dry-run"),
        (["--version"], "vidops "),
        (["list"], "motion_squeeze"),
        (["validate", "recipes/quickstart.yaml"], "valid"),
        (["ablate"], "quickstart"),
    ],
    ids=" ".join,
)
def test_verbs_without_torch(words, told):
    done = probe(words)
    assert done.returncode == 0
    assert told in done.stdout
    assert done.stderr.endswith("free")


def test_the_probe_sees_torch():
    done = probe(["show", "tsm"])
    assert done.returncode == 0
    assert done.stderr.endswith("torch")


def test_libraries_without_torch():
    modules = ["recipe", "record", "stats", "report.table", "report.ablation", "report.profile", "ablation.grid"]
    modules += [
        "recipe.suite",
        "profiling.memory",
        "ops.cost",
        "ablation.store",
        "ablation.launch",
        "ablation.attempt",
        "ablation.claims",
        "ablation.hold",
        "ablation.slurm",
        "ablation.told",
        "report.claims",
        "report.html",
        "report.pictures",
        "visualize",
        "report.bench",
        "report.curves",
        "report.document",
        "report.markdown",
        "report.svg",
        "cli.parts",
        "cli.report",
        "cli.run_folders",
        "profiling.scaling",
        "ops",
        "api",
        "own",
        "models",
        "data",
        "data.mini.benchmark",
        "data.folder",
    ]
    source = "import sys, importlib\n"
    source += f"for name in {modules!r}: importlib.import_module('vidops_cli.' + name)\n"
    source += "sys.stdout.write('torch' if 'torch' in sys.modules else 'free')"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.stdout == "free", done.stderr


def test_help_answers_at_once():
    """In processor time, which tells less of what else the machine does than the clock."""
    vidops = Path(sys.executable).with_name("vidops")
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([vidops, "--help"], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert 0 < min(seconds) < 0.6  # torch alone takes more than a second


# --- printing ---------------------------------------------------------------------------------------------------------


def printing(source: str) -> list[str]:
    """Calls and raises that print or exit."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "exit", "quit", "sys.exit", "os._exit") or name.startswith("typer."):
                found.append(name)
            if name in ("sys.stdout.write", "sys.stderr.write"):
                found.append(name)
        if isinstance(node, ast.Name) and node.id == "SystemExit":
            found.append("SystemExit")
    return found


def test_only_the_command_line_prints_or_exits():
    inside, outside = {}, {}
    for file in sorted(PACKAGE.rglob("*.py")):
        found = printing(file.read_text(encoding="utf-8"))
        if found:
            where = inside if file.is_relative_to(PACKAGE / "cli") else outside
            where[file.relative_to(PACKAGE).as_posix()] = found
    assert outside == {}
    assert len(inside) >= 5


@pytest.mark.parametrize(
    "source", ["print(1)", "def f():\n    typer.echo('x')", "import sys\nsys.exit(2)", "raise SystemExit(2)"]
)
def test_printing_is_caught(source):
    assert len(printing(source)) == 1
