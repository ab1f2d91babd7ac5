"""Claims of a table -> verdicts, from stored rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidops_cli import stats
from vidops_cli.recipe.schema import COSTS

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]

LEVEL = 0.95  # of all verdicts of a table together


def judge(
    claims: list[dict[str, Any]], rows: list[Row], *, scale: str, rates: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """One entry for each claim of a table: the claim's keys, scale, and what the rows of this scale say.

    effect: mean over seeds of better - worse, in points; low, high: its interval at `level`, over seeds and, where rows
    tell which clips are right, test clips, or their groups (episodes); seeds: pairs of runs of one seed; clips: test
    clips of a run, None where runs differ in it, group: how many share an episode; note: what else is to be known.

    verdict: "held" if the whole interval lies above `least`, "not held" if below, else "undecided" with `detectable`,
    the effect from which this spread over seeds and clips would have been "held". "not run" without a pair of runs.
    "smoke" at that scale, which shows that a table runs and nothing else.

    The level is that of Holm's step at which the claim was tested, so that a table says something wrong with a
    probability of 5 %, not each of its claims. Claims that cannot be tested yet are counted too: leaving rows out makes
    no verdict easier. ValueError if a row has two values at one seed.

    rates: the verdicts at these multiples of the learning rate, each of a table of its own. A claim on a cost is judged
    apart, by the numbers themselves: effect: by how many percent better costs more than worse; "held" if by no more
    than `most`; no interval, no seeds, no rates.
    """
    mine = [row for row in rows if row.get("scale", scale) == scale]
    at = {rate: [row for row in mine if row.get("rate", 1) == rate] for rate in (1, *rates)}
    scored = [claim for claim in claims if claim["metric"] not in COSTS]
    tested = iter(zip(*(_tested(scored, at[rate], scale) for rate in at), strict=True))
    judged = []
    for claim in claims:
        if claim["metric"] in COSTS:
            judged.append(_counted(claim, at[1], scale))
        else:
            entry, *others = next(tested)
            told = {f"{rate:g}": other["verdict"] for rate, other in zip(rates, others, strict=True)}
            judged.append({**entry, "rates": told})
    return judged


def _tested(claims: list[dict[str, Any]], rows: list[Row], scale: str) -> list[dict[str, Any]]:
    """Entries of claims on accuracy, which share their error."""
    scored = _scored(rows)
    found = [_measured(claim, scored, scale) for claim in claims]
    tested = [1.0 if effect is None else effect.p_value(entry["least"]) for entry, effect in found]
    for (entry, effect), alpha in zip(found, stats.holm(tested, 1 - LEVEL), strict=True):
        if effect is not None:
            margin = effect.margin(alpha)
            entry |= {"low": effect.value - margin, "high": effect.value + margin, "level": 1 - alpha}
            entry["verdict"] = _verdict(entry)
            entry["detectable"] = entry["least"] + margin if entry["verdict"] == "undecided" else None
    return [entry for entry, _ in found]


def growth(claims: list[dict[str, Any]], scaling: list[Row]) -> list[dict[str, Any]]:
    """One entry for each claim of a suite, by the exponents that were fitted to its series.

    effect, low, high: the exponent with its 95 % interval. "held" if the whole interval lies below the number of the
    claim, or below the whole interval of the other operator; "not held" if above; else "undecided".
    """
    fitted = {(row["op"], row["what"]): row for row in scaling if "exponent" in row}
    judged = []
    for claim in claims:
        mine, other = fitted.get((claim["op"], claim["what"])), fitted.get((claim["than"], claim["what"]))
        told = {"claim": claim["claim"], "metric": claim["what"], "better": claim["op"], "worse": claim["than"]}
        entry = {**_entry(told, "full"), "below": claim["below"]}
        bounds = (claim["below"], claim["below"]) if claim["than"] is None else other and (other["low"], other["high"])
        if mine is not None and bounds is not None:
            entry |= {"effect": mine["exponent"], "low": mine["low"], "high": mine["high"], "verdict": "undecided"}
            if None in (mine["low"], *bounds):
                entry["note"] = "two sizes carry no interval"
            elif mine["high"] < bounds[0]:
                entry["verdict"] = "held"
            elif mine["low"] > bounds[1]:
                entry["verdict"] = "not held"
            if claim["than"] is not None and other["low"] is not None:
                entry["note"] = f"{claim['than']}: {other['exponent']:.2f} [{other['low']:.2f}, {other['high']:.2f}]"
        judged.append(entry)
    return judged


def failed(judged: list[dict[str, Any]]) -> bool:
    """Whether a check of these claims fails: one of them is not "held", whatever else it is.

    A claim that is undecided, not run or only smoked has not been shown; a table without claims has none to fail.
    """
    return any(entry["verdict"] != "held" for entry in judged)


def _verdict(entry: dict[str, Any]) -> str:
    if entry["low"] > entry["least"]:
        return "held"
    return "not held" if entry["high"] < entry["least"] else "undecided"


def _scored(rows: list[Row]) -> dict[tuple[str, str], dict[int, Row]]:
    """(row, metric) -> seed -> its row of the store."""
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        runs = found.setdefault((row["row"], row["metric"]), {})
        if row["seed"] in runs:
            told = f"two values of {row['metric']} for {row['row']!r}, seed {row['seed']}"
            raise ValueError(told, "keep the rows of one of the two cells")
        runs[row["seed"]] = row
    return found


def _measured(
    claim: dict[str, Any], scored: dict[tuple[str, str], dict[int, Row]], scale: str
) -> tuple[dict[str, Any], stats.Effect | None]:
    """A claim's entry without interval, and its effect where one can be judged."""
    better, worse = (scored.get((claim[side], claim["metric"]), {}) for side in ("better", "worse"))
    pairs = [(better[seed], worse[seed]) for seed in sorted(better.keys() & worse.keys())]
    apart = [a["value"] - b["value"] for a, b in pairs]
    notes = _marks([row for pair in pairs for row in pair])
    alone = sorted(better.keys() ^ worse.keys())
    if better and worse and alone:
        notes.insert(0, f"only one of the rows was run at seed {', '.join(map(str, alone))}")
    sets = {tuple(map(row.get, ("data", "split", "n", "group"))) for pair in pairs for row in pair}
    if len(sets) > 1:
        notes.append("not all scored on the same clips")
    *_, clips, group = sets.pop() if len(sets) == 1 else (None, None)
    entry = {
        **_entry(claim, scale),
        "effect": stats.mean(apart) if pairs else None,
        "verdict": "undecided" if pairs else "not run",
        "seeds": len(pairs),
        "clips": clips,
        "group": group,
    }
    effect = None
    if not pairs:
        missing = [claim[side] for side, runs in (("better", better), ("worse", worse)) if not runs]
        notes.insert(0, f"not run: {', '.join(missing)}" if missing else "no seed in common")
    elif scale == "smoke":
        entry["verdict"] = "smoke"
    else:
        items = _clips(pairs, clips, group or 1)
        effect = stats.paired_effect(apart, items)
        if effect is None:
            notes.insert(0, "one seed carries no interval" if len(pairs) == 1 else "seeds do not differ: no spread")
        elif items is None:
            notes.append("over seeds alone")
    return {**entry, "note": "; ".join(notes)}, effect


def _entry(claim: dict[str, Any], scale: str) -> dict[str, Any]:
    """The keys of every entry, as they are while nothing is known."""
    told = {key: claim.get(key) for key in ("claim", "metric", "better", "worse", "least", "most")}
    unknown = dict.fromkeys(("effect", "low", "high", "level", "detectable", "seeds", "clips", "group"))
    return {**told, "scale": scale, **unknown, "verdict": "not run", "rates": {}, "note": ""}


def _marks(rows: list[Row]) -> list[str]:
    """What spoils rows for a claim, whatever they say."""
    marks = {"older": "older code in some rows", "dirty": "uncommitted changes in some rows"}
    return [told for key, told in marks.items() if any(row.get(key) for row in rows)]


def _counted(claim: dict[str, Any], rows: list[Row], scale: str) -> dict[str, Any]:
    """The entry of a claim on a cost. Where runs of a row differ in it, the dearest of better against the cheapest."""
    metric, sides = claim["metric"], [claim["better"], claim["worse"]]
    known = [[row for row in rows if row["row"] == name and row.get(metric) is not None] for name in sides]
    entry = {**_entry(claim, scale), "least": None}
    missing = [name for name, found in zip(sides, known, strict=True) if not found]
    if missing:
        return {**entry, "note": f"not run: {', '.join(missing)}"}
    better, worse = ({row[metric] for row in found} for found in known)
    notes = [f"runs of a row differ in {metric}"] if len(better) > 1 or len(worse) > 1 else []
    effect = 100 * (max(better) - min(worse)) / min(worse)
    verdict = "held" if effect <= claim["most"] else "not held"
    note = "; ".join([*notes, *_marks([row for found in known for row in found])])
    return {**entry, "effect": effect, "verdict": "smoke" if scale == "smoke" else verdict, "note": note}


def _clips(pairs: list[tuple[Row, Row]], n: int | None, group: int) -> np.ndarray | None:
    """(pairs, clips / group): points that the clips of a group add to a pair's difference, from 100 to -100.

    Clips of an episode share its support set: not they are independent, their episodes are. None if not known for all.
    """
    import numpy as np

    if n is None or n < 2 * group or n % group:
        return None
    told = [[row.get("correct") for row in pair] for pair in pairs]
    if any(bits is None or len(bits) != 2 * -(-n // 8) for pair in told for bits in pair):
        return None
    packed = np.array([[list(bytes.fromhex(bits)) for bits in pair] for pair in told], dtype=np.uint8)
    right = np.unpackbits(packed, axis=-1, count=n).astype(float)
    return 100 * (right[:, 0] - right[:, 1]).reshape(len(pairs), -1, group).mean(axis=-1)
