"""In which keys two recipes differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ABSENT = object()  # what one of the two does not have
NAMED = {"ablation.rows": "name", "ablation.quoted": "name", "ablation.claims": "claim"}


def differing(a: Any, b: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, value in a, value in b) of what differs, in the order of the keys.

    Entries of lists count from 0, as in overrides; rows, lines and claims of a table go by name: ablation.rows[TSM].
    What one of the two lacks is told as a whole, and so are lists of other lengths.
    """
    one, other = _parts(a, key), _parts(b, key)
    if one and other and (one.keys() == other.keys() or isinstance(a, Mapping) or key in NAMED):
        for name in {**one, **other}:
            yield from differing(one.get(name, ABSENT), other.get(name, ABSENT), name)
    elif a != b:
        yield key, a, b


def _parts(value: Any, key: str) -> dict[str, Any]:
    """What a value is made of, under dotted keys; nothing of one that is told as a whole."""
    if isinstance(value, Mapping):
        return {f"{key}.{name}".lstrip("."): inner for name, inner in value.items()}
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        if key in NAMED:
            return {f"{key}[{item[NAMED[key]]}]": item for item in value}
        return {f"{key}.{i}": item for i, item in enumerate(value)}
    return {}
