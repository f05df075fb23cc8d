import numpy as np
import pytest
import torch
from PIL import Image

from featviz.errors import OutputError, RecordError
from featviz.images import (
    contact_sheet,
    make_folder,
    png_bytes,
    read_text,
    to_picture,
    write_file,
)


def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    # Not by its mode: root may write anywhere.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match=r"cannot write into '.*'; choose another folder"):
        make_folder(tmp_path)


def test_values_are_rounded_to_levels():
    image = torch.tensor([0.0, 0.499 / 255, 0.501 / 255, 0.5, 1.0, 2.0, -1.0, float("nan")])
    picture = to_picture(image.view(1, 1, -1))
    assert np.asarray(picture)[0].tolist() == [0, 0, 1, 128, 255, 255, 0, 0]


def test_colours_are_in_place():
    image = torch.zeros(3, 2, 4)
    image[0, 0, 1] = image[1, 1, 3] = 1
    picture = to_picture(image)
    assert picture.mode == "RGB"
    assert picture.getpixel((1, 0)) == (255, 0, 0)
    assert picture.getpixel((3, 1)) == (0, 255, 0)


@pytest.mark.parametrize(("channels", "width"), [(1, 5), (2, 10), (4, 20)])
def test_other_channels_are_grey_planes(channels, width):
    image = torch.rand(channels, 3, 5, generator=torch.Generator().manual_seed(0))
    picture = to_picture(image)
    assert (picture.mode, picture.size) == ("L", (width, 3))
    last = np.asarray(picture)[:, -5:] / 255
    assert np.abs(last - image[-1].numpy()).max() < 0.5 / 255 + 1e-6


def test_png_round_trip(tmp_path):
    picture = to_picture(torch.rand(3, 6, 7))
    path = tmp_path / "a.png"
    write_file(path, png_bytes(picture, text='{"ü": "日本"}'))
    assert read_text(path) == '{"ü": "日本"}'
    with Image.open(path) as reopened:
        assert np.array_equal(np.asarray(reopened), np.asarray(picture))
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_depend_on_nothing_else():
    picture = to_picture(torch.rand(3, 6, 7))
    assert png_bytes(picture, text="x") == png_bytes(picture, text="x")


def test_contact_sheet_shows_every_picture_and_caption():
    colours = ["red", "lime", "blue", "yellow", "cyan"]
    pictures = [Image.new("RGB", (100, 100), colour) for colour in colours]
    sheet = contact_sheet(pictures, [f"unit:{k}" for k in range(5)], columns=3)
    seen = {colour for _, colour in sheet.getcolors(10**6)}
    assert {pictures[k].getpixel((0, 0)) for k in range(5)} <= seen
    array = np.asarray(sheet.convert("L")).astype(int)
    below = array[6 + 100 : 6 + 100 + 20, 6:106]
    assert below.min() < 80  # there is dark text


def test_long_captions_are_broken_not_cut():
    picture = Image.new("RGB", (100, 100), "white")
    short = contact_sheet([picture], ["a"])
    long = contact_sheet([picture], ["inceptionv1_with_a_long_name:mixed4a_3x3_bottleneck.pre:12"])
    assert long.height > short.height
    assert long.width == short.width
    dark_columns = np.flatnonzero((np.asarray(long.convert("L")) < 128).any(0))
    assert dark_columns.max() < 6 + 100


def test_small_pictures_are_enlarged_without_smoothing():
    picture = Image.new("RGB", (32, 32), "white")
    picture.putpixel((0, 0), (255, 0, 0))
    sheet = contact_sheet([picture], ["x"])
    assert sheet.getpixel((6 + 2, 6 + 2)) == (255, 0, 0)
    assert sheet.getpixel((6 + 3, 6 + 3)) == (255, 255, 255)


@pytest.mark.parametrize("content", [b"", b"not a picture", png_bytes(Image.new("L", (9, 9)))[:40]])
def test_unreadable_pictures(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"cannot read .*a\.png"):
        read_text(path)


def test_pictures_without_a_record(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(Image.new("L", (2, 2))))
    with pytest.raises(RecordError, match="carries no featviz record"):
        read_text(path)


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*a\.png"):
        write_file(tmp_path / "a.png", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot make the folder .*file.*choose another"):
        make_folder(tmp_path / "file" / "deeper")
