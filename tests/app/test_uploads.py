"""Uploaded photographs: what is taken, how it is shown, and what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from app.uploads import MAX_BYTES, SIDE_PX, fit, read_upload
from featviz.errors import PictureError


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


RED = Image.new("RGB", (40, 20), (200, 10, 10))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_kinds_are_taken_whatever_the_name(kind: str) -> None:
    found = opened(read_upload("x.txt", encoded(RED, kind)))
    assert (found.size, found.mode) == ((40, 20), "RGB")
    assert np.abs(np.asarray(found).astype(int) - (200, 10, 10)).max() < 6


def test_it_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    assert opened(read_upload("x.jpg", encoded(RED, "JPEG", exif=exif))).size == (20, 40)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16", "CMYK"])
def test_other_modes_become_colours(mode: str) -> None:
    picture = (
        Image.new("L", (8, 8), 128).convert(mode)
        if mode != "I;16"
        else Image.new(mode, (8, 8), 33000)
    )
    found = opened(read_upload("x", encoded(picture, "JPEG" if mode == "CMYK" else "PNG")))
    assert found.mode == "RGB"


def test_what_is_transparent_becomes_grey() -> None:
    found = opened(read_upload("x.png", encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))))
    assert np.asarray(found)[0, 0].tolist() == [128, 128, 128]


def test_a_large_one_is_made_small() -> None:
    found = opened(read_upload("x.jpg", encoded(Image.new("RGB", (3000, 1500)), "JPEG")))
    assert found.size == (SIDE_PX, SIDE_PX // 2)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims to be huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no picture that is understood; give a PNG, JPEG or WebP"),
        (b"<svg onload=alert(1)>", "is no picture that is understood"),
        (encoded(RED, "GIF"), "is no picture that is understood"),
        (encoded(RED)[:60], "'x.png'"),
        (encoded(Image.effect_noise((99, 99), 50))[:2000], "cannot read 'x.png' as a picture"),
        (bomb(7000), "has 7000x7000 pixels; 40 million is the most"),
        (bomb(60_000), "claims more pixels than can be"),
        (b"x" * (MAX_BYTES + 1), "has 20 MB; 20 MB is the most"),
    ],
)
def test_what_is_no_whole_picture_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(PictureError, match=said) as caught:
        read_upload("../../x.png", data)
    assert "/tmp" not in str(caught.value)


def test_a_network_sees_the_middle() -> None:
    array = np.zeros((20, 60, 3), np.uint8)
    array[:, 20:40] = 255
    data = read_upload("x.png", encoded(Image.fromarray(array)))
    assert np.asarray(fit(data, (10, 10), channels=3)).min() > 200
    assert fit(data, (10, 10), channels=1).mode == "L"
    with pytest.raises(PictureError, match="this takes 4"):
        fit(data, (10, 10), channels=4)
