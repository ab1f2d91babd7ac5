"""Claims of a table -> verdicts, from stored rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidops_cli import stats

if TYPE_CHECKING:
    import numpy as np

Row = dict[str, Any]

LEVEL = 0.95  # of all verdicts of a table together


def judge(claims: list[dict[str, Any]], rows: list[Row], *, scale: str) -> list[dict[str, Any]]:
    """One entry for each claim of a table: the claim's keys, scale, and what the rows of this scale say.

    effect: mean over seeds of better - worse, in points; low, high: its interval at `level`, over seeds and, where rows
    tell which clips are right, test clips; seeds: pairs of runs of one seed; clips: test clips of a run, None where
    runs differ in it; note: what else is to be known.

    verdict: "held" if the whole interval lies above `least`, "not held" if below, else "undecided" with `detectable`,
    the effect from which this spread over seeds and clips would have been "held". "not run" without a pair of runs.
    "smoke" at that scale, which shows that a table runs and nothing else.

    The level is that of Holm's step at which the claim was tested, so that a table says something wrong with a
    probability of 5 %, not each of its claims. Claims that cannot be tested yet are counted too: leaving rows out makes
    no verdict easier. ValueError if a row has two values at one seed.
    """
    scored = _scored([row for row in rows if row.get("scale", scale) == scale])
    found = [_measured(claim, scored, scale) for claim in claims]
    tested = [1.0 if effect is None else effect.p_value(entry["least"]) for entry, effect in found]
    for (entry, effect), alpha in zip(found, stats.holm(tested, 1 - LEVEL), strict=True):
        if effect is not None:
            margin = effect.margin(alpha)
            entry |= {"low": effect.value - margin, "high": effect.value + margin, "level": 1 - alpha}
            entry["verdict"] = _verdict(entry)
            entry["detectable"] = entry["least"] + margin if entry["verdict"] == "undecided" else None
    return [entry for entry, _ in found]


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
    notes = []
    alone = sorted(better.keys() ^ worse.keys())
    if better and worse and alone:
        notes.append(f"only one of the rows was run at seed {', '.join(map(str, alone))}")
    if any(row.get("older") for pair in pairs for row in pair):
        notes.append("older code in some rows")
    sets = {(row.get("data"), row.get("split"), row.get("n")) for pair in pairs for row in pair}
    if len(sets) > 1:
        notes.append("not all scored on the same clips")
    entry = {
        **{key: claim[key] for key in ("claim", "metric", "better", "worse", "least")},
        "scale": scale,
        "effect": stats.mean(apart) if pairs else None,
        **dict.fromkeys(("low", "high", "level", "detectable")),
        "verdict": "undecided" if pairs else "not run",
        "seeds": len(pairs),
        "clips": sets.pop()[2] if len(sets) == 1 else None,
        "note": "",
    }
    effect = None
    if not pairs:
        missing = [claim[side] for side, runs in (("better", better), ("worse", worse)) if not runs]
        notes.insert(0, f"not run: {', '.join(missing)}" if missing else "no seed in common")
    elif scale == "smoke":
        entry["verdict"] = "smoke"
    else:
        items = _clips(pairs, entry["clips"])
        effect = stats.paired_effect(apart, items)
        if effect is None:
            notes.insert(0, "one seed carries no interval" if len(pairs) == 1 else "seeds do not differ: no spread")
        elif items is None:
            notes.append("over seeds alone")
    return {**entry, "note": "; ".join(notes)}, effect


def _clips(pairs: list[tuple[Row, Row]], n: int | None) -> np.ndarray | None:
    """(pairs, clips): points that a clip adds to a pair's difference, 100, 0 or -100; None if not known for all."""
    import numpy as np

    told = [[row.get("correct") for row in pair] for pair in pairs]
    if n is None or n < 2 or any(bits is None or len(bits) != 2 * -(-n // 8) for pair in told for bits in pair):
        return None
    packed = np.array([[list(bytes.fromhex(bits)) for bits in pair] for pair in told], dtype=np.uint8)
    right = np.unpackbits(packed, axis=-1, count=n).astype(float)
    return 100 * (right[:, 0] - right[:, 1])
