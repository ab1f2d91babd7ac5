"""python docs/render.py: put into the pages what is rendered from the record, from cards and recipes, and by commands.

Nothing measured is typed into a page. What stands between `<!-- rendered: NAME -->` and `<!-- end -->` is made here by
name; of a console block, what commands print that take a second (`CHEAP`), or have written what they print, is what
they print now. --check changes nothing, and names the pages that would change, with exit code 1.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from vidops_cli.api import known
from vidops_cli.ops import OPS
from vidops_cli.recipe import load
from vidops_cli.record import read_lines
from vidops_cli.report.profile import means
from vidops_cli.report.table import number
from vidops_cli.verify import count_by_op

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/operators.md", "docs/quickstart.md", "docs/reproducing.md")
PAPERS = ("motionsqueeze", "selfy", "rsa", "sifa", "renet", "integral_action", "lisa")
CHEAP = re.compile(
    r"vidops (list|show|validate|compare|recipes (show|diff)) |vidops (ablate|profile) results/|.* train\.epoch=2 "
)
COMMON = "256x8x14x14"


@cache
def printed(command: str) -> str:
    """What a command prints on a terminal of 100 columns."""
    words = [sys.executable, "-m", "vidops_cli", *shlex.split(command)[1:]]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def _table(name: str) -> Callable[[], str]:
    """A table of the record, without its title."""
    return lambda: (ROOT / f"results/{name}.md").read_text().split("\n", 2)[2].strip()


def _claims() -> str:
    return printed("vidops ablate results/claims --claims --format markdown")


def _operators() -> str:
    costs = {row["op"]: row for row in json.loads((ROOT / "results/profile/operators.json").read_text())["rows"]}
    speeds = {entry["op"]: entry for entry in means(read_lines(ROOT / "results/profile/speed.jsonl")[1:])}
    cases = count_by_op()
    lines = [
        f"| operator | paper | venue | slot | verified cases | MACs at {COMMON} | speed over textbook "
        "| where ours stands |",
        "|:--|:--|:--|:--|--:|--:|--:|:--|",
    ]
    for card in OPS.values():
        row, speed = costs[card.name], speeds.get(card.name)
        macs = number(row["macs"]) + ("" if row["shape"] == f"1x{COMMON}" else f" at {row['shape'][2:]}")
        cells = [
            f"[`{card.name}`](docs/operators.md#{card.name})",
            _cited(card.paper, card.arxiv),
            card.venue,
            card.slot,
            str(cases[card.name] or "none"),
            macs,
            f"{speed['fwd_speedup']:.3g} [{speed['fwd_speedup_low']:.3g}, {speed['fwd_speedup_high']:.3g}]"
            if speed
            else "-",
            card.status,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cited(paper: str, arxiv: str) -> str:
    return paper if arxiv == "-" else f"[{paper}](https://arxiv.org/abs/{arxiv})"


def _cards() -> str:
    return "\n\n".join("\n".join(_card(name)) for name in OPS)


def _card(name: str) -> Iterator[str]:
    card = OPS[name]
    inputs = ", ".join(f"`{told.name}` ({told.shape.replace(' ', ', ')})" for told in card.inputs)
    frames = f", T {'=' if card.max_frames == 1 else '>='} {card.min_frames}"
    cases = count_by_op()[name]
    yield f'<a id="{name}"></a>\n'
    yield f"## {card.title}\n"
    yield f"`{name}` · {_cited(card.paper, card.arxiv)}" + (f", {card.venue}" if card.arxiv != "-" else "") + "\n"
    yield f"    {card.equation}\n"
    yield f"- slot: `{card.slot}`; input: {inputs}{frames}"
    yield f"- status: {card.status}" + (f"; {cases} verified cases: `vidops verify --op {name}`" if cases else "")
    yield f"- deviations: {card.deviations}"
    C, T, H, W = card.layer
    yield f"- the paper's layer: {C} channels, {T} x {H} x {W}: `vidops profile --op {name}`"
    if card.options:
        yield "\n| option | type | default | meaning |\n|:--|:--|:--|:--|"
    for key, option in card.options.items():
        choices = f" ({', '.join(f'`{choice}`' for choice in option.choices)})" if option.choices else ""
        default = option.default if isinstance(option.default, str) else json.dumps(option.default)
        told = option.help.replace("|", "\\|")
        yield f"| `{key}` | {option.describe()} | `{default}` | {told}{choices} |"


def _recipes(folder: str) -> str:
    lines = ["| recipe | table | data | network | rows | `--mini` |", "|:--|:--|:--|:--|--:|:--|"]
    for path in sorted((ROOT / "recipes" / folder).glob("*.yaml")):
        recipe = load(path, known())
        cost = all(row.kind == "profile" for row in recipe.ablation.rows)
        cells = [
            f"[`{path.stem}`](../{path.relative_to(ROOT)})",
            recipe.title,
            "none: costs alone" if cost else f"`{recipe.data.name}`",
            f"`{recipe.model.name}`",
            str(len(recipe.ablation.rows)),
            "-" if cost else "yes" if _small(path) else "no",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _small(path: Path) -> bool:
    try:
        return load(path, known(), scale="mini").scale == "mini"
    except ValueError:
        return False


BLOCKS: dict[str, Callable[[], str]] = {
    "quickstart": _table("quickstart"),
    "quickstart_shuffled": _table("quickstart_shuffled"),
    "claims": _claims,
    "operators": _operators,
    "cards": _cards,
    **{f"recipes/{folder}": lambda folder=folder: _recipes(folder) for folder in (*PAPERS, "cross")},
}


def render(text: str) -> str:
    """A page with its rendered parts made anew. KeyError for a name that is none."""

    def block(found: re.Match) -> str:
        return f"<!-- rendered: {found[1]} -->\n{BLOCKS[found[1]]()}\n<!-- end -->"

    def output(found: re.Match) -> str:
        command, rest = found[1], found[2]
        kept = re.match(r"vidops profile .* --out (results/\S+)", command)  # it prints what it has written
        if not kept and not CHEAP.match(command):
            return found[0]
        told = printed(f"vidops profile {kept[1]}" if kept else command)
        return f"$ {command}\n{told}\n{rest[len(rest.rstrip()) :][1:]}"

    def console(found: re.Match) -> str:
        return re.sub(r"^\$ ([^\n]+)\n(.*?)(?=^\$ |\Z)", output, found[0][:-3], flags=re.S | re.M) + "```"

    text = re.sub(r"<!-- rendered: (\S+) -->\n.*?<!-- end -->", block, text, flags=re.S)
    return re.sub(r"```console\n.*?```", console, text, flags=re.S)


def main(words: list[str]) -> int:
    changed = []
    for name in PAGES:
        page = ROOT / name
        if (new := render(page.read_text())) != page.read_text():
            changed.append(name)
            if "--check" not in words:
                page.write_text(new)
    print(f"{', '.join(changed) or 'no page'}: {'would change' if '--check' in words else 'rendered'}")
    return int("--check" in words and bool(changed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
