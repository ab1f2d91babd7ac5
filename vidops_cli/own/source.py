"""Where an own operator's module is, how it is imported, and the files that decide what it computes. Knows no torch."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path

VIDOPS = __name__.split(".")[0]
ZOO = Path(__file__).parents[1] / "ops"
BESIDE = list[Path]()  # the folder of the recipe that was read last
FOUND = "VIDOPS_BESIDE"  # folders of recipes in which a module was found: processes that are started look there too
MOST = 100  # files that are read; a library has more, and a version


@dataclass(frozen=True)
class Source:
    """Of a module that was imported. What it tells of files is read once, when it is asked for."""

    module: str
    file: Path | None
    """None of a module without one, as in a notebook"""

    @classmethod
    def of(cls, module: types.ModuleType) -> Source:
        told = getattr(module, "__file__", None)
        return cls(module.__name__, None if told is None else Path(told).absolute())

    @property
    def code(self) -> str:
        """Hash of all that decides what it computes, beside vidops: its file, and those of its own that it imports."""
        digest = hashlib.sha256()
        for name, text in sorted(self._reached[0].items()):
            digest.update(name.encode() + text)
        return digest.hexdigest()[:12]

    @property
    def zoo(self) -> set[str]:
        """Operators of vidops that it imports; "*": perhaps any."""
        return self._reached[1]

    @cached_property
    def _reached(self) -> tuple[dict[str, bytes], set[str]]:
        if self.file is None or not self.file.is_file():
            return {}, {"*"}
        if self.file.suffix != ".py":
            return {self.module: self.file.read_bytes()}, {"*"}
        return _reached(self.module, self.file)


def locate(name: str) -> str | None:
    """The file that `import name` would run, as far as can be told without running anything."""
    _look_here()
    top, *parts = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
        for i in range(len(parts)):
            if spec is not None:
                path = spec.submodule_search_locations
                spec = PathFinder.find_spec(".".join([top, *parts[: i + 1]]), path) if path else None
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin


def look_beside(recipe: Path) -> None:
    """From now on a module that is neither here nor installed may stand in the folder of this recipe."""
    BESIDE[:] = [Path(os.path.abspath(recipe)).parent]


def imported(name: str) -> types.ModuleType:
    """The module, found as `python -m` would. ValueError with a hint on everything that can be wrong with its name."""
    if name.endswith(".py") or "/" in name:
        dotted = ".".join(Path(name).with_suffix("").parts)
        raise ValueError(f"{name} is a file", f"name it as a module: {dotted}:Class, from the folder it is in")
    _look_here()
    try:
        module = importlib.import_module(name)
        _tell_children(module)
        return module
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"importing {name} fails: {error}", "install what it needs") from error
        head, _, last = error.name.rpartition(".")
        near = difflib.get_close_matches(last, _modules(head), n=1)
        places = ", ".join(dict.fromkeys([_here(), *map(str, BESIDE)]))
        looked = f"looked in {places} and sys.path: put it there, or its folder on PYTHONPATH"
        told = f"did you mean {f'{head}.' if head else ''}{near[0]}?" if near else looked
        raise ValueError(f"no module named {error.name!r}", told) from None
    except Exception as error:
        raise ValueError(f"importing {name} raises {one_line(error)}", f"try python -c 'import {name}'") from error


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _here() -> str:
    return os.getcwd()


def _look_here() -> None:
    """The installed command has no working folder on its path, `python -m` has. Folders of recipes come last."""
    if _here() not in sys.path:
        sys.path.insert(0, _here())
    sys.path += [place for place in dict.fromkeys([*_found(), *map(str, BESIDE)]) if place not in sys.path]
    importlib.invalidate_caches()


def _found() -> list[str]:
    return [place for place in os.environ.get(FOUND, "").split(os.pathsep) if place]


def _tell_children(module: types.ModuleType) -> None:
    file, found = getattr(module, "__file__", None), _found()
    for place in map(str, BESIDE):
        if file and place != _here() and place not in found and Path(place) in Path(file).parents:
            os.environ[FOUND] = os.pathsep.join([*found, place])


def _modules(package: str) -> list[str]:
    """Names of modules in a package that is imported, or in the working folder."""
    folders = sys.modules[package].__path__ if package and hasattr(sys.modules[package], "__path__") else []
    found = [path for folder in (folders if package else [_here()]) for path in Path(folder).iterdir()]
    return [path.stem for path in found if path.suffix == ".py" or path.is_dir()]


# --- what it imports --------------------------------------------------------------------------------------------------


def _reached(name: str, file: Path) -> tuple[dict[str, bytes], set[str]]:
    """The module and the files that it imports from its own folder, by name; operators of vidops that these import.

    The folder is the one that the first part of the name stands in. Where packages are installed it is full of others':
    there only modules of the same package count.
    """
    above = name.count(".") + (file.name == "__init__.py")
    base, top = file.parents[above] if above < len(file.parents) else file.parent, name.split(".")[0]
    shared = {"site-packages", "dist-packages"} & set(base.parts)
    left, found, zoo = list(_with_parents(name)), {name: file.read_bytes()}, set[str]()
    for dotted in left:  # it grows
        if len(found) == MOST:
            break
        path = file if dotted == name else _file(base, dotted)
        if path is None or (shared and dotted.split(".")[0] != top):
            continue
        found[dotted] = path.read_bytes()
        for target in _imports(dotted, found[dotted], package=path.name == "__init__.py"):
            if target.split(".")[0] == VIDOPS:
                zoo |= _zoo(target)
            else:
                left += [step for step in _with_parents(target) if step not in left]
    return found, zoo


def _with_parents(dotted: str) -> Iterator[str]:
    """a.b.c -> a, a.b, a.b.c: to import the last runs all."""
    parts = dotted.split(".")
    yield from (".".join(parts[: i + 1]) for i in range(len(parts)))


def _file(base: Path, dotted: str) -> Path | None:
    place = base.joinpath(*dotted.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imports(name: str, text: bytes, *, package: bool) -> Iterator[str]:
    """Modules that a source imports, each perhaps with a name in it behind."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # of a file that is imported only where something else is not there
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = name.split(".")
            inside = inside[: len(inside) + package - node.level] if node.level else []
            yield from (".".join([*inside, *([node.module] if node.module else []), a.name]) for a in node.names)


def _zoo(target: str) -> set[str]:
    """vidops_cli.ops.rsa.RSA -> rsa; of all that may look an operator up by its name: "*"."""
    _, *parts = target.split(".")
    if parts[:1] == ["ops"] and len(parts) > 1 and (ZOO / f"{parts[1]}.py").is_file():
        return {parts[1]}
    return set() if parts[:1] == ["functional"] else {"*"}
