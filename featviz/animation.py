"""Images along the way as one moving picture: GIF with what is installed, MP4 with PyAV."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from featviz.errors import ConfigError, OutputError
from featviz.images import on_squares, write_file

_FORMATS = (".gif", ".mp4")
# 1 is lossless for H.264 in 4:4:4, 51 worst; 18 cannot be told from the original by eye.
_QUALITY = "18"
_PALETTE_FRAMES = 16


def save_animation(frames: Sequence[Image.Image], path: Path, *, fps: float = 12) -> None:
    """Write pictures of one size as a GIF or an MP4, by the ending of the name.

    The last frame stays for a second. MP4 is H.264 in yuv420p, which every player knows; an odd
    side gets a black line. Transparent pictures are shown before a chessboard, since neither format
    holds what is half transparent.

    Args:
        frames: At least one picture.
        path: Ends in `.gif` or `.mp4`.
        fps: Frames a second, above 0 and at most 50.

    Raises:
        ConfigError: If the ending or the speed is not known, there is no frame, or PyAV is
            missing.
        OutputError: If the file cannot be written.
    """
    check_animation(path, fps=fps)
    if not frames:
        raise ConfigError("there are no frames; keep some on the way with thresholds")
    shown = [on_squares(frame) for frame in frames]
    held = [*shown, *[shown[-1]] * (round(fps) - 1)]
    encode = _gif if path.suffix.lower() == ".gif" else _mp4
    write_file(path, encode(held, fps))


def check_animations(paths: Sequence[Path], *, overwrite: bool, fps: float = 12) -> None:
    """Raise for what `save_animation` would refuse, before there are any frames.

    Args:
        paths: Where animations will be written.
        overwrite: Whether files may be replaced.
        fps: Frames a second.

    Raises:
        ConfigError: As `save_animation`.
        OutputError: If a file exists and may not be replaced.
    """
    for path in paths:
        check_animation(path, fps=fps)
        if path.exists() and not overwrite:
            raise OutputError(f"{str(path)!r} exists; choose another folder or pass --overwrite")


def check_animation(path: Path, *, fps: float) -> None:
    """Raise ConfigError for what `save_animation` would refuse, before there are any frames."""
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(
            f"cannot tell the format of {path.name!r}; end it in {' or '.join(_FORMATS)}"
        )
    if not 0 < fps <= 50:
        raise ConfigError(f"fps must be above 0 and at most 50, got {fps}")
    if path.suffix.lower() == ".mp4":
        try:
            import av  # noqa: F401 - an optional extra
        except ImportError as error:
            raise ConfigError(
                "MP4 needs PyAV: pip install 'featviz[video]', or write a .gif"
            ) from error


def _gif(frames: Sequence[Image.Image], fps: float) -> bytes:
    buffer = io.BytesIO()
    # One palette, of frames from beginning to end, so that nothing flickers.
    some = frames[:: max(1, len(frames) // _PALETTE_FRAMES)]
    strip = np.concatenate([np.asarray(frame) for frame in some])
    palette = Image.fromarray(strip).quantize(256)
    pictures = [frame.quantize(palette=palette) for frame in frames]
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=1000 / fps,
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _mp4(frames: Sequence[Image.Image], fps: float) -> bytes:
    import av

    buffer = io.BytesIO()
    width, height = (side + side % 2 for side in frames[0].size)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": _QUALITY}
        for frame in frames:
            even = Image.new("RGB", (width, height))
            even.paste(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even))))
        container.mux(stream.encode())
    return buffer.getvalue()
