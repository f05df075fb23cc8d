"""Folders as people have them: each picture is read rightly, or left out with a reason."""

import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typecheck import unchecked

from featviz.atlas.passes.picture_sources import (
    FolderSource,
    ImageSource,
    SequenceSource,
    open_source,
)
from featviz.atlas.passes.skips import Skips
from featviz.errors import PictureError

SIZE = (32, 32)


def flat(value: int | tuple[int, ...] = 200, mode: str = "RGB", side: int = 40) -> Image.Image:
    return Image.new(mode, (side, side), value)


def png_bomb(path: Path, side: int) -> None:
    """A PNG of side x side black pixels, some 1000 times smaller than that."""
    line = b"\0" * (side + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(line * 100) for _ in range(side // 100)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def read_all(
    source: ImageSource, channels: int = 3
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    good, bad = {}, {}
    for number in range(len(source)):
        try:
            good[source.name(number)] = source.read(number, SIZE, channels)
        except PictureError as error:
            bad[source.name(number)] = str(error)
    return good, bad


def test_what_is_no_usual_photograph_is_read_rightly(tmp_path: Path) -> None:
    flat(120, "L").save(tmp_path / "grey.png")
    flat((0, 255, 255, 0), "CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    Image.fromarray(np.full((40, 40), 257 * 77, np.uint16)).save(tmp_path / "sixteen.png")
    flat((10, 20, 30, 0), "RGBA").save(tmp_path / "clear.png")
    flat((9, 8, 7)).quantize(4).save(tmp_path / "palette.png")
    frames = [flat((k, 0, 0)) for k in (250, 10)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    flat((1, 2, 3), side=1).save(tmp_path / "dot.bmp")
    Image.new("RGB", (3000, 2), (4, 5, 6)).save(tmp_path / "strip.png")
    good, bad = read_all(FolderSource(tmp_path))
    assert bad == {}
    expected = {
        "grey.png": (120, 120, 120), "cmyk.jpg": (255, 0, 0), "sixteen.png": (77, 77, 77),
        "clear.png": (128, 128, 128), "palette.png": (9, 8, 7), "moving.webp": (250, 0, 0),
        "moving.png": (250, 0, 0), "dot.bmp": (1, 2, 3), "strip.png": (4, 5, 6),
    }  # fmt: skip
    assert good.keys() == expected.keys()
    for name, colour in expected.items():
        assert good[name].shape == (32, 32, 3)
        assert good[name].dtype == np.uint8
        assert np.abs(good[name].astype(int) - colour).max() <= 2, name


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    (found,) = read_all(FolderSource(tmp_path))[0].values()
    assert found[0, 0, 0] == 0
    assert found[-1, 0, 0] == 255


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    (tmp_path / "torn.jpg").write_bytes(whole.read_bytes()[:700])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    with zipfile.ZipFile(tmp_path / "zip.png", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * 10**6)
    png_bomb(tmp_path / "bomb.png", 11_000)
    png_bomb(tmp_path / "huge.png", 20_000)
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "fractions.tiff")
    good, bad = read_all(FolderSource(tmp_path))
    assert list(good) == ["whole.jpg"]
    reasons = {name: text.partition(" as a picture: ")[2] for name, text in bad.items()}
    assert reasons["bomb.png"].startswith("it has more than 100,000,000 pixels; give")
    assert reasons["huge.png"].startswith("it has more than 178,956,970 pixels; give")
    for name in ("empty.png", "text.jpg", "zip.png"):
        assert reasons[name].startswith("its format is not known; give")
    assert reasons["torn.jpg"].startswith("image file is truncated")
    assert "fractions without a range" in reasons["fractions.tiff"]
    assert len(bad) == 7


def test_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = [
        "a b.png",
        "it's.png",
        'say "hi".png',
        "ünï 猫.PNG",
        "new\nline.png",
        "-rf.png",
        "%2e.png",
    ]
    for name in names:
        flat().save(tmp_path / name, "PNG")
    with (tmp_path / os.fsdecode(b"\xff\xfe.png")).open("wb") as file:
        flat().save(file, "PNG")
    source = FolderSource(tmp_path)
    good, bad = read_all(source)
    assert bad == {}
    assert set(good) == {*names, "\udcff\udcfe.png"}
    assert set(json.loads(json.dumps(list(good)))) == set(good)


def test_what_is_not_listed_is_counted_and_named(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "deep" / "er").mkdir(parents=True)
    for name in ("b.png", "deep/a.png", "deep/er/c.png", ".hidden.png"):
        flat().save(photos / name)
    (photos / "notes.txt").write_text("x")
    (photos / "moving.gif").write_bytes(b"GIF89a")
    (photos / "nowhere.png").symlink_to(tmp_path / "gone.png")
    (photos / "again.png").symlink_to(photos / "deep" / "a.png")
    (photos / "loop").symlink_to(photos)
    (photos / "self.png").symlink_to(photos / "self.png")
    (photos / "folder.png").mkdir()
    os.mkfifo(photos / "pipe.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    flat().save(outside / "d.png")
    (photos / "linked").symlink_to(outside)
    flat().save(photos / "c:.png")  # no drive: the letter stands alone before the colon
    source = FolderSource(photos)
    names = [source.name(k) for k in range(len(source))]
    # One of the two names of the same file counts.
    assert names == ["again.png", "b.png", "deep/er/c.png", "linked/d.png"]
    assert source.passed_over.counts == {
        "files that are no picture by their name": 2,
        "links to nothing": 2,
        "no plain files": 1,
        "names that other systems take for another folder": 1,
        "other names of the same file": 1,
    }
    assert ["deep/a.png", "other names of the same file"] in source.passed_over.first
    assert ["c:.png", "names that other systems take for another folder"] in (
        source.passed_over.first
    )


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"there is no folder .*gone.*; give a folder of photo"):
        FolderSource(tmp_path / "gone")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(PictureError, match=r"holds no picture .*1 files that are no picture by"):
        FolderSource(tmp_path)


def test_a_fingerprint_changes_when_a_file_does(tmp_path: Path) -> None:
    for k in range(3):
        flat(k).save(tmp_path / f"{k}.png")
    first = FolderSource(tmp_path).fingerprint()
    assert FolderSource(tmp_path).fingerprint() == first
    os.utime(tmp_path / "1.png", ns=(1, 1))
    second = FolderSource(tmp_path).fingerprint()
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    assert len({first, second, FolderSource(tmp_path).fingerprint()}) == 3


class Breaking(list[object]):
    """A data set whose second image is broken, as torchvision's are over broken files."""

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if number == 1:
            raise OSError("broken data stream")
        return super().__getitem__(number)


def test_sequences_of_many_kinds() -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    tensor = torch.from_numpy(drawn).permute(2, 0, 1)
    source = SequenceSource(
        [drawn, (drawn, 3), tensor, tensor / 255, [tensor, 1], Image.fromarray(drawn), flat(7, "L"),
         "text", drawn[:16], drawn.astype(np.float32), drawn.astype(np.int64), None]
    )  # fmt: skip
    good, bad = read_all(source)
    for name in ("#0", "#1", "#2", "#3", "#4"):
        np.testing.assert_array_equal(good[name], drawn)
    assert good["#5"].shape == (32, 32, 3)
    assert (good["#6"] == 7).all()
    assert bad == {
        "#7": "a str is no image",
        "#8": "an array of shape (16, 32, 3) is no image of (32, 32, 3), height, width, channels; "
        "give it at the network's size, or as a PIL image",
        "#9": "its values are not within 0..1",
        "#10": "its numbers are int64, neither 8-bit nor 0..1",
        "#11": "a NoneType is no image",
    }
    good, bad = read_all(SequenceSource(Breaking([drawn, drawn, drawn])))
    assert list(good) == ["#0", "#2"]
    assert bad == {"#1": "the sequence gives no image: broken data stream"}


def test_fingerprints_of_sequences() -> None:
    drawn = [np.full((32, 32, 3), k, np.uint8) for k in range(5)]
    first = SequenceSource(drawn).fingerprint()
    assert SequenceSource([(each, 1) for each in drawn]).fingerprint() == first
    assert SequenceSource(drawn[:-1]).fingerprint() != first
    assert SequenceSource([*drawn[:-1], drawn[0]]).fingerprint() != first
    assert SequenceSource(Breaking(drawn[:3])).fingerprint() != first


def test_what_is_no_sequence_is_refused() -> None:
    told = "a sequence with a length, got generator; make a list"
    with unchecked(), pytest.raises(PictureError, match=told):
        SequenceSource(flat() for _ in range(3))  # type: ignore[arg-type]
    with pytest.raises(PictureError, match="no images in the sequence; give one"):
        open_source([])


def test_sources_are_opened_once(tmp_path: Path) -> None:
    flat().save(tmp_path / "a.png")
    source = open_source(tmp_path)
    assert open_source(source) is source
    assert isinstance(open_source([flat()]), SequenceSource)


def test_skips_are_counted_all_and_named_within_bounds() -> None:
    skips = Skips()
    for k in range(3000):
        skips.add(str(k), f"reason {k}")
    assert len(skips) == 3000
    assert len(skips.first) == 1000
    assert len(skips.counts) == 101
    assert skips.counts["other reasons"] == 2900
