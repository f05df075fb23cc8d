"""Every kind of picture file comes out as the same plain colours, or as an error."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featviz.errors import PictureError
from featviz.images import read_photo
from featviz.metrics import PictureFolder, read_picture
from featviz.natural_spectrum import list_images, measure_spectrum
from featviz.photographs import open_photograph, read_pixels

ORIENTATION = 0x0112


def pixels(picture):
    return np.asarray(picture).tolist()


def colours():
    drawn = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(drawn)


def test_grey_of_16_bits_is_scaled_not_cut(tmp_path):
    levels = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(levels).save(tmp_path / name)
        expected = [[round(v / 257) for v in levels[0].tolist()]]
        assert pixels(open_photograph(tmp_path / name, channels=1)) == expected
        assert pixels(open_photograph(tmp_path / name))[0] == [[v] * 3 for v in expected[0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_grey_shows_through_transparent_places(tmp_path, mode):
    front = Image.new("RGBA", (3, 1), (255, 255, 255, 255))
    front.putpixel((1, 0), (255, 255, 255, 0))
    if mode == "P":
        picture = Image.new("P", (3, 1), 0)
        picture.putpalette([255, 255, 255, 255, 255, 255])
        picture.putpixel((1, 0), 1)
        picture.save(tmp_path / "a.png", transparency=1)
    else:
        front.convert(mode).save(tmp_path / "a.png")
    assert pixels(open_photograph(tmp_path / "a.png"))[0] == [[255] * 3, [128] * 3, [255] * 3]
    assert pixels(open_photograph(tmp_path / "a.png", channels=1)) == [[255, 128, 255]]


def test_half_transparent_places_are_half_grey(tmp_path):
    Image.new("RGBA", (1, 1), (228, 28, 128, 128)).save(tmp_path / "a.png")
    share = 128 / 255
    expected = [128 + (value - 128) * share for value in (228, 28, 128)]
    assert np.allclose(pixels(open_photograph(tmp_path / "a.png"))[0][0], expected, atol=1)


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.tif"), ("1", "a.png"), ("L", "a.bmp"), ("P", "a.gif")]
)
def test_other_modes_are_as_pillow_converts_them(tmp_path, mode, name):
    made = colours().convert(mode)
    made.save(tmp_path / name)
    assert pixels(open_photograph(tmp_path / name)) == pixels(made.convert("RGB"))


def test_every_reader_turns_pictures_upright(tmp_path):
    # Red left of blue as stored; turned clockwise to be seen, red is above.
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32, 0] = stored[:, 32:, 2] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(np.rot90(stored, -1)).save(tmp_path / "b.png")
    one, other = tmp_path / "a.png", tmp_path / "b.png"
    assert open_photograph(one).size == (32, 64)
    assert torch.equal(read_photo(one, (64, 32)), read_photo(other, (64, 32)))
    assert torch.equal(read_picture(one, (14, 14)), read_picture(other, (14, 14)))
    spectra = [measure_spectrum([file], size_px=16, axes="lucid") for file in (one, other)]
    assert torch.equal(spectra[0].magnitude, spectra[1].magnitude)


def bomb(width, height):
    """A PNG whose header promises so many pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def whole_jpeg(folder):
    colours().resize((200, 200)).save(folder / "whole.jpg")
    return (folder / "whole.jpg").read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: b"", "its format is not known"),
        (lambda _: b"not a picture", "its format is not known"),
        (lambda folder: whole_jpeg(folder)[:-900], "image file is truncated"),
        (lambda _: bomb(20000, 20000), r"it has more than 178,956,970 pixels"),
    ],
)
def test_files_that_are_no_whole_pictures(tmp_path, make, reason):
    (tmp_path / "a.jpg").write_bytes(make(tmp_path))
    for read in (open_photograph, read_pixels):
        with pytest.raises(PictureError, match=rf"cannot read '.*a\.jpg' as .*{reason}.*; give a "):
            read(tmp_path / "a.jpg")


def test_a_large_photograph_is_read_without_a_warning(tmp_path, monkeypatch):
    colours().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # of 24: Pillow warns, and the tests fail
    assert open_photograph(tmp_path / "a.png").size == (6, 4)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)
    with pytest.raises(PictureError, match="it has more than 22 pixels"):
        open_photograph(tmp_path / "a.png")


@pytest.mark.parametrize(("mode", "reason"), [("F", "fractions without a range"), ("I", "exceed")])
def test_numbers_without_a_range(tmp_path, mode, reason):
    Image.fromarray(np.full((2, 2), 70000.0, np.float32)).convert(mode).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=f"{reason}.*white is unknown; give a"):
        open_photograph(tmp_path / "a.tif")


def test_no_such_file_or_no_file(tmp_path):
    with pytest.raises(PictureError, match="there is no such file; give a file"):
        open_photograph(tmp_path / "a.png")
    with pytest.raises(PictureError, match="it is a folder; give a file"):
        open_photograph(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # would be waited for without end
    with pytest.raises(PictureError, match="there is no such file"):
        read_pixels(tmp_path / "pipe.png")


def test_folders_leave_out_the_same_files(tmp_path):
    for name in ("b.PNG", "a.webp", ".hidden.png"):
        colours().save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.png").mkdir()
    expected = [tmp_path / "a.webp", tmp_path / "b.PNG"]
    assert list_images([tmp_path]) == expected
    assert list(PictureFolder.open(tmp_path).files) == expected


def test_the_spectrum_of_the_package_can_be_made_again(tmp_path, monkeypatch):
    data = pytest.importorskip("skimage.data")
    from featviz.spectrum_files import default_spectrum

    monkeypatch.chdir(tmp_path)
    names = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
    folder = Path(data.__file__).parent
    made = measure_spectrum([folder / name for name in names], axes="lucid")
    assert torch.allclose(made.magnitude, default_spectrum().magnitude, rtol=1e-5, atol=1e-9)
