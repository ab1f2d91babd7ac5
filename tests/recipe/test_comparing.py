"""Keys in which two recipes differ."""

from vidops_cli.recipe.comparing import ABSENT, differing


def test_nothing_differs_from_itself():
    told = {"a": {"b": [1, 2], "c": {}}, "ablation": {"rows": [{"name": "x", "set": {}}]}}
    assert list(differing(told, told)) == []


def test_dotted_keys_and_what_one_lacks():
    a = {"a": {"b": 1, "c": {"d": None}}, "e": [1, 2], "only": {"f": 1}}
    b = {"a": {"b": 2, "c": {}}, "e": [1], "new": 3}
    assert list(differing(a, b)) == [
        ("a.b", 1, 2),
        ("a.c", {"d": None}, {}),
        ("e", [1, 2], [1]),
        ("only", {"f": 1}, ABSENT),
        ("new", ABSENT, 3),
    ]


def test_entries_count_where_lists_are_of_one_length():
    a = {"ops": [{"op": "tsm", "at": "all"}, {"op": "rsa"}]}
    assert list(differing(a, {"ops": [{"op": "tsm", "at": "res2"}, {"op": "rsa"}]})) == [("ops.0.at", "all", "res2")]
    assert list(differing(a, {"ops": a["ops"][:1]})) == [("ops", a["ops"], a["ops"][:1])]
    assert list(differing(a, {"ops": []})) == [("ops", a["ops"], [])]


def test_rows_go_by_name_wherever_they_stand():
    one, two = {"name": "one", "set": {"train.epochs": 1}}, {"name": "two", "set": {}}
    a, b = {"ablation": {"rows": [one, two]}}, {"ablation": {"rows": [two, {**one, "set": {"train.epochs": 2}}]}}
    assert list(differing(a, b)) == [("ablation.rows[one].set.train.epochs", 1, 2)]
    b["ablation"]["rows"].pop()
    assert list(differing(a, b)) == [("ablation.rows[one]", one, ABSENT)]
