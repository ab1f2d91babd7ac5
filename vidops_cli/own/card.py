"""The card of a class or function that is not of the zoo, from its signature, its docstring and a few attributes.

    class MyOp(nn.Module):
        '''What it is, in a line.

        heads: what this option means
        '''

        slot = "after_stage"  # where it stands unless a recipe says another place; none: a recipe says it
        paper, venue, arxiv = "Its title", "its venue", "2401.00001"
        min_frames = 2  # of a clip; 1 if not told

        def __init__(self, channels: int, *, heads: int = 4): ...

Its first argument, if named `channels` or without a default, is the number of channels; all others are options.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from vidops_cli.ops import Card, Input, Option

from .source import Source, imported, one_line

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
class OwnCard(Card):
    """The card of a class or function that is not of the zoo."""

    make: Callable[..., object]
    spec: str  # package.module:Class
    source: Source
    takes_channels: bool  # as its first argument
    required: tuple[str, ...]  # options without a default
    package: str = ""  # that registers it, with its version

    def load(self) -> Callable[..., Any]:
        """(channels, **options) -> the nn.Module, with the signature of the class. ValueError if it cannot be made."""

        def build(channels: int, **options: Any) -> Any:
            return self._build(channels, options)

        build.__signature__ = _signature(self.make)
        return build

    def _build(self, channels: int, options: Mapping[str, Any]) -> Any:
        from torch import nn

        missing = [name for name in self.required if name not in options]
        if missing:
            hint = " ".join(f"--set {name}=VALUE" for name in missing)
            raise ValueError(f"{self.name} needs {', '.join(missing)} too", f"give {hint}, or options: in a recipe")
        given = (channels,) if self.takes_channels else ()
        try:
            made = self.make(*given, **options)
        except Exception as error:
            words = [*map(str, given), *(f"{name}={value!r}" for name, value in options.items())]
            advice = error.args[1] if isinstance(error, ValueError) and len(error.args) > 1 else None
            told = f"ValueError: {error.args[0]}" if advice else one_line(error)
            raise ValueError(
                f"{self.cls}({', '.join(words)}) raises {told}",
                str(advice or "see --channels and --set, or name a function that makes it"),
            ) from error
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.name} gives {type(made).__name__}, not an nn.Module", "return the module")
        return made

    @property
    def defaults(self) -> dict[str, object]:
        return {name: option.default for name, option in self.options.items() if name not in self.required}


def own_card(
    spec: str, *, name: str | None = None, package: str = "", inputs: list[str] | None = None, slots: tuple = ()
) -> OwnCard:
    """The card of `package.module:Class`, or of a function that makes a module; imported as `python -m` would.

    `inputs` are the shapes that forward takes, in letters B C T H W, N = T*H*W and numbers; "B C T H W" alone if not
    told. `slots`: what its attribute `slot` may say. ValueError with a hint on everything that can be wrong.
    """
    module, cls = split(spec)
    home = imported(module)
    target = _find(home, module, cls)
    _refuse(spec, target)
    takes_channels, options, required = _arguments(target)
    shapes = tuple(Input(f"x{i}" if inputs else "x", _shape(text)) for i, text in enumerate(inputs or ["B C T H W"]))
    letters = {letter for told in shapes for letter in told.shape.split()}
    slot, frames = getattr(target, "slot", ""), getattr(target, "min_frames", 1)
    if slot and slots and slot not in slots:
        raise ValueError(f"{spec} says slot = {slot!r}", f"one of {', '.join(slots)}")
    if not isinstance(frames, int) or frames < 1:
        raise ValueError(f"{spec} says min_frames = {frames!r}", "a number of frames, from 1")
    made_by = package or module
    return OwnCard(
        name=name or spec,
        cls=cls,
        title=(inspect.getdoc(target) or cls).splitlines()[0] if _documented(target) else cls,
        paper=str(getattr(target, "paper", f"your own, from {made_by}")),
        venue=str(getattr(target, "venue", "-")),
        arxiv=str(getattr(target, "arxiv", "-")),
        slot=slot,
        equation=str(getattr(target, "equation", "-")),
        layer=(64, max(8, frames) if letters & {"T", "N"} else 1, 14, 14),
        options=options,
        status=f"of the package {package}" if package else "not of the zoo",
        min_frames=frames,
        inputs=shapes,
        letters={"N": lambda sizes, options: sizes["T"] * sizes["H"] * sizes["W"]},
        make=target,
        spec=spec,
        source=Source.of(home),
        takes_channels=takes_channels,
        required=required,
        package=package,
    )


def split(spec: str) -> tuple[str, str]:
    """Module and class of `package.module:Class`; ValueError if it is no such thing."""
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        head, _, tail = spec.replace(":", "").rpartition(".")
        raise ValueError(f"{spec!r} names no class", f"did you mean {head}:{tail}?" if head and tail else EXAMPLE)
    return module, name


def _find(module: types.ModuleType, where: str, name: str) -> Any:
    from torch import nn

    try:
        return attrgetter(name)(module)
    except AttributeError:
        known = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {where}:{near[0]}?" if near else f"modules there: {', '.join(known) or 'none'}"
        raise ValueError(f"{where} has no {name!r}", hint) from None


def _refuse(spec: str, target: object) -> None:
    """ValueError unless it is a class of nn.Module, or a function."""
    from torch import nn

    if isinstance(target, nn.Module):
        raise ValueError(f"{spec} is a module that is made already", "name its class, or a function that makes it")
    if isinstance(target, type) and not issubclass(target, nn.Module):
        raise ValueError(f"{spec} is not an nn.Module", "name a class of nn.Module, or a function that makes one")
    if not callable(target):
        raise ValueError(f"{spec} is {type(target).__name__}, neither class nor function", EXAMPLE)


# --- options ----------------------------------------------------------------------------------------------------------


def _signature(target: Callable[..., object]) -> inspect.Signature:
    try:
        return inspect.signature(target, eval_str=True)
    except NameError:  # an annotation that is imported for type checkers only
        return inspect.signature(target)


def _arguments(target: Callable[..., object]) -> tuple[bool, dict[str, Option], tuple[str, ...]]:
    """Whether it takes channels first; its options; those of them that have no default."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    arguments = list(_signature(target).parameters.values())
    first = arguments[0] if arguments and arguments[0].kind in (inspect.Parameter.POSITIONAL_ONLY, named[0]) else None
    takes_channels = first is not None and (first.name == "channels" or first.default is inspect.Parameter.empty)
    rest = [told for told in arguments[takes_channels:] if told.kind in named]
    meanings = _meanings(target)
    options = {told.name: _option(told, meanings.get(told.name, HELP)) for told in rest}
    return takes_channels, options, tuple(told.name for told in rest if told.default is inspect.Parameter.empty)


def _option(argument: inspect.Parameter, help: str) -> Option:
    """By its annotation: a number, a flag, a word, one of some words, integers; else its constructor judges."""
    default = None if argument.default is inspect.Parameter.empty else argument.default
    members = typing.get_args(argument.annotation)
    union = typing.get_origin(argument.annotation) in (typing.Union, types.UnionType)
    kinds = [kind for kind in members if kind is not type(None)] if union else [argument.annotation]
    null = "?" if union and type(None) in members else ""
    if len(kinds) == 1 and kinds[0] in (int, float, bool, str):
        return Option(kinds[0].__name__ + null, default, help)
    origin, inside = typing.get_origin(kinds[0]), typing.get_args(kinds[0])
    if len(kinds) == 1 and origin is typing.Literal and all(isinstance(word, str) for word in inside):
        return Option(f"str{null}", default, help, inside)
    if len(kinds) == 1 and origin in (tuple, list) and set(inside) <= {int, ...} and inside:
        length = len(inside) if origin is tuple and ... not in inside else None
        return Option(f"ints{null}", default, help, length=length)
    return FreeOption("str?", default, help)


def _documented(target: Any) -> bool:
    """Whether its docstring is its own, not that of nn.Module."""
    return bool(target.__doc__ if not isinstance(target, type) else vars(target).get("__doc__"))


def _meanings(target: Any) -> dict[str, str]:
    """Of options, as lines `name: meaning`, `name (type): meaning` or `:param name: meaning` of a docstring tell."""
    texts = [inspect.getdoc(target) or "" if _documented(target) else ""]
    texts += [inspect.getdoc(target.__init__) or ""] if isinstance(target, type) else []
    found = re.findall(r"^\s*(?::param\s+)?(\w+)(?:\s*\([^)]*\))?\s*:\s+(\S.*)$", "\n".join(texts), re.M)
    return dict(found)


def _shape(text: str) -> str:
    parts = text.replace(",", " ").split()
    wrong = [part for part in parts if part not in tuple("BCTHWN") and not (part.isdecimal() and int(part) > 0)]
    if wrong or not parts:
        told = f"{wrong[0]!r} in {text!r}" if wrong else "an empty shape"
        raise ValueError(f"--input takes letters and numbers, got {told}", f'letters: {LETTERS}; as in "B C T H W"')
    return " ".join(parts)
