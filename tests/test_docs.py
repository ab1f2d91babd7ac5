"""Pages: what is rendered is what would be rendered now, links lead somewhere, commands are understood."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "results/README.md"])
spec = importlib.util.spec_from_file_location("render", ROOT / "docs/render.py")
render = importlib.util.module_from_spec(spec)
spec.loader.exec_module(render)


def commands(text: str) -> list[str]:
    """Of console blocks, of indented lines, and between backticks where a file or an option is told."""
    shown = re.findall(r"^(?:\$ |    )(vidops .*?)(?: {2,}#.*| >.*)?$", text, re.M)
    named = re.findall(r"`(vidops [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.S).replace("\n", " "))
    return [*dict.fromkeys([*shown, *named])]


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings, and those that are told."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    made = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="(.*?)"', text))


@pytest.mark.parametrize("name", render.PAGES)
def test_rendered_parts_are_those_of_now(name):
    text = (ROOT / name).read_text()
    assert render.render(text) == text, "python docs/render.py"


def test_links_lead_somewhere():
    seen = 0
    for page in PAGES:
        text = page.read_text()
        linked = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
        for link in linked:
            if link.startswith("http"):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target.read_text()), f"{page.name}: {link}"
            seen += 1
    assert seen > 100


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_commands_are_understood(page, vidops):
    """With --help at its end a command is parsed: an option or a verb that is none is refused."""
    for command in commands(page.read_text()):
        words = [word for word in shlex.split(command)[1:] if word not in ("...", "|")]
        if "VERB" in words or not words:
            continue
        code, out, err = vidops(*words, "--help")
        assert (code, "Usage" in out) == (0, True), f"{command}: {err}"


def test_a_command_that_is_none_is_seen(vidops):
    page = "    vidops train recipe.yaml --rowe x  # one\n`vidops oops`\n```console\n$ vidops list ops > x\n```"
    assert commands(page) == ["vidops train recipe.yaml --rowe x", "vidops list ops", "vidops oops"]
    assert vidops("train", "recipe.yaml", "--rowe", "x", "--help")[0] == 2
    assert vidops("oops", "--help")[0] == 2
