"""Global context as two 1 x 1 x 1 convolutions of the pooled map."""

import torch.nn.functional as F


def forward(op, x):
    pooled = F.adaptive_avg_pool3d(x, 1)
    hidden = F.conv3d(pooled, op.fc1.weight[:, :, None, None, None], op.fc1.bias).clamp(min=0)
    return x + F.conv3d(hidden, op.fc2.weight[:, :, None, None, None], op.fc2.bias)
