"""Dynamic convolution: the kernel of one clip (or frame) after the other, one 2-D convolution for each frame."""

import torch
import torch.nn.functional as F


def forward(op, x):
    if op.per_frame:
        return torch.cat([of_clips(op, x[:, :, t : t + 1]) for t in range(x.shape[2])], dim=2)
    return of_clips(op, x)


def of_clips(op, x):
    (first, _, second), L = op.squeeze, op.weight.shape[3]
    pad, outer = L // 2, [size // 2 for size in op.weight.shape[4:]]
    average = x.flatten(2).mean(2)
    hidden = torch.relu(F.linear(average, first.weight, first.bias))
    pi = torch.softmax(F.linear(hidden, second.weight, second.bias) / op.temperature, dim=1)
    clips = []
    for clip, weights in zip(x, pi, strict=True):
        kernel = (weights[None] @ op.weight.flatten(1)).view(op.weight.shape[1:]).flatten(1, 2)
        bias = None if op.bias is None else (weights[None] @ op.bias)[0]
        padded = F.pad(clip, (0, 0, 0, 0, pad, pad))
        frames = [
            F.conv2d(padded[:, t : t + L].flatten(0, 1)[None], kernel, bias, stride=op.stride, padding=outer)
            for t in range(x.shape[2])
        ]
        clips.append(torch.stack(frames, dim=2))
    return torch.cat(clips)
