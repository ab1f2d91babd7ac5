"""Motion excitation, pair of frames by pair of frames."""

from itertools import pairwise

import torch
import torch.nn.functional as F

from . import in_turn


def forward(op, x):
    T = x.shape[2]
    squeezed = [in_turn(op.conv_red, x[:, :, t]) for t in range(T)]
    motion = []
    for now, then in pairwise(squeezed):
        motion.append(F.conv2d(then, op.conv_trans.weight, padding=1, groups=now.shape[1]) - now)
    motion.append(torch.zeros_like(squeezed[-1]))
    factors = []
    for m in motion:
        z = torch.sigmoid(in_turn(op.conv_exp, m.mean((2, 3))[:, :, None, None]))
        factors.append(2 * z - 1 if op.gate == "paper" else z - 0.5)
    A = torch.stack(factors, dim=2)
    return x + x * A
