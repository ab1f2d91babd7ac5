"""Views of a video that a network is tested on: clips spread over its time, and crops along its longer side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """The `clip`-th of `clips` and the `crop`-th of `crops`, from 0; by default the one in the middle of both."""

    clip: int = 0
    clips: int = 1
    crop: int = 0
    crops: int = 1
    size: int | None = None
    """side of the crop in pixels, where it is not that of training"""

    def first(self, last: int) -> int:
        """The first frame of a dense clip, of 0 to `last`: both ends and evenly between; of one clip the middle.

        As TSM's ten (Lin et al., arXiv 1811.08383).
        """
        return last // 2 if self.clips == 1 else last * self.clip // (self.clips - 1)

    @property
    def place(self) -> float:
        """Where in each segment its frame is taken, from 0 to 1: the middles of as many equal parts as clips."""
        return (self.clip + 0.5) / self.clips

    def corner(self, height: int, width: int, side: int) -> tuple[int, int]:
        """Top and left of a square `side`: crops of three are at both ends and in the middle of the longer side."""
        top, left = (height - side) // 2, (width - side) // 2
        if self.crops == 1 or self.crop == 1:
            return top, left
        far = self.crop == 2
        return ((height - side) * far, left) if height > width else (top, (width - side) * far)


ONE = View()


def views(clips: int = 1, crops: int = 1, size: int | None = None) -> tuple[View, ...]:
    """All of them, the crops of a clip one after the other. ValueError unless crops are 1 or 3."""
    if crops not in (1, 3) or clips < 1:
        raise ValueError(f"cannot take {clips} clips x {crops} crops", "crops are 1 or 3, clips at least 1")
    return tuple(View(clip, clips, crop, crops, size) for clip in range(clips) for crop in range(crops))
