"""vidops: benchmark and ablate the operators of video and image understanding."""

__version__ = "0.1.0"
