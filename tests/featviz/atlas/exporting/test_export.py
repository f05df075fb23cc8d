import hashlib
import html
import json
import os
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import make_command
from PIL import Image
from playwright.sync_api import Browser
from pyarrow import parquet

from atlases import WEIGHTS, new, noise, picture_atlas, unsealed
from browser import open_offline
from featviz.atlas import Atlas, Store
from featviz.atlas.checking.verify import verify
from featviz.atlas.entries import Evidence, Metrics
from featviz.atlas.exporting.export import EXPORTS, export_atlas
from featviz.atlas.exporting.webdataset_export import write_webdataset
from featviz.atlas.layout import Layout
from featviz.errors import ConfigError, OutputError, RecordError
from featviz.images import png_bytes

NAMES = {"parquet": "a.parquet", "preview": "small", "webdataset": "shards", "html": "pages"}
ODD = "<b onload=x>&\"'é:1"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_atlas(root: Path) -> Layout:
    """Two sites, odd names, metrics that came later, evidence of a unit."""
    layout = picture_atlas(root, 3)
    with Store(root) as store:
        store.add([new(1, site="fire5/<0:8>", label=ODD, dead=True, score=None)])
        (entry,) = _entries(layout, "fire4", 2)
        store.note(
            [
                Metrics(entry.key, {"self_rank": 3.0, "sharpness": 9.0}),
                Evidence("net", WEIGHTS, "fire4", 2, "neighbours", [1, 2], {"firing_rate": 0.25}),
            ]
        )
    return layout


def _entries(layout: Layout, site: str, channel: int) -> list[Any]:
    with Atlas(layout.root) as atlas:
        return atlas.images("net", site, channel=channel)


def documents(layout: Layout) -> dict[str, dict[str, Any]]:
    """What each export must say, put together by the slow way: from the lines of the logs."""
    found: dict[str, dict[str, Any]] = {}
    settings, later, evidence = {}, {}, {}
    for log in layout.logs():
        for line in map(json.loads, log.read_text().splitlines()):
            kind = line.pop("type")
            line.pop("more", None)
            line.pop("crc32")
            if kind == "settings":
                settings[line["id"]] = line["record"]
            elif kind == "image":
                found[line["key"]] = line
            elif kind == "metrics":
                later[line["key"]] = line["metrics"]
            else:
                evidence[line["site"], line["channel"]] = line
    for key, line in found.items():
        unit = evidence.get((line["site"], line["channel"]), {"name": "", "metrics": {}})
        line["record"] = {**settings[line["settings"]], "image": line["record"]}
        line["metrics"] = unit["metrics"] | line["metrics"] | later.get(key, {})
        line["evidence"] = {unit["name"]: unit["value"]} if unit["name"] else {}
    return found


def test_parquet_says_what_the_logs_say(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    done = export_atlas(layout.root, tmp_path / "x" / "a.parquet", form="parquet")
    rows = parquet.read_table(done.path).to_pylist()
    expected = documents(layout)
    assert done.images == len(rows) == len(expected) == 4
    assert {row["key"] for row in rows} == set(expected)
    for row in rows:
        picture, thumb = row.pop("picture"), row.pop("thumb")
        assert hashlib.sha256(picture).hexdigest() == row["sha256"]
        assert hashlib.sha256(thumb).hexdigest() == row["thumb_sha256"]
        row |= {name: json.loads(row[name]) for name in ("record", "evidence")}
        row["metrics"] = dict(row["metrics"])
        assert row == expected[row["key"]]
    rates = [r["metrics"].get("firing_rate") for r in rows if r["site"] == "fire4"]
    assert rates == [None, None, 0.25]
    assert names(done.path.parent) == ["a.parquet"]


def test_parquet_where_nothing_can_be_written_says_so_in_short(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    with pytest.raises(OutputError, match=r"^cannot write '/proc/a.parquet': [^';.]*; make room"):
        export_atlas(layout.root, "/proc/a.parquet", form="parquet")


def test_webdataset_says_what_the_logs_say_and_is_the_same_twice(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    for name in ("one", "two"):
        export_atlas(layout.root, tmp_path / name, form="webdataset")
    assert names(tmp_path / "one") == ["export.json", "shard-000000.tar"]
    for name in names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    expected = documents(layout)
    with tarfile.open(tmp_path / "one" / "shard-000000.tar") as shard:
        samples = [name.partition(".")[0] for name in shard.getnames()]
        # Readers take neighbours of one name for one sample.
        assert samples == [key for key in dict.fromkeys(samples) for _ in range(3)]
        assert set(samples) == set(expected)
        for key in expected:
            with shard.extractfile(f"{key}.json") as file:
                assert json.load(file) == expected[key]
            with shard.extractfile(f"{key}.webp") as file:
                assert hashlib.sha256(file.read()).hexdigest() == expected[key]["sha256"]


def test_shards_are_closed_when_they_are_full(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", 5)
    from featviz.atlas.exporting.outgoing import outgoing

    for name, limits, counts in (
        ("n", {"most_images": 2}, [2, 2, 1]),
        ("b", {"most_bytes": 1}, [1] * 5),
    ):
        (tmp_path / name).mkdir()
        with Atlas(layout.root) as atlas:
            sites = [("net", "fire4", outgoing(atlas, "net", "fire4"))]
            write_webdataset(tmp_path / name, sites, **limits)
        assert json.loads((tmp_path / name / "export.json").read_text())["shards"] == counts
        for number, count in enumerate(counts):
            with tarfile.open(tmp_path / name / f"shard-{number:06d}.tar") as shard:
                assert len(shard.getnames()) == 3 * count


def test_a_folder_of_pages_holds_all_and_odd_names_are_text(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    done = export_atlas(layout.root, tmp_path / "pages", form="html")
    assert names(done.path) == [
        "export.json", "images", "images.jsonl", "index.html", "site-0001.html", "site-0002.html",
        "thumbs",
    ]  # fmt: skip
    expected = documents(layout)
    lines = [json.loads(line) for line in (done.path / "images.jsonl").read_text().splitlines()]
    assert {line["key"]: line for line in lines} == expected
    assert {path.stem for path in (done.path / "images").iterdir()} == set(expected)
    page = (done.path / "site-0002.html").read_text()
    assert html.escape(ODD, quote=True) in page
    assert "<b onload" not in page
    assert "does not fire its unit" in page
    assert "score None" not in page


def test_one_page_says_what_the_logs_say(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    with Store(layout.root) as store:
        told = {"said": "</script><script>document.title = 'odd'</script><!-- <script>"}
        store.note([Evidence("net", WEIGHTS, "fire4", 1, "neighbours", told)])
    done = export_atlas(layout.root, tmp_path / "a.html", form="html")
    text = done.path.read_text()
    parts = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert text.count("<script") == len(parts) == done.images
    found = {line["key"]: line for line in map(json.loads, parts)}
    assert found == documents(layout)
    (entry,) = _entries(layout, "fire4", 1)
    assert found[entry.key]["evidence"] == {"neighbours": told}


def test_pages_show_their_pictures_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", 3)
    folder = export_atlas(layout.root, tmp_path / "pages", form="html").path
    page_file = export_atlas(layout.root, tmp_path / "a.html", form="html").path
    loaded = "[...document.images].filter(i => i.complete && i.naturalWidth > 0).length"
    page, problems = open_offline(browser, page_file)
    page.wait_for_function(f"{loaded} === 3")
    assert page.evaluate("document.images[0].naturalWidth") == 32
    assert problems == []
    page, _ = open_offline(browser, folder / "index.html")
    page.click("text=fire4")
    page.wait_for_function(f"{loaded} === 3")
    assert page.evaluate("document.images[0].naturalWidth") == 16  # the small one
    page.click("img")
    page.wait_for_function(f"{loaded} === 1")
    assert page.evaluate("document.images[0].naturalWidth") == 32


def test_one_page_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = picture_atlas(tmp_path / "a", 3)
    monkeypatch.setattr("featviz.atlas.exporting.html_export.MOST_BYTES", 400)
    with pytest.raises(ConfigError, match=r"too much for one page; give a folder"):
        export_atlas(layout.root, tmp_path / "a.html", form="html")
    assert names(tmp_path) == ["a"]


def test_a_preview_is_an_atlas_of_small_pictures_of_units_that_fire(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    with Store(layout.root) as store:
        image = new(5, site="fire9", width=200, height=100, record={"objective": "x"})
        wide = png_bytes(noise(5, 200).crop((0, 0, 200, 100)))
        shared = {**image.shared, "request": {"arguments": ["net"]}}
        parts = {**image.parts, "kind": "png"}
        store.add([replace(image, parts=parts, picture=wide, shared=shared)])
    done = export_atlas(layout.root, tmp_path / "b", form="preview")
    again = export_atlas(layout.root, tmp_path / "c", form="preview")
    assert done.images == again.images == 4
    assert done.bytes == sum(f.stat().st_size for f in (tmp_path / "b").glob("images/*/*"))
    assert _below(tmp_path / "b") == _below(tmp_path / "c")
    mark = json.loads((tmp_path / "b" / "export.json").read_text())
    assert mark["images"] == 4
    assert mark["logs"] == {
        log.name: hashlib.sha256(log.read_bytes()).hexdigest()
        for log in Layout(tmp_path / "b").logs()
    }
    assert names(tmp_path / "b" / "records") == ["0000.jsonl", "0002.jsonl"]
    assert verify(tmp_path / "b").problems == ()
    with Atlas(layout.root) as whole, Atlas(tmp_path / "b") as small:
        assert small.sites("net") == ["fire4", "fire9"]  # the one of fire5 is dead
        for entry in small.images("net"):
            old = whole.image(entry.key)
            same = ("job", "label", "score", "settings", "record", "site", "channel", "variant")
            assert [getattr(entry, n) for n in same] == [getattr(old, n) for n in same]
            assert small.record(entry) == whole.record(old)
            assert entry.kind == "webp"
            with Image.open(small.image_path(entry)) as picture:
                side = (80, 40) if entry.site == "fire9" else (32, 32)
                assert picture.size == (entry.width, entry.height) == side
            assert small.thumb_path(entry) == small.image_path(entry)
        (unit,) = small.images("net", "fire4", channel=2)
        assert unit.metrics["self_rank"] == 3
        assert unit.metrics["firing_rate"] == 0.25


def _below(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_preview_of_what_is_no_picture(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(1)])
    with pytest.raises(RecordError, match="'fire4:1' along: its picture cannot be read"):
        export_atlas(tmp_path / "a", tmp_path / "b", form="preview")
    assert names(tmp_path) == ["a"]


def test_one_model_or_site_alone(tmp_path: Path) -> None:
    layout = full_atlas(tmp_path / "a")
    with Store(layout.root) as store:
        store.add([new(0, site="last", model="other")])
    for choice, count in (
        ({"model": "other"}, 1),
        ({"site": "fire4"}, 3),
        ({"model": "net", "site": "fire4"}, 3),
        ({}, 5),
    ):
        done = export_atlas(
            layout.root, tmp_path / "x", form="webdataset", overwrite=True, **choice
        )
        assert done.images == count
    with pytest.raises(RecordError, match="no images of site 'fire9'; it has fire4, fire5"):
        export_atlas(layout.root, tmp_path / "y", form="html", site="fire9")
    with pytest.raises(RecordError, match="no model 'nett'; did you mean 'net'"):
        export_atlas(layout.root, tmp_path / "y", form="html", model="nett")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("form", EXPORTS)
def test_a_picture_that_is_not_the_one_recorded_is_not_handed_on(tmp_path: Path, form: str) -> None:
    layout = picture_atlas(tmp_path / "a")
    target = tmp_path / NAMES[form]
    (entry,) = _entries(layout, "fire4", 3)
    path = layout.image(entry.key, "webp")
    data = path.read_bytes()
    for damage in (data[:-1], data[:-1] + bytes([data[-1] ^ 1]), None):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(RecordError, match=r"cannot take 'fire4:3' along: .*verify FOLDER --re"):
            export_atlas(layout.root, target, form=form)
        assert names(tmp_path) == ["a"]
        path.write_bytes(data)
    path.unlink()
    os.mkfifo(path)  # opening one for reading would wait for ever
    with pytest.raises(RecordError, match="cannot take 'fire4:3' along"):
        export_atlas(layout.root, target, form=form)


@pytest.mark.parametrize("form", EXPORTS)
def test_what_is_there_is_replaced_only_when_asked_and_only_if_it_is_an_export(
    tmp_path: Path, form: str
) -> None:
    layout = picture_atlas(tmp_path / "a")
    target = tmp_path / NAMES[form]
    export_atlas(layout.root, target, form=form)
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        export_atlas(layout.root, target, form=form)
    assert export_atlas(layout.root, target, form=form, overwrite=True).images == 4
    other = tmp_path / "other"
    if form == "parquet":
        other.mkdir()
        message = "is a folder; choose another name"
    else:
        other.mkdir()
        (other / "mine.txt").write_text("mine")
        message = "was not made by an export"
    with pytest.raises(OutputError, match=message):
        export_atlas(layout.root, other, form=form, overwrite=True)
    assert form == "parquet" or (other / "mine.txt").read_text() == "mine"
    with pytest.raises(OutputError, match="lies within the atlas; choose a place outside it"):
        export_atlas(layout.root, layout.root / "images" / "x", form=form)
    assert names(tmp_path) == sorted(["a", "other", target.name])


@pytest.mark.parametrize("form", EXPORTS)
def test_when_the_disk_is_full_what_was_there_stays(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = picture_atlas(tmp_path / "a")
    target = tmp_path / NAMES[form]
    export_atlas(layout.root, target, form=form)
    before = _content(target)
    from featviz.atlas.exporting import outgoing as home

    real, calls = home.read_checked, []

    def full(*arguments: Any) -> bytes:
        calls.append(1)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(home, "read_checked", full)
    with pytest.raises(OutputError, match="No space left on device; make room"):
        export_atlas(layout.root, target, form=form, overwrite=True)
    assert _content(target) == before
    assert names(tmp_path) == sorted(["a", target.name])


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(file): file.read_bytes() for file in files}


def test_a_record_with_a_number_that_json_does_not_know(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([replace(new(1), parts={**new(1).parts, "record": {"x": 12345.5}})])
    (log,) = Layout(tmp_path / "a").logs()
    log.write_bytes(unsealed(log.read_bytes()).replace(b"12345.5", b"1e999"))
    with pytest.raises(RecordError, match="'fire4:1' cannot be written as JSON"):
        export_atlas(tmp_path / "a", tmp_path / "x", form="webdataset")


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = picture_atlas(tmp_path / "a")
    with pytest.raises(ConfigError, match="unknown format 'hf'; there are html, parquet, preview"):
        export_atlas(layout.root, tmp_path / "x", form="hf")
    Store(tmp_path / "empty").close()
    with pytest.raises(RecordError, match="has no images yet; 'featviz atlas build' makes some"):
        export_atlas(tmp_path / "empty", tmp_path / "x", form="html")
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'featviz\[parquet\]'"):
        export_atlas(layout.root, tmp_path / "x", form="parquet")
    assert not (tmp_path / "x").exists()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = make_command(capsys)
    layout = picture_atlas(tmp_path / "a")
    words = ("atlas", "export", layout.root, "--format")
    code, out, _ = command(*words, "html", "-o", tmp_path / "x")
    assert code == 0
    assert out.startswith("4 images")
    code, out, _ = command(*words, "parquet", "-o", tmp_path / "x.parquet", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 4
    code, _, err = command(*words, "html", "-o", tmp_path / "x")
    assert code == 2
    assert "--overwrite" in err
    code, _, _ = command(*words, "hdf5", "-o", tmp_path / "y")
    assert code == 2
