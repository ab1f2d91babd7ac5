"""How a run is asked to leave, and where it does: between steps, and at once where nothing is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

RESUME = 75  # exit code of who left and has saved: EX_TEMPFAIL of sysexits.h, "try again"


class Left(BaseException):  # who catches what goes wrong does not catch it
    """The run was asked to leave, in the middle of what it does anew when it goes on."""


class Stop:
    """Asked by `ask`, from a signal's handler, or once `when` says so."""

    def __init__(self, when: Callable[[], bool] = lambda: False) -> None:
        self.when = when
        self.asked = self._at_once = False

    def __call__(self) -> bool:
        self.asked = self.asked or self.when()
        return self.asked

    def ask(self) -> None:
        self.asked = True
        if self._at_once:
            raise Left

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Around waiting, decoding and testing: who asks need not wait for their end, but has Left raised."""
        self._at_once = True
        try:
            if self():
                raise Left
            yield
        except RuntimeError:
            if self.asked:  # another process has left already, and what this one waited for has broken
                raise Left from None
            raise
        finally:
            self._at_once = False
