import torch

from vidops_cli.functional.partition import joined, relative_index, shift_mask, windows


def test_windows_of_three_axes_and_back():
    x = torch.arange(2 * 4 * 6 * 4 * 3.0).view(2, 4, 6, 4, 3)
    cut = windows(x, (2, 3, 2))
    assert cut.shape == (2, 8, 12, 3)
    assert torch.equal(cut[:, 1].flatten(), x[:, :2, :3, 2:].flatten())  # the second is to the right of the first
    assert torch.equal(cut[:, 4].flatten(), x[:, 2:, :3, :2].flatten())  # the last axis runs fastest
    assert torch.equal(joined(cut, (4, 6, 4), (2, 3, 2)), x)


def test_index_and_mask():
    index = relative_index((2, 1, 2), (2, 3, 2))
    assert index.shape == (4, 4)
    assert index.diagonal().unique().tolist() == [(1 * 5 + 2) * 3 + 1]  # offset 0
    assert index[3, 0] == (2 * 5 + 2) * 3 + 2
    padded = shift_mask((1, 4), (1, 2), (0, 0), true=(1, 3))
    assert padded.tolist() == [[[0, 0], [0, 0]], [[0, -100], [-100, 0]]]
