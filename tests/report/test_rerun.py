"""Two tables of one recipe: which cells are the same, what is judged of the others, and what the verb answers."""

from __future__ import annotations

import json

import pytest

from vidops_cli.report.rerun import rerun, rerun_table


def table(
    scores: dict[tuple[str, float], dict[int, float]], *, date: str = "1", data: str = "d", torch: str = "2.13.0"
) -> dict:
    """As `vidops ablate` writes it: top1 and loss of each cell."""
    rows = []
    for (name, rate), seeds in scores.items():
        for seed, top1 in seeds.items():
            about = {"row": name, "seed": seed, "cell": f"{name}{rate}{seed}", "recipe": name, "data": data}
            about |= {"date": date, "seconds": 2.0, "commit": "c", "torch": torch}
            about |= {"rate": rate} if rate != 1 else {}
            rows += [{"metric": "top1", "value": top1, "correct": "f", **about}]
            rows += [{"metric": "loss", "value": 1.0, **about}]
    return {"schema": 1, "table": {"metric": "top1", "title": "T"}, "rows": rows}


A = table({("TSN", 1.0): {0: 25.0, 1: 30.0, 2: 28.0}, ("TSM", 1.0): {0: 80.0}, ("TSM", 0.5): {0: 60.0}})


def test_the_same_to_the_last_bit():
    again = table({("TSN", 1.0): {1: 30.0, 2: 28.0}, ("TSM", 1.0): {0: 80.0 + 1e-13}}, date="2")
    found = rerun(A, again)
    assert [(row["row"], row["cells"], row["same"], row["result"]) for row in found.rows] == [
        ("TSN", 2, 2, "same"),
        ("TSM", 1, 0, "differs, not judged"),  # one seed
    ]
    assert found.only_a == {"TSN": 1, "TSM, lr x0.5": 1} and found.only_b == {} and not found.worse
    again["rows"][1]["value"] = 1.5  # a loss alone tells that it is not
    assert rerun(A, again).rows[0]["same"] == 1 and rerun(A, again).rows[0]["result"] == "same clips right"
    again["rows"][1]["value"], again["rows"][0]["correct"] = 1.0, "e"  # and so do the clips
    assert rerun(A, again).rows[0]["same"] == 1


@pytest.mark.parametrize(
    ("changes", "result"),
    [((-3, -4, -5), "worse"), ((3, 4, 5), "better"), ((-5, 6, 1), "differs, within the spread")],
)
def test_what_differs_is_judged_over_seeds(changes, result):
    seeds = {seed: value + change for seed, value, change in zip(range(3), (25, 30, 28), changes, strict=True)}
    found = rerun(A, table({("TSN", 1.0): seeds}, date="2"))
    row = found.rows[0]
    assert (row["result"], row["same"], found.worse) == (result, 0, result == "worse")
    assert row["effect"] == pytest.approx(sum(changes) / 3) and row["b"] - row["a"] == pytest.approx(row["effect"])
    if result != "differs, within the spread":
        assert row["margin"] == pytest.approx(4.302653 * 1 / 3**0.5, rel=1e-5)  # t of 2 degrees, deviation 1


def test_notes_tell_what_is_no_rerun():
    found = rerun(A, A)
    assert "5 cells are one run that stands in both" in "\n".join(rerun_table(found, A, A).notes)
    other = table({("TSN", 1.0): {0: 25.0}}, date="2", data="e", torch="2.14.0")
    notes = "\n".join(rerun_table(rerun(A, other), A, other).notes)
    assert "1 cells have another recipe or other data in B" in notes and "one run that stands" not in notes
    assert "made on another device, processor or torch in B: 2.13.0, None | 2.14.0, None" in notes
    assert "only in A: 4 cells of TSN, TSM, TSM, lr x0.5" in notes


def test_rows_of_costs_are_held_against_each_other():
    cost = {"row": "R50", "seed": 0, "cell": "c", "recipe": "r", "metric": "macs", "value": 5}
    a, b = ({**A, "rows": [{**cost, "value": value}]} for value in (5, 6))
    assert rerun(a, a).rows[0]["result"] == "same" and rerun(a, b).rows[0]["result"] == "differs, not judged"


@pytest.mark.parametrize(
    ("b", "told"),
    [
        (table({("other", 1.0): {0: 1.0}}), "no cell in common"),
        ({**A, "table": {"metric": "mean_class"}}, "A is judged by top1, B by mean_class"),
        ({**A, "rows": [{"row": "TSN"}]}, "B holds rows that are no table's"),
        ({**A, "rows": ["TSN"]}, "B holds rows that are no table's"),
    ],
)
def test_what_cannot_be_compared(b, told):
    with pytest.raises(ValueError, match=told):
        rerun(A, b)


def test_the_verb(vidops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worse = table({("TSN", 1.0): {0: 22.0, 1: 26.0, 2: 23.0}}, date="2")
    for name, told in {"a": A, "b": worse, "profile": {"schema": 1, "rows": [], "env": {}}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [{k: A[k] for k in A if k != "rows"}, *A["rows"]])))
    assert vidops("compare", "a.json", "a.jsonl")[0] == 0
    code, out, err = vidops("compare", "a.jsonl", "b.json")
    assert (code, err) == (1, "") and "worse" in out and "-4.00 [-6.48, -1.52]" in out
    code, out, _ = vidops("compare", "a.jsonl", "b.json", "--format", "json")
    assert code == 1 and json.loads(out)["rows"][0]["result"] == "worse"
    assert "tables are judged by their spread" in vidops("compare", "a.json", "b.json", "--fail-over", "5%")[2]
    code, _, err = vidops("compare", "a.json", "profile.json")
    assert code == 2 and err.startswith("error: ") and "two of tables of `vidops ablate`" in err
