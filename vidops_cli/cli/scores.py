"""vidops eval --scores: what was kept of evaluations, scored again, put together, compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from vidops_cli.report.table import Table

from .common import print_table


def rescore(paths: list[Path], against: Path | None, average: str | None, per_class: bool, format: str) -> None:
    """Print the metrics of kept scores, of several those of their ensemble, and the difference from another file."""
    from vidops_cli.engine import scores

    files = [scores.Kept.load(path) for path in paths]
    kept = scores.ensemble(files, paths, average)
    found: dict[str, Any] = {"files": [str(path) for path in paths], "kind": kept.kind, "split": kept.split}
    found |= {"n": len(kept.right), "present": kept.present, "views": kept.views, "average": kept.average}
    found |= {"checkpoint": kept.checkpoint, "recipe": kept.recipe, "metrics": kept.metrics()}
    if per_class:
        found["per_class"] = kept.per_class()
    if against is not None:
        found["against"] = str(against)
        found["paired"] = scores.compared(kept, scores.Kept.load(against), (paths[0], against))
    if format == "json":
        typer.echo(json.dumps(found, indent=1))
        return
    print_table(_table(found))
    if per_class:
        print_table(class_table(found["per_class"]))


def _table(found: dict[str, Any]) -> Table:
    from .eval import interval

    metrics = found["metrics"]
    body = [[name, f"{metrics[name]:.2f}"] for name in ("top1", "top5", "mean_class", "loss") if name in metrics]
    what = "clips" if found["kind"] == "clips" else "episodes"
    told = f"{found['n']} {what} scored ({found['present']} of the listed videos present)"
    notes = [f"{told}, scores of {', '.join(found['files'])}"]
    if found["views"] > 1:
        notes.append(f"{found['views']} views, {found['average']} averaged")
    if "low" in metrics:
        notes.append(interval(metrics, found["n"]))
    if "paired" in found:
        pair = found["paired"]
        body.append(["top1, difference", f"{pair['difference']:+.2f}"])
        notes.append(
            f"against {found['against']}: {pair['difference']:+.2f} points, 95 % interval "
            f"[{pair['low']:+.2f}, {pair['high']:+.2f}] by a paired bootstrap over {pair['n']} {what}"
        )
        words = ("right alone on", "the other on") if what == "clips" else ("ahead in", "behind in")
        notes.append(f"{words[0]} {pair['only_a']} {what}, {words[1]} {pair['only_b']}")
    return Table(f"{found['split']} split", ["metric", "value"], body, notes)


def class_table(rows: list[dict[str, Any]]) -> Table:
    body = [[row["class"], str(row["n"]), f"{row['top1']:.2f}"] for row in rows]
    return Table("classes, the best first", ["class", "n", "top1"], body)
