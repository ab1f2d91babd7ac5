"""RENet, for few-shot episodes. Kang et al., Relational Embedding for Few-Shot Classification, arXiv 2108.09666.

An encoder makes maps of images. Behind its last stage stands what reads relations inside an image (SCR, or a rival).
A head compares maps of query images with those of support images: CCA, or, where its slot is empty, the cosine of
pooled maps with the prototypes, the means of a class's pooled support maps. A classifier of the base classes serves
training alone.

    F = relu(g(Z)),   score[q, n] = cos(mean_x F_q, mean_k mean_x F_nk) / tau,   F <- F - mean_c F

Deviations: the ReLU stands behind an empty slot too, and the mean over channels, which the released code takes away
before CCA, goes in the empty head too: rows of a table differ in the operators alone. That code classifies queries on
such maps, here the classifier sees all maps as they are.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .blocks import Paths, within
from .resnet12 import Encoder

TEMPERATURE = 0.2  # tau


def pooled(maps: Float[Tensor, "*B C T H W"]) -> Float[Tensor, "*B C"]:
    """Mean over positions of maps less their mean over channels, in float32."""
    vectors = maps.float().mean(dim=(-3, -2, -1))
    return vectors - vectors.mean(dim=-1, keepdim=True)


class RENet(nn.Module):
    """Images (B, 3, 1, H, W) -> logits of the base classes (B, classes), or scores (B, N) against `support` maps."""

    def __init__(self, *, classes: int, widths: tuple[int, ...], dropout: float = 0.0):
        super().__init__()
        self.encoder = Encoder(widths)
        self.head = nn.Identity()  # slot
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(widths[-1], classes)
        self.widths = widths

    def maps(self, images: Float[Tensor, "B 3 T H W"]) -> Float[Tensor, "B C T H2 W2"]:
        """F"""
        return self.encoder(images).relu()

    def logits(self, maps: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K"]:
        """Of the base classes."""
        return self.fc(self.dropout(maps.mean(dim=(2, 3, 4))))

    def scores(self, support: Float[Tensor, "K N C T H W"], query: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B N"]:
        """Of N classes, from the maps of K support images of each: one score for each query image and class."""
        if not isinstance(self.head, nn.Identity):
            return self.head(support.flatten(0, 1), query, shots=support.shape[0])
        prototypes = F.normalize(pooled(support).mean(0), dim=-1)
        return F.normalize(pooled(query), dim=-1) @ prototypes.T / TEMPERATURE

    def forward(
        self, images: Float[Tensor, "B 3 T H W"], support: Float[Tensor, "K N C Ts Hs Ws"] | None = None
    ) -> Float[Tensor, "B K2"]:
        maps = self.maps(images)
        return self.logits(maps) if support is None else self.scores(support, maps)

    def paths(self) -> Paths:
        """Steps from the clip to the classifier, by depth: blocks.py."""
        return within("encoder", self.encoder.paths())

    def places(self) -> dict[str, dict[str, tuple[nn.Module, str, int]]]:
        """slot -> place -> (parent, attribute, channels): where an operator can be put."""
        return {**self.encoder.places(), "few_shot_head": {"end": (self, "head", self.widths[-1])}}
