"""Local self-attention: keys and values are unfolded; q r, the relative term, stands beside q k."""

import torch
import torch.nn.functional as F


def unfolded(x, frames, window):
    """(B, T, C, H, W) -> (B T, C, N, H, W), N = frames x window^2"""
    B, T, C, H, W = x.shape
    planes = F.unfold(x.flatten(0, 1), window, padding=window // 2).reshape(B, T, C, -1, H, W)
    planes = F.pad(planes, (0,) * 8 + (frames // 2, frames // 2))
    return torch.cat([planes[:, i : i + T] for i in range(frames)], dim=3).flatten(0, 1)


def forward(op, x):
    B, C, T, H, W = x.shape
    images = x.transpose(1, 2).reshape(B * T, C, H, W)
    v = F.conv2d(images, op.value.weight)
    if op.attends:
        q, k = F.conv2d(images, op.query.weight), F.conv2d(images, op.key.weight)
        heads = (op.heads or C, -1)
        k, v = (unfolded(part.unflatten(0, (B, T)), *op.window[:2]).unflatten(1, heads) for part in (k, v))
        q = q.unflatten(1, heads)
        rows, columns = op.rel_h.repeat_interleave(op.window[1], 1), op.rel_w.repeat(1, op.window[1])
        r = torch.cat([rows, columns])
        if op.window[0] > 1:
            r = (op.rel_t[:, :, None] + r[:, None]).flatten(1)
        r = r.unflatten(0, heads)
        scores = torch.einsum("nmchw,nmcdhw->nmdhw", q, k) + torch.einsum("nmchw,mcd->nmdhw", q, r)
        v = torch.einsum("nmdhw,nmcdhw->nmchw", torch.softmax(scores, dim=2), v).flatten(1, 2)
    return op.output(v).reshape(B, T, C, H, W).transpose(1, 2)


def reach(op, x):
    return op.window[1] // 2 if op.attends else 0
