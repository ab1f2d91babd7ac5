"""Keys of training that do not go together, and recipes of before them."""

from __future__ import annotations

import pytest
from texts import GOOD

from vidops_cli.recipe import RecipeError


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.schedule={name: step}"], "train.schedule: step falls at epochs that are told"),
        (["train.schedule={at: [1]}"], "train.schedule.at is of step, the schedule is cosine"),
        (["train.schedule={name: step, at: [3, 2]}"], "train.schedule.at: epochs that rise, got [3, 2]"),
        (["train.schedule={start: 0.1}"], "train.schedule.start is of a warm-up, which is 0"),
        (["train.schedule={by: 1.0}"], "train.schedule.by: expected"),
        (["train.accumulate=1000"], "parts"),
        (["train.batch_norm=frozen", "train.recalibrate_bn=2"], "keeps"),
        (["train.compile=true", "train.activation_checkpointing=true"], "choose themselves what they keep"),
        (["train.optimizer.layer_decay=0"], "train.optimizer.layer_decay: expected"),
        (["model.drop_path=1"], "model.drop_path: expected"),
        (["train.batch_norm=frosty"], "train.batch_norm: expected"),
        (["train.ema=1"], "train.ema: expected"),
        (["train.precision=float8"], "train.precision: expected"),
        (["train.optimizer.groups=[{of: []}]"], "train.optimizer.groups.0.of: expected"),
    ],
)
def test_refused(read, overrides, message):
    with pytest.raises(RecipeError) as error:
        read(GOOD, *overrides)
    found = [f"{problem.where.partition('=')[0]}: {problem.message}" for problem in error.value.problems]
    assert any(message in told for told in found), found


def test_later_keys_are_not_in_the_hash_at_their_defaults(read):
    """Results of before them hold."""
    told = read(GOOD).identity()["train"]
    assert not {"accumulate", "batch_norm", "ema"} & told.keys()
    assert "groups" not in told["optimizer"] and not {"start", "at", "by", "per"} & told["schedule"].keys()
    for override in ("train.accumulate=2", "train.ema=0.9", "train.optimizer.groups=[{of: [a]}]"):
        assert read(GOOD, override).hash() != read(GOOD).hash()
