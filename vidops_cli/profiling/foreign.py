"""A user's own nn.Module as an operator: a card made from `package.module:Class` and the constructor's signature."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidops_cli.ops import Card, Input, Option

from .traced import evaluating

EXAMPLE = "as in --op package.module:Class"
HELP = "an argument of its constructor"
LETTERS = "B C T H W and N = T*H*W"


@dataclass(frozen=True)
class FreeOption(Option):
    """An option of which nothing is known: its constructor judges it."""

    def problem(self, value: object) -> str | None:
        return None

    def describe(self) -> str:
        return "a value"


@dataclass(frozen=True, kw_only=True)
class ForeignCard(Card):
    """The card of a class or function that is not of the zoo."""

    make: Callable[..., object]
    takes_channels: bool  # as its first argument
    required: tuple[str, ...]  # options without a default

    def load(self) -> Callable[..., nn.Module]:
        """(channels, **options) -> the module. ValueError if it cannot be made."""
        return self._build

    def _build(self, channels: int, **options: Any) -> nn.Module:
        missing = [name for name in self.required if name not in options]
        if missing:
            hint = " ".join(f"--set {name}=VALUE" for name in missing)
            raise ValueError(f"{self.name} needs {', '.join(missing)} too", f"give {hint}")
        given = (channels,) if self.takes_channels else ()
        try:
            made = self.make(*given, **options)
        except Exception as error:
            words = [*map(str, given), *(f"{name}={value!r}" for name, value in options.items())]
            raise ValueError(
                f"{self.cls}({', '.join(words)}) raises {_told(error)}",
                "see --channels and --set, or name a function that makes it",
            ) from error
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.name} gives {type(made).__name__}, not an nn.Module", "return the module")
        return made

    @property
    def defaults(self) -> dict[str, object]:
        return {name: option.default for name, option in self.options.items() if name not in self.required}

    def check(self, op: nn.Module, inputs: list[Tensor]) -> None:
        """One forward pass. ValueError if the module refuses its inputs, or gives something else than one tensor."""
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        try:
            with evaluating(op):
                y = op(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            told = " ".join(f'"{told.shape}"' for told in self.inputs)
            raise ValueError(
                f"{self.name} refuses {shapes}: {_told(error)}",
                f'its inputs were taken to be {told}: say --input for each, as in --input "B C H W", or --channels',
            ) from error
        if not isinstance(y, Tensor) or not y.is_floating_point():
            raise ValueError(f"{self.name} gives {type(y).__name__}, not one tensor of numbers", "wrap it in a module")


def foreign(spec: str, *, inputs: list[str] | None = None) -> ForeignCard:
    """The card of `package.module:Class`, or of a function that makes a module; imported as `python -m` would.

    Its first argument, if named `channels` or required, is the number of channels; all others are options. `inputs` are
    the shapes that forward takes, in letters B C T H W, N = T*H*W and numbers; "B C T H W" alone if not told.
    ValueError with a hint on everything that can be wrong with a name.
    """
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        head, _, tail = spec.replace(":", "").rpartition(".")
        raise ValueError(f"{spec!r} names no class", f"did you mean {head}:{tail}?" if head and tail else EXAMPLE)
    target = _find(_import(module), module, name)
    if isinstance(target, nn.Module):
        raise ValueError(f"{spec} is a module that is made already", "name its class, or a function that makes it")
    if isinstance(target, type) and not issubclass(target, nn.Module):
        raise ValueError(f"{spec} is not an nn.Module", "name a class of nn.Module, or a function that makes one")
    if not callable(target):
        raise ValueError(f"{spec} is {type(target).__name__}, neither class nor function", EXAMPLE)
    takes_channels, options, required = _arguments(target)
    shapes = tuple(Input(f"x{i}", _shape(text)) for i, text in enumerate(inputs or ["B C T H W"]))
    letters = {letter for told in shapes for letter in told.shape.split()}
    return ForeignCard(
        name=spec,
        cls=name,
        title=name,
        paper=f"your own, from {module}",
        venue="-",
        arxiv="-",
        slot="-",
        equation="-",
        layer=(64, 8 if letters & {"T", "N"} else 1, 14, 14),
        options=options,
        status="not of the zoo",
        inputs=shapes,
        letters={"N": lambda sizes, options: sizes["T"] * sizes["H"] * sizes["W"]},
        make=target,
        takes_channels=takes_channels,
        required=required,
    )


def _import(name: str) -> types.ModuleType:
    if name.endswith(".py") or "/" in name:
        dotted = ".".join(Path(name).with_suffix("").parts)
        raise ValueError(f"{name} is a file", f"name it as a module: {dotted}:Class, from the folder it is in")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ValueError(f"importing {name} fails: {error}", "install what it needs") from error
        head, _, last = error.name.rpartition(".")
        near = difflib.get_close_matches(last, _modules(head), n=1)
        told = f"did you mean {f'{head}.' if head else ''}{near[0]}?" if near else f"looked in {here} and sys.path"
        raise ValueError(f"no module named {error.name!r}", told) from None
    except Exception as error:
        raise ValueError(f"importing {name} raises {_told(error)}", f"try python -c 'import {name}'") from error


def _modules(package: str) -> list[str]:
    """Names of modules in a package that is imported, or in the working folder."""
    folders = sys.modules[package].__path__ if package and hasattr(sys.modules[package], "__path__") else []
    found = [path for folder in (folders if package else [os.getcwd()]) for path in Path(folder).iterdir()]
    return [path.stem for path in found if path.suffix == ".py" or path.is_dir()]


def _find(module: types.ModuleType, where: str, name: str) -> object:
    try:
        return attrgetter(name)(module)
    except AttributeError:
        known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {where}:{near[0]}?" if near else f"modules there: {', '.join(known) or 'none'}"
        raise ValueError(f"{where} has no {name!r}", hint) from None


def _arguments(target: Callable[..., object]) -> tuple[bool, dict[str, Option], tuple[str, ...]]:
    """Whether it takes channels first; its options; those of them that have no default."""
    try:
        signature = inspect.signature(target, eval_str=True)
    except NameError:  # an annotation that is imported for type checkers only
        signature = inspect.signature(target)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    arguments = list(signature.parameters.values())
    first = arguments[0] if arguments and arguments[0].kind in (inspect.Parameter.POSITIONAL_ONLY, named[0]) else None
    takes_channels = first is not None and (first.name == "channels" or first.default is inspect.Parameter.empty)
    rest = [told for told in arguments[takes_channels:] if told.kind in named]
    options = {told.name: _option(told) for told in rest}
    return takes_channels, options, tuple(told.name for told in rest if told.default is inspect.Parameter.empty)


def _option(argument: inspect.Parameter) -> Option:
    default = None if argument.default is inspect.Parameter.empty else argument.default
    annotated = argument.annotation
    members = typing.get_args(annotated)
    optional = type(None) in members
    kinds = [kind for kind in members if kind is not type(None)] if optional else [annotated]
    if kinds[0] in (int, float, bool, str) and len(kinds) == 1:
        return Option(kinds[0].__name__ + ("?" if optional else ""), default, HELP)
    return FreeOption("str?", default, HELP)


def _shape(text: str) -> str:
    parts = text.replace(",", " ").split()
    wrong = [part for part in parts if part not in tuple("BCTHWN") and not (part.isdecimal() and int(part) > 0)]
    if wrong or not parts:
        told = f"{wrong[0]!r} in {text!r}" if wrong else "an empty shape"
        raise ValueError(f"--input takes letters and numbers, got {told}", f'letters: {LETTERS}; as in "B C T H W"')
    return " ".join(parts)


def _told(error: BaseException) -> str:
    """On one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
