"""What changes the colours of a clip. Images are float (T, 3, H, W) from 0 to 1, in and out.

What is measured of the images, a mean or a histogram, is measured over the whole clip, so that all frames are changed
alike; of one frame the functions are Pillow's of the same name. No sum hangs on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as Pillow's


@dataclass(frozen=True)
class Jitter:
    """With probability p brightness, contrast, saturation and hue change, in an order drawn anew.

    The first three by factors from 1 - amount (not below 0) to 1 + amount, hue by turns from -hue to hue. As
    torchvision's ColorJitter.
    """

    p: float
    brightness: float
    contrast: float
    saturation: float
    hue: float

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        if rng.random() >= self.p:
            return images
        amounts = (self.brightness, self.contrast, self.saturation)
        drawn = [rng.uniform(max(0.0, 1 - amount), 1 + amount) for amount in amounts] + [rng.uniform(-1, 1) * self.hue]
        for i in rng.permutation(4):
            images = (brightness, contrast, saturation, hue)[i](images, drawn[i])
        return images


@dataclass(frozen=True)
class Blur:
    """With probability p a Gaussian of deviation `sigma`, in pixels."""

    p: float
    sigma: list[float]

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        return images if rng.random() >= self.p else blur(images, rng.uniform(*self.sigma))


def brightness(images: Tensor, factor: float) -> Tensor:
    return (factor * images).clamp(0, 1)


def contrast(images: Tensor, factor: float) -> Tensor:
    mean = float(grey(images)[:, 0].numpy().mean(dtype=np.float64))  # numpy: the same on any number of threads
    return _blend(images, torch.tensor(mean), factor)


def saturation(images: Tensor, factor: float) -> Tensor:
    return _blend(images, grey(images), factor)


def grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1).expand_as(images)


def hue(images: Tensor, turns: float) -> Tensor:
    """Hue of HSV, turned; 1 is once around."""
    if turns == 0:
        return images
    red, green, blue = images.unbind(1)
    top = images.amax(1)
    chroma = top - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(top == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sixth = torch.where(top == red, (green - blue) / safe, sixth) + 6 * turns
    places = [(n + sixth) % 6 for n in (5, 3, 1)]
    return torch.stack([top - chroma * torch.minimum(k, 4 - k).clamp(0, 1) for k in places], dim=1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Separable, cut off at 3 deviations, edges repeated; as a sum of shifts."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (2, 3):
        padded = F.pad(images, (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0), mode="replicate")
        size, images = images.shape[axis], torch.zeros_like(images)
        for i, weight in enumerate(weights.tolist()):
            images.add_(padded.narrow(axis, i, size), alpha=weight)
    return images


def _blend(images: Tensor, other: Tensor, factor: float) -> Tensor:
    return (factor * images + (1 - factor) * other).clamp(0, 1)


def sharpness(images: Tensor, factor: float) -> Tensor:
    """Away from a smoothed image, or to it; the outermost pixels stay."""
    high, wide = images.shape[2] - 2, images.shape[3] - 2
    around = [(i, j) for i in range(3) for j in range(3)]
    parts = ((5 if (i, j) == (1, 1) else 1) * images[:, :, i : i + high, j : j + wide] for i, j in around)
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = sum(parts, torch.tensor(0.0)) / 13
    return _blend(images, smooth, factor)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel from its darkest to its brightest, spread over 0 to 1."""
    low, high = images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / torch.where(high > low, high - low, 1.0), images)


def equalize(images: Tensor) -> Tensor:
    """Each channel with its 256 levels about equally frequent."""
    levels, found = _levels(images), []
    for channel in levels.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256)
        step = (counts.sum() - counts[counts.nonzero()[-1, 0]]) // 255
        if step == 0:
            found.append(channel)
            continue
        table = (step // 2 + torch.cat([counts.new_zeros(1), counts.cumsum(0)[:-1]])) // step
        found.append(table.clamp(max=255)[channel])
    return torch.stack(found, dim=1).float() / 255


def posterize(images: Tensor, bits: int) -> Tensor:
    """The upper `bits` of 8."""
    return (_levels(images) & (256 - 2 ** (8 - bits))).float() / 255


def solarize(images: Tensor, threshold: float) -> Tensor:
    """What is not below the threshold is inverted."""
    return torch.where(images >= threshold, 1 - images, images)


def _levels(images: Tensor) -> Tensor:
    return (255 * images).round().long()
