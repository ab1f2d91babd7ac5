"""Recipes as text, and problems found in them."""

from __future__ import annotations

from vidops_cli.recipe import Problem

GOOD = """\
title: a test
data:
  name: video_folder
  root: videos
model:
  name: resnet_tiny
  ops:
    - op: tsm
      options: {fold_div: 4}
train:
  epochs: 2
  batch: 4
  optimizer:
    lr: 1e-3
"""
ROWS = """\
ablation:
  seeds: [0, 1]
  rows:
    - name: plain
    - name: slow
      set:
        train.optimizer.lr: 1e-4
"""


def the_one(found: list[Problem]) -> Problem:
    assert len(found) == 1, found
    return found[0]


def line(problem: Problem) -> int:
    """The line of a problem in recipe.yaml."""
    file, _, number = problem.where.rpartition(":")
    assert file.endswith("recipe.yaml")
    return int(number)
