"""The rule by which every weight of a case was made, so that a changed weight is seen even where it computes nothing.

A weight depends on its official key and its shape alone: standard normal numbers from a generator seeded with the
key's CRC-32, scaled by what kind of weight the key names.
"""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor


def normal(key: str, shape: Sequence[int]) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(zlib.crc32(key.encode()))
    return torch.randn(tuple(shape), generator=generator)


def follows_rule(key: str, value: Tensor) -> bool:
    """Whether the rule makes this tensor; others are left as the released module builds them."""
    return key.endswith("num_batches_tracked") or (value.is_floating_point() and not key.endswith("attn_mask"))


def fill(key: str, shape: Sequence[int], gains: Sequence[tuple[str, float]] = ()) -> Tensor:
    """The weight of an official key. `gains` are (suffix, factor); the first suffix that fits multiplies."""
    shape, last = tuple(shape), key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    gain = next((factor for suffix, factor in gains if key.endswith(suffix)), 1.0)
    if key.endswith("def_cor.weight"):
        return torch.full(shape, gain / shape[0])
    noise = normal(key, shape)
    is_norm = len(shape) == 1 or (len(shape) == 3 and shape[1:] == (1, 1))
    if key.endswith("running_mean"):
        value = 0.1 * noise
    elif key.endswith("running_var"):
        value = 1 + 0.1 * noise.abs()
    elif last == "I":
        value = torch.eye(shape[-1])[None] + 0.1 * noise
    elif last == "P1":
        value = noise / shape[1] ** 0.5
    elif key.endswith("relative_position_bias_table"):
        value = 0.5 * noise
    elif last in ("rel_h", "rel_w"):
        value = noise
    elif key.endswith("bias"):
        value = 0.1 * noise
    elif key.endswith("weight") and is_norm:
        value = 1 + 0.1 * noise
    else:
        value = noise / max(1, noise[0].numel() if shape else 1) ** 0.5
    return value * gain


def clip(name: str, batch: int, frames: int, height: int, width: int, *, step: int = 8, cell: int = 4) -> Tensor:
    """Input of a whole network, (B, T, 3, H, W): a texture of square cells that moves `step` pixels a frame.

    It goes left in clips of even number and up in the others, on a colour of its own, under a little noise.
    """
    clips = []
    for b in range(batch):
        reach = step * (frames - 1)
        cells = (-(-(height + reach) // cell), -(-(width + reach) // cell))
        texture = normal(f"{name}/{b}/texture", (3, *cells)).repeat_interleave(cell, 1).repeat_interleave(cell, 2)
        texture = texture + normal(f"{name}/{b}/colour", (3, 1, 1))
        starts = [(0, step * t) if b % 2 == 0 else (step * t, 0) for t in range(frames)]
        moved = torch.stack([texture[:, y : y + height, x : x + width] for y, x in starts])
        clips.append(moved + 0.2 * normal(f"{name}/{b}/noise", (frames, 3, height, width)))
    return torch.stack(clips)
