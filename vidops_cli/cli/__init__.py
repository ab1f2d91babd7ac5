"""The command line: one file for each verb, which parses, calls one function and renders. Only here is
anything printed.

Verbs import the library inside their handlers, so that `--help` answers at once.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from vidops_cli import __version__
from vidops_cli.profiling.memory import is_out_of_memory
from vidops_cli.report.table import printable

from . import (
    ablate,
    compare,
    data,
    doctor,
    eval,
    export,
    import_,
    list_,
    profile,
    recipes,
    report,
    show,
    train,
    validate,
    verify,
    visualize,
)
from .common import QUIET, first_line
from .common import verb as with_options

app = typer.Typer(
    name="vidops",
    help="Benchmark and ablate the operators of video and image understanding.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    train,
    eval,
    profile,
    compare,
    verify,
    visualize,
    ablate,
    report,
    import_,
    export,
    list_,
    show,
    validate,
    doctor,
):
    app.command(verb.__name__.rpartition(".")[2].rstrip("_"))(verb.command)
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipes")
for each in (*app.registered_commands, *data.app.registered_commands, *recipes.app.registered_commands):
    each.callback = with_options(each.callback)
recipes.app.registered_callback.callback = with_options(recipes.listed)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vidops {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an expected error is an `error:` and a `hint:` line and exit code 2."""
    QUIET[0] = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no ± shows a ?
    try:
        sys.exit(app(standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        rank = os.environ.get("RANK")
        if rank and (rank != "0" or isinstance(error, ConnectionError)):
            _wait_for_the_others()
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            sys.exit(0)
        expected = isinstance(error, (ValueError, OSError)) or hasattr(error, "format_message")
        if not expected and not is_out_of_memory(error):
            raise
        for message, hint in _told(error):
            print(printable(f"error: {message}\nhint: {hint}"), file=sys.stderr)
        sys.exit(2)


def _wait_for_the_others() -> None:
    """Of several processes the one that has failed, or the first of all that have, tells, and ends them meanwhile."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(5)


def _told(error: Any) -> list[tuple[str, str]]:
    """Messages and hints of an expected error; a ValueError's second argument is its hint."""
    problems = getattr(error, "problems", None)
    if problems:
        return [(" ".join(f"{problem.where}: {problem.message}".split()), problem.hint) for problem in problems]
    if hasattr(error, "format_message"):  # a command line that Typer cannot read
        context = getattr(error, "ctx", None)
        if key := _key_of(error):
            return [(f"no such option: {error.option_name}", f"a key of the recipe: write {key}=VALUE")]
        return [(error.format_message(), f"see `{context.command_path if context else 'vidops'} --help`")]
    if is_out_of_memory(error):
        return [(f"out of memory: {first_line(error)}", "lower the batch, the frames or the size of the map")]
    if isinstance(error, ConnectionError):
        return [(str(error), "the same command goes on; what that process told stands above, or in its log")]
    if isinstance(error, (FileExistsError, NotADirectoryError)) and (file := _file_above(error.filename)):
        return [(f"{file} is a file, not a folder", "name another place")]
    if isinstance(error, OSError):
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return [(what, "check that the place exists, may be written, and is not full")]
    if isinstance(error, UnicodeError):
        return [(f"a name or a text is not in UTF-8: {error.reason}", "rename what a list or folder names so")]
    message, *hint = error.args or ("unknown",)
    return [(" ".join(str(message).split()), str(hint[0]) if hint else "see `vidops --help`")]


def _file_above(name: object) -> Path | None:
    """The file that stands where a path, or one above it, would be a folder."""
    if not isinstance(name, str):
        return None
    return next((place for place in (Path(name), *Path(name).parents) if place.is_file()), None)


def _key_of(error: Any) -> str | None:
    """The key of recipes that an unknown option has the name of, where the verb takes changes to a recipe."""
    name = getattr(error, "option_name", "").lstrip("-").replace("-", "_")
    context = getattr(error, "ctx", None)
    if not name or context is None or "overrides" not in {each.name for each in context.command.params}:
        return None
    from vidops_cli.recipe import keys

    named = [key for key, *_ in keys() if f".{key}".endswith(f".{name}") and ".N." not in key]
    return min(named, key=lambda key: (not key.startswith("train."), key.count(".")), default=None)
