"""What a network asks of its clips."""

from torch import Tensor

from vidops_cli.ops.refused import Refused


def check_clip(clip: Tensor, *, least: int = 1, multiple: int = 1) -> None:
    """ValueError unless it is (B, 3, T, H, W) with frames of `least` pixels each way, in multiples of `multiple`."""
    shape = tuple(clip.shape)
    if clip.dim() != 5 or shape[1] != 3 or shape[2] < 1:
        raise Refused(f"a clip is (B, 3, T, H, W), got {shape}", "three colours; an image is a clip of T = 1")
    height, width = shape[3:]
    if min(height, width) < least:
        raise Refused(f"frames need {least}x{least} pixels at least, got {height}x{width}", "give larger frames")
    if height % multiple or width % multiple:
        raise Refused(
            f"frames are cut into patches of {multiple}x{multiple} pixels, got {height}x{width}",
            f"crop frames to a multiple of {multiple}",
        )
