"""vidops verify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import Device, Form, check_format, console, find_op, print_table


def command(
    op: Annotated[list[str] | None, typer.Option(help="Only this operator's cases; may be repeated.")] = None,
    fixtures: Annotated[
        Path | None, typer.Option(help="Folder of GROUP/CASE.safetensors files. Default: those shipped.")
    ] = None,
    device: Device = "auto",
    format: Form = "table",
) -> None:
    """Run frozen cases of the papers' released code on our operators, and compare.

    Outputs, gradients and training-mode outputs must agree; exit code 1 if any does not.

    Example: vidops verify --op rsa
    """
    import json

    from vidops_cli.record import SCHEMA, command_line, environment
    from vidops_cli.report.verify import verify_table
    from vidops_cli.verify import SHIPPED, find, is_network, source_of

    check_format(format)
    folder = fixtures or SHIPPED
    found = find(folder)
    if not any(is_network(case) or source_of(case) or case.broken for case in found):
        raise ValueError(f"no case in {folder} is of a known source", "see `vidops verify --help`")
    wanted = {find_op(name).name for name in op or []}
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
    env = environment(str(where))
    if format == "json":
        typer.echo(json.dumps({"schema": SCHEMA, "env": {**env, "command": command_line()}, "rows": rows}, indent=1))
    else:
        print_table(verify_table(rows, env))
    if any(row["passed"] is False for row in rows):
        raise typer.Exit(1)
