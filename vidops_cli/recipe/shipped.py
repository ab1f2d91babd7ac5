"""The recipes that come with vidops: found under their names, and copied to where they run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml

from .reading import Dumper, base_of, find, read_file, shipped, with_base
from .schema import Recipe


def names() -> list[Path]:
    """Recipes and suites that are shipped, as recipes/rsa/kernel.yaml; the bases that they stand on are left out."""
    found = sorted(path.relative_to(shipped()) for path in shipped().rglob("*.yaml"))
    return [Path("recipes") / path for path in found if path.parts[0] != "base"]


def copy_of(path: Path, to: Path, *, merged: bool = False) -> str:
    """The text of a recipe for another place: comments kept, `base:` as it is found from there.

    A base that is shipped goes by its name, recipes/base/NAME.yaml; another by its path from `to`. `merged`: what the
    bases say is written out, so that the file stands alone. Its own name in comments becomes that of the copy.
    ValueError if the recipe or its base cannot be read.
    """
    whole, _ = with_base(path)
    text = find(path).read_text(encoding="utf-8").replace(path.as_posix(), to.as_posix())
    base = read_file(path)[0].get("base")
    if base is None:
        return text
    line = re.search(rf"(?m)^base:[ \t]*([\"']?){re.escape(base)}\1(?=\s)", text)
    if line and not merged:
        beside, below = to.parent / base, find(base_of(path, base))
        new = base if beside.is_file() and beside.samefile(below) else _name_of(below, to)
        return f"{text[: line.start()]}base: {new}{text[line.end() :]}"
    head = re.match(r"(#.*\n)*", text)
    assert head is not None
    whole = {key: whole[key] for key in Recipe.model_fields if key in whole} | whole
    return head[0] + yaml.dump(
        whole, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )


def _name_of(file: Path, to: Path) -> str:
    """What a recipe at `to` calls a base."""
    own = file.resolve()
    if own.is_relative_to(shipped().resolve()):
        return (Path("recipes") / own.relative_to(shipped().resolve())).as_posix()
    return Path(os.path.relpath(own, to.parent.resolve())).as_posix()
