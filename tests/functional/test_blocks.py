import pytest
import torch

from vidops_cli.functional import blocks
from vidops_cli.functional.blocks import block_length, blockwise, recomputed


@pytest.mark.parametrize("total, each, length", [(10, 1, 10), (10, 4, 5), (9, 5, 3), (7, 100, 1), (0, 5, 1), (3, 0, 3)])
def test_blocks_are_of_about_one_size(monkeypatch, total, each, length):
    monkeypatch.setattr(blocks, "BYTES", 20)
    assert block_length(total, each) == length


@pytest.mark.parametrize("dim", [0, 1])
def test_blocks_give_what_the_whole_gives(monkeypatch, dim):
    monkeypatch.setattr(blocks, "BYTES", 64)
    seen = []

    def function(x, y):
        seen.append(x.shape[dim])
        return torch.stack([x.sin() * y, x], dim=2)

    x, y = (torch.randn(7, 7, dtype=torch.float64, requires_grad=True) for _ in range(2))
    whole = function(x, y)
    seen.clear()
    split = blockwise(function, x, y, bytes_each=32, dim=dim, again=True)
    assert seen == [2, 2, 2, 1]
    torch.testing.assert_close(split, whole)
    found = [torch.autograd.grad(form.square().sum(), [x, y]) for form in (whole, split)]
    assert len(seen) == 8  # each block once more, for its gradient
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    seen.clear()
    torch.testing.assert_close(blockwise(function, x, y, bytes_each=32, dim=dim), whole)
    assert seen == [2, 2, 2, 1]
    with torch.no_grad():
        torch.testing.assert_close(blockwise(function, x, y, bytes_each=32, dim=dim), whole)


def test_what_is_made_on_the_way_is_not_kept():
    x = torch.randn(1000, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        recomputed(lambda x: x.exp().sin().cos().sum(), x)
    assert sum(kept) <= 1000
