"""Local self-attention: keys and values are unfolded; q r, the relative term, stands beside q k."""

import torch
import torch.nn.functional as F


def unfolded(x, window):
    """(n, C, H, W) -> (n, C, N, H, W), N = window^2"""
    return F.unfold(x, window, padding=window // 2).reshape(*x.shape[:2], -1, *x.shape[2:])


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    v = F.conv2d(images, op.value.weight)
    if op.attends:
        q, k = F.conv2d(images, op.query.weight), F.conv2d(images, op.key.weight)
        heads = (op.heads or C, -1)
        q, k, v = q.unflatten(1, heads), *(unfolded(part, op.window).unflatten(1, heads) for part in (k, v))
        rows, columns = op.rel_h.repeat_interleave(op.window, 1), op.rel_w.repeat(1, op.window)
        r = torch.cat([rows, columns]).unflatten(0, heads)
        scores = torch.einsum("nmchw,nmcdhw->nmdhw", q, k) + torch.einsum("nmchw,mcd->nmdhw", q, r)
        v = torch.einsum("nmdhw,nmcdhw->nmchw", torch.softmax(scores, dim=2), v).flatten(1, 2)
    return op.output(v).reshape(B, T, C, H, W).transpose(1, 2)


def reach(op, x):
    return op.window // 2 if op.attends else 0
