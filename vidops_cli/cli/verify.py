"""vidops verify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Device, Form, check_format, console, find_op, options_of, print_json, print_table


def command(
    op: Annotated[
        list[str] | None,
        typer.Option(help="Only this operator's cases, or its contract: of package.module:Class, and where none are."),
    ] = None,
    fixtures: Annotated[
        Path | None, typer.Option(help="Folder of GROUP/CASE.safetensors files. Default: those shipped.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Option of an operator without cases, as window=[3,5,5].")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Of its input.")] = 16,
    device: Device = "auto",
    format: Form = "table",
) -> None:
    """Run frozen cases of the papers' released code on our operators, and compare.

    Outputs, gradients and training-mode outputs must agree; exit code 1 if any does not.
    An operator of yours, or one whose authors released no code, is held against
    what a slot demands, and gradcheck.

    Example: vidops verify --op rsa
    """
    from vidops_cli.own import is_own
    from vidops_cli.record import SCHEMA, command_line, environment
    from vidops_cli.report.verify import contract_table, verify_table

    check_format(format)
    names = list(dict.fromkeys(op or []))
    unreleased = [] if fixtures else _without_cases([name for name in names if not is_own(name)])
    held = [name for name in names if is_own(name) or name in unreleased]
    if set_ and not held:
        raise ValueError("--set is of an operator without frozen cases, as package.module:Class", "leave it out")
    contracts = [_contract(name, channels, set_ or []) for name in held]
    zoo = [name for name in names if name not in held]
    rows, where = _cases(zoo, fixtures, device) if zoo or not held else ([], "cpu")
    env = environment(where)
    if format == "json":
        every = [row for found in (rows, *contracts) for row in found]
        print_json({"schema": SCHEMA, "env": {**env, "command": command_line()}, "rows": every})
    else:
        for found in contracts:
            print_table(contract_table(found, env))
        for name in unreleased:
            told = f"{name}: no released code to compare with; vidops profile --op {name} holds it against the paper's"
            console(note=True).print(f"{told} algorithm", soft_wrap=True)
        if rows:
            print_table(verify_table(rows, env))
    if any(row["passed"] is False for found in (rows, *contracts) for row in found):
        raise typer.Exit(1)


def _without_cases(names: list[str]) -> list[str]:
    """Of these operators of the zoo those that no shipped case is of."""
    from vidops_cli.verify import SHIPPED, find, source_of

    found = {find_op(name).name for name in names}
    if not found:
        return []
    cased = {source.op for case in find(SHIPPED) if (source := source_of(case))}
    return [name for name in names if name in found - cased]


def _contract(name: str, channels: int, given: list[str]) -> list[dict[str, Any]]:
    """Rows of an operator without cases."""
    from vidops_cli.own import is_own
    from vidops_cli.verify.own import contract

    card = find_op(name)
    if not is_own(name) and len(card.inputs) > 1:
        told = f"no code of {name} was released, and the contract is of operators of one map"
        raise ValueError(told, f"vidops profile --op {name} holds it against the paper's algorithm")
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
        raise ValueError(f"no case of {', '.join(sorted(missing))} in {folder}", "leave --fixtures out")

    from vidops_cli.engine.setup import pick_device
    from vidops_cli.verify.run import verify

    where = pick_device(device)
    rows = []
    with console(stderr=True, note=True).status("verifying") as status:
        for case in cases:
            status.update(f"verifying {case.name}")
            rows.append(verify(case, where))
    return rows, str(where)
