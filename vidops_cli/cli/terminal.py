"""Rich's console, on which no name from a file is a command to the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from vidops_cli.report.table import printable


class Terminal(Console):
    """Only rich's own control codes go out: names of rows, classes and files are shown, whatever is in them."""

    def render(self, *told: Any, **options: Any) -> Iterable[Segment]:
        for segment in super().render(*told, **options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
