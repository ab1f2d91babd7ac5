"""Training rows -> an ablation table."""

from __future__ import annotations

from typing import Any

from vidops_cli import stats

from .table import Table, number


def ablation_table(
    *,
    title: str,
    row_names: list[str],
    seeds: list[int],
    metric: str,
    rows: list[dict[str, Any]],
    floors: dict[str, float] | None = None,
    scale: str = "full",
) -> Table:
    """One line for each row of the recipe: the metric over seeds, its distance to the first row, and what it costs."""
    head = ["row", f"{metric} (%)", "seeds", "vs first", "mean class (%)", "train top1 (%)", "params", "MMACs", "s/run"]
    body = []
    first = None
    for name in row_names:
        mine = [row for row in rows if row["row"] == name]
        scores = _values(mine, metric)
        if not scores:
            body.append([name, "not run", f"0/{len(seeds)}", *[""] * 6])
            continue
        centre = stats.mean(scores)
        first = centre if name == row_names[0] else first
        delta = "" if first is None or name == row_names[0] else f"{centre - first:+.1f}"
        cost = mine[0]
        body.append(
            [
                name,
                _spread(scores),
                f"{len(scores)}/{len(seeds)}",
                delta,
                _spread(_values(mine, "mean_class")),
                _spread(_values(mine, "train_top1")),
                number(cost["params"]),
                "" if cost["macs"] is None else f"{cost['macs'] / 1e6:.1f}",
                f"{stats.mean([row['seconds'] for row in mine if row['metric'] == metric]):.0f}",
            ]
        )
    return Table(title=title, head=head, body=body, notes=_notes(metric, rows, floors or {}, scale))


def _values(rows: list[dict[str, Any]], metric: str) -> list[float]:
    return [row["value"] for row in rows if row["metric"] == metric]


def _spread(values: list[float]) -> str:
    spread = stats.std(values)
    return f"{stats.mean(values):.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _notes(metric: str, rows: list[dict[str, Any]], floors: dict[str, float], scale: str) -> list[str]:
    notes = []
    if floors:
        told = ", ".join(f"{name} {100 * value:.1f} %" for name, value in floors.items())
        blind = " (order-blind: the most that a model blind to the order of frames can reach)"
        notes.append(f"floors: {told}{blind if 'order-blind' in floors else ''}")
    if not rows:
        return notes
    scored = [row for row in rows if row["metric"] == metric]
    notes.append(
        "mean ± sample standard deviation over seeds; train top1: running mean of the last epoch; MACs of one clip"
    )
    sizes = sorted({(row["n"], row["present"]) for row in scored})
    notes.append(
        f"{scored[0]['split']} split, "
        + "; ".join(f"{n} clips scored ({present} of the listed videos present)" for n, present in sizes)
        + (", scale: mini" if scale == "mini" else "")
    )
    keys = ("torch", "device", "cpu", "commit", "code", "data")
    told = {key: ", ".join(sorted({str(row[key]) for row in rows})) for key in keys}
    dirty = " (with uncommitted changes)" if any(row["dirty"] for row in rows) else ""
    notes.append(
        f"torch {told['torch']} on {told['device']} ({told['cpu']}); commit {told['commit']}{dirty}; "
        f"code {told['code']}; data {told['data']}; {max(row['date'] for row in rows)[:10]}"
    )
    if "," in told["code"]:
        notes.append("rows were made with different code: run them again with one version before comparing")
    uncounted = sorted({name for row in rows for name in row["uncounted"] or []})
    if uncounted:
        notes.append(f"not counted in MACs: {', '.join(uncounted)}")
    return notes
