"""Examples in an atlas: what is written is what the pass found; edited, it is refused."""

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_folders import write_photos
from PIL import Image

from featviz.atlas import Atlas, Store, read_examples
from featviz.atlas.canonical import canonical_json, content_key
from featviz.atlas.examples.boxes import Box, field_box
from featviz.atlas.examples.collecting import Examples, ExampleSettings, collect_examples
from featviz.atlas.examples.crops import cut, to_webp
from featviz.atlas.examples.files import keep_examples
from featviz.atlas.examples.records import Example, KeptExample, Ranking, is_below
from featviz.atlas.layout import Layout
from featviz.atlas.log import MAX_LINE
from featviz.errors import ConfigError, OutputError, RecordError
from featviz.receptive_field import Axis, Field
from nets import small_model

SMALL = ExampleSettings(top=4, bottom=2, bins=3, per_bin=1, batch=16)
SITES = ["act", "branches", "logits"]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = write_photos(tmp_path_factory.mktemp("pictures") / "photos", 40)
    (folder / "broken.jpg").write_text("x")
    (folder / "notes.txt").write_text("x")
    return collect_examples(small_model(), SITES, folder, settings=SMALL)


@pytest.fixture(scope="module")
def kept(examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas") / "atlas"
    with Store(folder) as store:
        assert keep_examples(store, examples) == 0
    return folder


def rows(ranking: Ranking) -> list[Example]:
    return [*ranking.top, *ranking.bottom, *(e for b in ranking.bins for e in b.examples)]


def test_what_was_found_reads_back(examples: Examples, kept: Path) -> None:
    with Atlas(kept) as atlas:
        for site in SITES:
            for channel in range(examples.sites[site].channels):
                unit = examples.of(site, channel)
                parts = atlas.evidence("small", site, channel, weights=examples.weights)
                found = read_examples(parts["examples"], parts["histogram"])
                assert atlas.evidence("small", site, channel, weights="0" * 64) == {}
                assert (found.images, found.broken) == (40, 0)
                assert found.firing_rate == unit.firing_rate
                assert parts["examples"]["skipped"] == 1
                assert (found.mean is None) == (site == "logits")
                for ranking, expected in ((found.maximum, unit.maximum), (found.mean, unit.mean)):
                    if ranking is None or expected is None:
                        continue
                    assert ranking.histogram == expected.histogram
                    for example, origin in zip(rows(ranking), rows(expected), strict=True):
                        assert isinstance(example, KeptExample)
                        for name in ("name", "value", "quantile", "position", "box"):
                            assert getattr(example, name) == getattr(origin, name)


def test_pictures_are_the_photographs_and_what_the_unit_saw(examples: Examples, kept: Path) -> None:
    layout = Layout(kept)
    with Atlas(kept) as atlas:
        parts = atlas.evidence("small", "act", 3)["examples"]
        (by_value,) = [atlas.evidence("small", "logits", 0)["examples"]]
    found, unit = read_examples(parts), examples.of("act", 3)
    for example, origin in zip(rows(found.maximum), rows(unit.maximum), strict=True):
        assert isinstance(example, KeptExample)
        seen = examples.source.read(origin.image, (32, 32), 3)
        assert example.picture is not None
        assert example.crop is not None
        with Image.open(layout.example(example.picture)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), seen)  # tiny: lossless
        assert origin.position is not None
        top, left = (2 * k - 1 for k in origin.position)
        inside = seen[max(top, 0) : top + 3, max(left, 0) : left + 3]
        with Image.open(layout.example(example.crop)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), inside)
    # A whole image needs no crop.
    assert {line["crop"] for line in by_value["maximum"]["top"]} == {None}
    files = [path for path in layout.examples.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.name == hashlib.sha256(path.read_bytes()).hexdigest() + ".webp"


def test_the_pass_is_told_beside_the_units(examples: Examples, kept: Path) -> None:
    layout = Layout(kept)
    told = json.loads(layout.pass_record(examples.key).read_text("utf-8"))
    assert told["source"].endswith("photos")
    assert told["used"] == 40
    assert told["skipped"]["first"] == [["broken.jpg", "its format is not known"]]
    assert told["passed_over"]["first"] == [
        ["notes.txt", "files that are no picture by their name"]
    ]
    about = {k: v for k, v in told.items() if k not in {"source", "used", "skipped", "passed_over"}}
    assert content_key(about) == examples.key
    with Atlas(kept) as atlas:
        assert atlas.evidence("small", "act", 0)["examples"]["pass"] == examples.key
    assert [path.name for path in layout.passes.iterdir()] == [f"{examples.key}.json"]
    with pytest.raises(RecordError, match=r"'../x' is no key: 64 hexadecimal digits"):
        layout.pass_record("../x")


def test_crops_may_be_padded(examples: Examples, tmp_path: Path) -> None:
    with Store(tmp_path / "atlas") as store:
        keep_examples(store, examples, edges="pad")
    layout = Layout(tmp_path / "atlas")
    with Atlas(layout.root) as atlas:
        found = read_examples(atlas.evidence("small", "branches", 0)["examples"])
    for example in rows(found.maximum):
        assert isinstance(example, KeptExample)
        assert example.crop is not None
        with Image.open(layout.example(example.crop)) as picture:
            assert picture.size == (39, 39)


def test_cutting() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(cut(image, Box(1, 2, 3, 4), edges="clip"), image[1:3, 2:4])
    np.testing.assert_array_equal(cut(image, Box(-1, -2, 2, 9), edges="clip"), image[:2])
    padded = cut(image, Box(-1, -2, 2, 9), edges="pad")
    assert padded.shape == (3, 11, 3)
    np.testing.assert_array_equal(padded[1:, 2:6], image[:2])
    padded[1:, 2:6] = 128
    assert (padded == 128).all()


@pytest.mark.parametrize("edges", ["clip", "pad"])
@pytest.mark.parametrize(
    "box",
    # The image is 4 rows of 6: fields above it, left of it, below and right of it, and touching it.
    [
        Box(-3, 0, -1, 6), Box(0, -3, 4, -1), Box(5, 0, 7, 6), Box(0, 7, 4, 9), Box(-3, -3, -1, -1),
        Box(-2, 0, 0, 6), Box(0, -2, 4, 0), Box(4, 0, 6, 6), Box(0, 6, 4, 8),
    ],
)  # fmt: skip
def test_a_field_outside_the_image_has_no_crop(box: Box, edges: str) -> None:
    image = np.full((4, 6, 3), 200, np.uint8)
    assert cut(image, box, edges=edges).size == 0
    inside = box.clipped((4, 6))
    assert 0 <= inside.top <= inside.bottom <= 4
    assert 0 <= inside.left <= inside.right <= 6


@pytest.mark.parametrize("edges", ["clip", "pad"])
def test_what_saw_padding_alone_is_kept_without_a_crop(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges: str
) -> None:
    monkeypatch.setattr(
        "featviz.atlas.examples.collecting.field_box", lambda *_: Box(-9, -9, -4, -4)
    )
    with Store(tmp_path / "atlas") as store:
        keep_examples(store, examples, edges=edges)
    with Atlas(tmp_path / "atlas") as atlas:
        found = read_examples(atlas.evidence("small", "act", 0)["examples"])
    for example in rows(found.maximum):
        assert isinstance(example, KeptExample)
        assert example.picture is not None
        assert example.crop is None


def test_pictures_are_made_smaller() -> None:
    image = np.zeros((300, 200, 1), np.uint8)
    with Image.open(io.BytesIO(to_webp(image, side=150))) as picture:
        assert picture.size == (100, 150)


def test_a_field_without_bounds_has_no_box() -> None:
    assert field_box(Field(None, None), (0, 0)) is None
    axis = Axis(size_px=5, stride_px=2, start_px=-1)
    assert field_box(Field(axis, axis), (3, 0)) == Box(5, -1, 10, 4)


def test_photographs_that_are_gone_have_no_pictures(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos", 12)
    found = collect_examples(small_model(), ["act"], folder, settings=SMALL)
    gone = found.of("act", 0).maximum.top[0].name
    (folder / gone).unlink()
    with Store(tmp_path / "atlas") as store:
        assert keep_examples(store, found) == 1
    with Atlas(tmp_path / "atlas") as atlas:
        unit = read_examples(atlas.evidence("small", "act", 0)["examples"])
    first = unit.maximum.top[0]
    assert isinstance(first, KeptExample)
    assert (first.name, first.picture, first.crop) == (gone, None, None)


def test_examples_that_no_reader_would_take_leave_the_pass_where_it_stands(
    examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featviz.atlas.log.MAX_LINE", 2000)
    with Store(tmp_path / "atlas") as store:
        state = store.layout.unfinished(examples.key)
        state.parent.mkdir(exist_ok=True)
        state.write_bytes(b"where it stands")
        with pytest.raises(OutputError, match="too long for those who read it"):
            keep_examples(store, examples)
        assert state.read_bytes() == b"where it stands"
    with Atlas(tmp_path / "atlas") as atlas:
        assert (atlas.evidence("small", "act", 0), atlas.problems()) == ({}, [])


def test_the_most_examples_of_a_unit_fit_into_a_line() -> None:
    key, name = "a" * 64, "n" * 120
    example = {
        "file": name, "value": -1.2345678901234567e-05, "quantile": 0.12345678901234567,
        "position": [1000, 1000], "box": [-1000, -1000, 1000, 1000], "picture": key, "crop": key,
    }  # fmt: skip
    most = ExampleSettings(top=1000, bottom=1000, bins=1000, per_bin=1)
    of_each = most.top + most.bottom + most.bins * most.per_bin
    assert 2 * of_each * len(canonical_json(example) + ",") < 0.8 * MAX_LINE


def test_writing_goes_on_where_it_stopped(examples: Examples, kept: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "atlas") as store:

        def fall(done: int, _total: int) -> None:
            if done == 7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            keep_examples(store, examples, progress=fall)
    with Atlas(tmp_path / "atlas") as atlas:
        assert atlas.evidence("small", "act", 0) == {}
    with Store(tmp_path / "atlas") as store:
        keep_examples(store, examples)
    for name in ("examples", "passes"):
        first = {p.name: p.read_bytes() for p in (kept / name).rglob("*") if p.is_file()}
        second = {
            p.name: p.read_bytes() for p in (tmp_path / "atlas" / name).rglob("*") if p.is_file()
        }
        assert first == second


def test_settings_out_of_range_are_refused(examples: Examples, tmp_path: Path) -> None:
    with Store(tmp_path / "atlas") as store:
        with pytest.raises(ConfigError, match="edges must be one of clip, pad, got 'cut'"):
            keep_examples(store, examples, edges="cut")
        with pytest.raises(ConfigError, match="side must be 16 to 4096 px, got 5"):
            keep_examples(store, examples, side=5)


EDITS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "a path for a name": (("maximum", "top", 0, "file"), "../../etc/passwd"),
    "an absolute name": (("maximum", "top", 0, "file"), "/etc/passwd"),
    "a drive": (("maximum", "top", 0, "file"), "C:\\boot.ini"),
    "a path for a key": (("maximum", "top", 0, "picture"), "../../x"),
    "a key in capitals": (("maximum", "top", 0, "crop"), "A" * 64),
    "text for a number": (("maximum", "top", 0, "value"), "1"),
    "no finite number": (("maximum", "top", 0, "value"), float("nan")),
    "a negative place": (("maximum", "top", 0, "position"), [-1, 0]),
    "three coordinates": (("maximum", "top", 0, "position"), [1, 0, 2]),
    "half a box": (("maximum", "top", 0, "box"), [1, 2]),
    "a box of fractions": (("maximum", "top", 0, "box"), [1, 2, 3, 4.5]),
    "no list": (("maximum", "top"), 5),
    "no ranking": (("maximum",), None),
    "truth for a count": (("images",), True),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_refused(kept: Path, name: str) -> None:
    with Atlas(kept) as atlas:
        value = copy.deepcopy(atlas.evidence("small", "act", 0)["examples"])
    read_examples(value)
    (*way, last), wrong = EDITS[name]
    inner = value
    for step in way:
        inner = inner[step]
    inner[last] = wrong
    with pytest.raises(RecordError, match=r"examples of a unit cannot be read: .*was the record"):
        read_examples(value)
    del inner[last]
    with pytest.raises(RecordError, match="examples of a unit cannot be read"):
        read_examples(value if name != "no list" else None)


def test_names_that_lead_elsewhere() -> None:
    for name in ("a.png", "below it/ü 猫.png", "a..b.png", "..a", "it's"):
        assert is_below(name)
    for name in ("", "..", "a/../b", "/a", "\\a", "c:\\a", "c:a", "a\\..\\b", "a\0b", "x" * 5000):
        assert not is_below(name)
