"""Cross-covariance attention, head by head, the covariance as a sum over positions."""

import torch


def unit(columns):
    """(B, N, c): each column of length 1."""
    return columns / torch.sqrt((columns * columns).sum(1, keepdim=True) + 1e-6)


def forward(op, x):
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    parts, heads = op.qkv(tokens).chunk(3, dim=-1), []
    for head, (q, k, v) in enumerate(zip(*(part.chunk(op.heads, dim=-1) for part in parts), strict=True)):
        covariance = torch.einsum("bni,bnj->bij", unit(k), unit(q))
        heads.append(v @ torch.softmax(covariance * op.temperature[head], dim=1))
    return op.proj(torch.cat(heads, dim=-1)).transpose(1, 2).reshape(x.shape)
