"""Local self-attention: keys and values are unfolded, the relative terms are added to the keys."""

import torch
import torch.nn.functional as F


def unfolded(x, window):
    return F.unfold(x, window, padding=window // 2).reshape(*x.shape[:2], window, window, *x.shape[2:])


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    v = F.conv2d(images, op.value.weight)
    if op.attends:
        q, k = F.conv2d(images, op.query.weight), unfolded(F.conv2d(images, op.key.weight), op.window)
        rows, columns = k.chunk(2, dim=1)
        k = torch.cat([rows + op.rel_h[:, :, None, None, None], columns + op.rel_w[:, None, :, None, None]], dim=1)
        heads = op.heads or C
        q, k = q.reshape(B * T, heads, -1, H, W), k.reshape(B * T, heads, C // heads, -1, H, W)
        w = torch.softmax(torch.einsum("nmchw,nmcdhw->nmdhw", q, k), dim=2)
        v = unfolded(v, op.window).reshape(B * T, heads, C // heads, -1, H, W)
        v = torch.einsum("nmdhw,nmcdhw->nmchw", w, v).reshape(B * T, C, H, W)
    return op.output(v).reshape(B, T, C, H, W).transpose(1, 2)
