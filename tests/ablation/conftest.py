from __future__ import annotations

import pytest
from fakes import Fake

from vidops_cli.ablation import launch


@pytest.fixture
def fake(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "MODULE", "fake_vidops")
    monkeypatch.setattr(launch, "POLL", 0.02)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Fake(tmp_path, monkeypatch)
