import itertools

import pytest
import torch

from vidops_cli.functional import blocks
from vidops_cli.ops.lambda_layer import LambdaLayer


def make(channels=4, **options):
    torch.manual_seed(0)
    op = LambdaLayer(channels, **{"heads": 2, "key_channels": 3, "window": 3, **options}).double().eval()
    for layer in (op.query, op.value):
        for value in (layer[1].running_mean, layer[1].running_var):
            torch.nn.init.uniform_(value, 0.2, 0.9)
    return op


def normed(layer, features):
    conv, norm = layer
    features = conv.weight[:, :, 0, 0] @ features
    return norm.weight * (features - norm.running_mean) / (norm.running_var + norm.eps) ** 0.5 + norm.bias


@pytest.mark.parametrize("options", [{}, {"frames": 3}, {"window": 7, "heads": 1}, {"out_channels": 6}])
@torch.no_grad()
def test_equation_as_loops(options):
    op, x = make(**options), torch.randn(1, 4, 3, 3, 4, dtype=torch.float64)
    positions = list(itertools.product(*map(range, x.shape[2:])))
    offsets = list(itertools.product(*map(range, op.window)))
    features = {n: x[(0, slice(None), *n)] for n in positions}
    e = {n: torch.exp(op.key.weight[:, :, 0, 0] @ features[n]) for n in positions}
    v = {n: normed(op.value, features[n]) for n in positions}
    content = sum(torch.outer(e[n] / sum(e.values()), v[n]) for n in positions)
    found = op(x)
    for n in positions:
        total = content.clone()
        for d in offsets:
            m = tuple(place + step - size // 2 for place, step, size in zip(n, d, op.window, strict=True))
            if m in v:
                total += torch.outer(op.E[(slice(None), *d)], v[m])
        q = normed(op.query, features[n]).unflatten(0, (op.heads, -1))
        y = torch.cat([total.T @ q[h] for h in range(op.heads)])
        torch.testing.assert_close(found[(0, slice(None), *n)], y)


@torch.no_grad()
def test_content_forgets_places_and_positions_do_not():
    op, x = make(), torch.randn(1, 4, 2, 5, 5, dtype=torch.float64)
    order = torch.randperm(50)
    shuffled = x.flatten(2)[..., order].unflatten(2, (2, 5, 5))
    assert (op(shuffled) - op(x).flatten(2)[..., order].unflatten(2, (2, 5, 5))).abs().max() > 0.1
    op.E.zero_()
    torch.testing.assert_close(op(shuffled), op(x).flatten(2)[..., order].unflatten(2, (2, 5, 5)))


@torch.no_grad()
def test_lambdas_know_no_query():
    """The output is linear in the queries: no weight of a position is normalised by them."""
    op, x = make(), torch.randn(1, 4, 2, 4, 4, dtype=torch.float64)
    y = op(x)
    op.query[1].weight.mul_(3)
    op.query[1].bias.mul_(3)
    torch.testing.assert_close(op(x), 3 * y)


@pytest.mark.parametrize("training", [False, True])
def test_blocks_of_values_are_the_whole(monkeypatch, training):
    op, x = make(8).train(training), torch.randn(2, 8, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    def run():
        return torch.autograd.grad(op(x).square().sum(), [x, *op.parameters()])

    whole = run()
    monkeypatch.setattr(blocks, "BYTES", 1)
    for part, true in zip(run(), whole, strict=True):
        torch.testing.assert_close(part, true)


@pytest.mark.parametrize("options", [{"window": 4}, {"frames": 2}, {"key_channels": 0}, {"heads": 3}])
def test_refuses(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        LambdaLayer(4, **options)
