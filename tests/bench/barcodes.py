"""Small video files whose frames carry their numbers, in the containers and codecs that data sets come in."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COUNT, WIDTH, HEIGHT = 96, 64, 48
BITS = 8


def barcode(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A row of the picture for each bit, bright on the left for 1, on the right for 0: compression leaves it whole."""
    frame = np.full((height, width, 3), 60, np.uint8)
    for bit in range(BITS):
        half = slice(0, width // 2) if number >> bit & 1 else slice(width // 2, width)
        frame[bit * height // BITS : (bit + 1) * height // BITS, half] = 190
    return frame


def number_of(frame: np.ndarray) -> int:
    height, width, _ = frame.shape
    grey, found = frame.astype(float).mean(2), 0
    for bit in range(BITS):
        row = grey[bit * height // BITS : (bit + 1) * height // BITS]
        found |= int(row[:, : width // 2].mean() > row[:, width // 2 :].mean()) << bit
    return found


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    size=(WIDTH, HEIGHT),
    times=range(COUNT),
    gop=48,
    b=0,
    open_gop=False,
    **options,
):
    """`times` are those at which the frames are shown, in 1/25 s."""
    if codec == "libx264":
        told = f"scenecut=0:b-adapt=0:bframes={b}:keyint={gop}:open-gop={int(open_gop)}"
        options["x264-params"] = f"{told}:log-level=none"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count, context.max_b_frames, context.gop_size = 1, b, gop
        stream.time_base = context.time_base = Fraction(1, 25)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(barcode(number, *size), format="rgb24")
            frame.pts, frame.time_base = int(time), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def plain(**told) -> Callable[[Path], None]:
    return lambda path: encode(path, **told)


def cut_in_front(path: Path) -> None:
    """Packets are copied from before frame 20 on, and an edit list hides the frames before it."""
    whole = path.with_name("whole.mp4")
    encode(whole, b=3)
    with av.open(str(whole)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size:
                shift = int(20 / stream.average_rate / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                new.mux(packet)
    whole.unlink()


def truncated(path: Path) -> None:
    encode(path, b=3, gop=24)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


def turned(path: Path) -> None:
    """As a telephone writes it: players show it turned by a quarter."""
    encode(path, b=3)
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 44
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, HEIGHT << 16, 0, 1 << 30)
    path.write_bytes(content)


VP9 = {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8"}
GAPS = np.random.default_rng(0).integers(1, 5, COUNT).cumsum()
FILES: dict[str, tuple[str, Callable[[Path], None]]] = {  # what it is -> file name, how it is made
    "H.264, 3 B-frames": ("b.mp4", plain(b=3)),
    "H.264, one key frame": ("long.mp4", plain(b=3, gop=250)),
    "H.264, key frames 3 apart": ("short.mp4", plain(b=2, gop=3)),
    "H.264, open GOPs": ("open.mp4", plain(b=3, gop=16, open_gop=True)),
    "H.264, starts at 1.6 s": ("late.mp4", plain(b=3, times=range(40, 40 + COUNT))),
    "H.264, variable frame rate": ("varying.mp4", plain(b=3, times=GAPS)),
    "H.264, 20 frames hidden by an edit list": ("cut.mp4", cut_in_front),
    "H.264, turned by 90 degrees": ("turned.mp4", turned),
    "H.264, 50 x 38": ("odd.mp4", plain(b=3, size=(50, 38))),
    "HEVC": ("hevc.mp4", plain(codec="libx265", **{"x265-params": "log-level=none:bframes=3:keyint=48"})),
    "MPEG-4 part 2, 2 B-frames": ("mpeg4_b.mp4", plain(codec="mpeg4", b=2, gop=24)),
    "H.264 in Matroska, 3 B-frames": ("b.mkv", plain(b=3)),
    "H.264 in Matroska, truncated at 60 %": ("truncated.mkv", truncated),
    "VP9": ("vp9.webm", plain(**VP9)),
    "VP9, 51 x 37": ("odd.webm", plain(**VP9, size=(51, 37))),
    "VP8 with hidden frames": (
        "vp8.webm",
        plain(codec="libvpx", **{"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "4"}),
    ),
    "MPEG-4 part 2 in AVI": ("mpeg4.avi", plain(codec="mpeg4", gop=24)),
    "MPEG-4 part 2 in AVI, 2 B-frames": ("mpeg4_b.avi", plain(codec="mpeg4", b=2, gop=24)),
    "H.264 in AVI, 3 B-frames": ("b.avi", plain(b=3)),
    "MPEG-2 program stream": ("mpeg2.mpg", plain(codec="mpeg2video", b=2, gop=24)),
}


def numbers(path: Path) -> list[int]:
    """Of all frames as they come when nothing is sought: what is held to be true."""
    with av.open(str(path)) as container:
        return [number_of(turn(frame)) for frame in container.decode(video=0)]


def turn(frame: av.VideoFrame) -> np.ndarray:
    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)


def requests(count: int) -> dict[str, Sequence[int]]:
    draw = np.random.default_rng(1)
    return {
        "all": range(count),
        "uniform": range(3, count, 11),
        "tail": range(count - 8, count),
        "random": draw.integers(0, count, 20).tolist(),
        "repeated": [5, 5, 5, count // 2, count // 2, 7],
        "reversed": range(count - 1, -1, -7),
    }
