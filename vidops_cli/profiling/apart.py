"""Parts of a profile in processes of their own: no row finds the memory as another left it, or falls with another."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch

from vidops_cli.ops import OPS
from vidops_cli.own import OwnCard, card_of

from .cases import Case


class Ended(Exception):
    """A process was ended before its answer; `by_memory`: as the system does with one that takes too much."""

    def __init__(self, code: int | None) -> None:
        name = signal.Signals(-code).name if code and code < 0 else f"code {code}"
        super().__init__(f"its process was ended by {name}")
        self.by_memory = name == "SIGKILL"


def apart(part: Callable[..., Any], case: Case, *given: Any) -> Any:
    """`part(case, *given)` in a fresh process, with as many threads as here; raises what it raises.

    `Ended` if the process ends without an answer. What stops this process stops that one.
    """
    context = multiprocessing.get_context(_method())
    if _method() == "forkserver":
        context.set_forkserver_preload([__name__, part.__module__])  # torch is imported once, not each time
    answer, end = context.Pipe(duplex=False)
    sent = (replace(case, card=None), case.card.name, _inputs(case), torch.get_num_threads())
    process = context.Process(target=_answer, args=(end, part, *sent, given), daemon=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        process.start()
        end.close()  # else it would stay open here, and never end
        try:
            found, error, told = answer.recv()
        except EOFError:
            process.join()
            raise Ended(process.exitcode) from None
    finally:
        process.kill()
        process.join()
        signal.signal(signal.SIGTERM, before)
    if error is not None:
        raise error from RuntimeError(told)
    return found


def _method() -> str:
    """Not fork: a copy of a process whose threads have worked hangs at its first parallel loop."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _inputs(case: Case) -> list[str] | None:
    """What a card that is not of the zoo was made from, beside its name."""
    return [told.shape for told in case.card.inputs] if isinstance(case.card, OwnCard) else None


def _answer(end: Connection, part: Callable[..., Any], case: Case, name: str, inputs: Any, threads: int, given: tuple):
    """Runs in the process: sends what was found, or an error and its traceback."""
    torch.set_num_threads(threads)
    try:
        card = OPS[name] if inputs is None else card_of(name, inputs=inputs)
        end.send((part(replace(case, card=card), *given), None, ""))
    except KeyboardInterrupt:
        return
    except Exception as error:
        end.send((None, _sendable(error), traceback.format_exc()))


def _sendable(error: Exception) -> Exception:
    """The error, or, if it cannot be made again from what is sent, one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
