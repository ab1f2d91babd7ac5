"""Cases on disk: safetensors files whose metadata say what was run. Only headers are read here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "fixtures"
TOLERANCE = 1e-5  # largest error, over max(1, largest value)
NETWORK, ADVISED = 1e-4, 2e-5  # of a whole network, and what the frozen data's own authors advise
AS_RUN = 1e-3  # of a network as the released code runs it, by accident: for information


@dataclass(frozen=True)
class Case:
    """One run of released code: the file of its tensors, and what its metadata tell. `broken` says why it has none."""

    path: Path
    meta: dict[str, Any]
    broken: str = ""

    @property
    def group(self) -> str:
        return self.path.resolve().parent.name

    @property
    def name(self) -> str:
        return f"{self.group}/{self.path.stem}"

    @property
    def official(self) -> str:
        """What was run, as in `RSA/ops/rsa.py::RSA`."""
        told = (self.meta.get("official"), self.meta.get("cls"))
        return "::".join(str(part) for part in told if part)


def find(folder: Path) -> list[Case]:
    """All cases below a folder, by name; ValueError if there are none."""
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}", "--fixtures takes a folder of GROUP/CASE.safetensors files")
    paths = sorted(folder.rglob("*.safetensors"))
    if not paths:
        raise ValueError(f"no case in {folder}", "--fixtures takes a folder of GROUP/CASE.safetensors files")
    return [_read(path) for path in paths]


def _read(path: Path) -> Case:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            meta = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        return Case(path, {}, broken=f"cannot be read: {' '.join(str(error).split())[:120]}")
    return Case(path, {key: _value(text) for key, text in meta.items()})


def _value(text: str) -> Any:
    """Metadata hold strings; what is JSON in them is read as such."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
