import pytest

from vidops_cli.data import DATASETS
from vidops_cli.data.mini import benchmark, motion
from vidops_cli.models import MODELS
from vidops_cli.ops import OPS
from vidops_cli.recipe import Known, load

KNOWN = Known(ops=OPS, models=MODELS, datasets=DATASETS)


@pytest.fixture(scope="session")
def clips_root(tmp_path_factory):
    """A benchmark of 40 + 8 + 16 short clips."""
    root = tmp_path_factory.mktemp("mini_motion")
    dials = motion.Dials(frames=4, size=16, radius=4.0, speed=4.0, crf=0)  # lossless: whatever x264 there is
    benchmark.generate("mini_motion", root, dials=dials, sizes={"train": 40, "val": 8, "test": 16})
    return root


@pytest.fixture
def recipe(clips_root, tmp_path):
    """A function of overrides -> a recipe that trains in a second."""

    def make(*overrides: str):
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"""
scale: mini
data: {{name: mini_motion, root: {clips_root}, num_frames: 4}}
model: {{name: resnet_tiny, dropout: 0.2, ops: [{{op: tsm}}]}}
train:
  epochs: 2
  batch: 8
  optimizer: {{name: adamw, lr: 4e-3, weight_decay: 1e-2}}
  schedule: {{warmup: 0.2}}
  recalibrate_bn: 2
  threads: 1
eval: {{batch: 16}}
"""
        )
        return load(path, KNOWN, list(overrides))

    return make
