"""vidops verify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, Form, check_format, console, find_op, options_of, print_json, print_table


def command(
    op: Annotated[
        list[str] | None,
        typer.Option(help="Only this operator's cases; or package.module:Class of yours, whose contract is checked."),
    ] = None,
    fixtures: Annotated[
        Path | None, typer.Option(help="Folder of GROUP/CASE.safetensors files. Default: those shipped.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of an operator of yours, as window=[3,5,5].")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Of its input.")] = 16,
    device: Device = "auto",
    format: Form = "table",
) -> None:
    """Run frozen cases of the papers' released code on our operators, and compare.

    Outputs, gradients and training-mode outputs must agree; exit code 1 if any does not.
    An operator of yours is held against what a slot demands, and gradcheck.

    Example: vidops verify --op rsa
    """
    from vidops_cli.own import is_own
    from vidops_cli.record import SCHEMA, command_line, environment
    from vidops_cli.report.verify import contract_table, verify_table

    check_format(format)
    own = [name for name in dict.fromkeys(op or []) if is_own(name)]
    if set_ and not own:
        raise ValueError("--set is of an operator of yours, as package.module:Class", "leave it out")
    contracts = [_contract(name, channels, set_ or []) for name in own]
    zoo = [name for name in op or [] if name not in own]
    rows, where = _cases(zoo, fixtures, device) if zoo or not own else ([], "cpu")
    env = environment(where)
    if format == "json":
        every = [row for found in (rows, *contracts) for row in found]
        print_json({"schema": SCHEMA, "env": {**env, "command": command_line()}, "rows": every})
    else:
        for found in contracts:
            print_table(contract_table(found, env))
        if rows:
            print_table(verify_table(rows, env))
    if any(row["passed"] is False for found in (rows, *contracts) for row in found):
        raise typer.Exit(1)


def _contract(name: str, channels: int, given: list[str]) -> list[dict[str, Any]]:
    """Rows of an operator that is not of the zoo."""
    from vidops_cli.verify.own import contract

    card = find_op(name)
    with console(stderr=True, note=True).status(f"checking {name}"):
        return list(contract(card, channels, options_of(card, given)))


def _cases(names: list[str], fixtures: Path | None, device: str) -> tuple[list[dict[str, Any]], str]:
    """Rows of the frozen cases, of these operators or of all, and the device that they ran on."""
    from vidops_cli.verify import SHIPPED, find, is_network, source_of

    folder = fixtures or SHIPPED
    found = find(folder)
    if not any(is_network(case) or source_of(case) or case.broken for case in found):
        raise ValueError(f"no case in {folder} is of a known source", "see `vidops verify --help`")
    wanted = {find_op(name).name for name in names}
    ops = {case.path: source.op for case in found if (source := source_of(case))}
    # what cannot be read or placed might be a case of any operator
    lost = {case.path for case in found if case.broken or (case.path not in ops and not is_network(case))}
    cases = [case for case in found if not wanted or ops.get(case.path) in wanted or case.path in lost]
    if missing := wanted - set(ops.values()):
        raise ValueError(f"no case of {', '.join(sorted(missing))} in {folder}", "see `vidops list ops`")

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.verify.run import verify

    where = pick_device(device)
    rows = []
    with console(stderr=True, note=True).status("verifying") as status:
        for case in cases:
            status.update(f"verifying {case.name}")
            rows.append(verify(case, where))
    return rows, str(where)
