import hashlib
import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlases import WEIGHTS, new
from featviz.atlas import Atlas, Failure, ImageEntry, Store
from featviz.atlas.canonical import canonical_json, content_key
from featviz.atlas.entries import Evidence, Forgotten, Metrics, parse_entry
from featviz.atlas.exporting.outgoing import outgoing
from featviz.atlas.layout import Layout, create_layout, open_layout
from featviz.atlas.log import LogWriter, read_log
from featviz.errors import OutputError, RecordError


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(3), new(1), new(2, variant="negative")])
        store.note([Evidence("net", WEIGHTS, "fire4", 1, "examples", [1, 2], {"rate": 0.5})])
    with Atlas(tmp_path / "a") as atlas:
        assert atlas.models() == ["net"]
        assert atlas.sites("net") == ["fire4"]
        assert atlas.counts("net") == {"images": 3, "units": 3, "dead": 0}
        entries = atlas.images("net", "fire4")
        assert [e.channel for e in entries] == [1, 2, 3]
        for entry in entries:
            data = atlas.image_path(entry).read_bytes()
            assert data == f"picture fire4 {entry.channel}".encode()
            assert hashlib.sha256(data).hexdigest() == entry.sha256
            assert atlas.thumb_path(entry).read_bytes().startswith(b"thumb")
        assert atlas.record(entries[0]) == {
            "schema": 1, "config": {"steps": 4}, "image": {"unit": "fire4:1"}
        }  # fmt: skip
        assert atlas.evidence("net", "fire4", 1) == {"examples": [1, 2]}
        assert [e.channel for e in atlas.images("net", sort="rate")] == [1, 2, 3]
        with pytest.raises(RecordError, match="no model 'ne'; did you mean 'net'"):
            atlas.sites("ne")


def test_what_is_known_of_a_unit_is_of_the_weights_that_it_was_found_with(tmp_path: Path) -> None:
    first, second = "1" * 64, "2" * 64
    with Store(tmp_path / "a") as store:
        for number, weights in enumerate((second, first)):
            key = content_key(["image", weights])
            store.add([new(1, weights=weights, key=key, job=key, record={})])
            value = {"number": number}
            rate = {"rate": float(number)}
            store.note([Evidence("net", weights, "fire4", 1, "examples", value, rate)])
        store.note([Evidence("net", second, "fire4", 1, "other", 5)])
    with Atlas(tmp_path / "a") as atlas:
        place = ("net", "fire4", 1)
        assert atlas.weights("net") == [first, second]
        assert atlas.weights("nothing") == []
        assert atlas.evidence(*place, weights=first) == {"examples": {"number": 1}}
        assert atlas.evidence(*place, weights=second) == {"examples": {"number": 0}, "other": 5}
        assert atlas.evidence(*place) == {"examples": {"number": 1}, "other": 5}
        assert atlas.measured_unit(*place, weights=first) == {"rate": 1.0}
        assert atlas.measured_unit(*place, weights=second) == {"rate": 0.0}
        assert atlas.measured_unit(*place) == {"rate": 1.0}
        for none in ("0" * 64, "no key"):
            assert atlas.evidence(*place, weights=none) == {}
            assert atlas.measured_unit(*place, weights=none) == {}
        by_rate = atlas.images("net", sort="rate", descending=True)
        assert [entry.weights for entry in by_rate] == [first, second]
        (found,) = atlas.images("net", where={"rate": (None, 0.5)})
        assert found.weights == second
        for each in outgoing(atlas, "net", "fire4"):
            number = int(each.entry.weights == first)
            assert each.evidence["examples"] == {"number": number}
            assert each.metrics["rate"] == number
            assert ("other" in each.evidence) == (not number)


def test_images_are_sorted_and_filtered(tmp_path: Path) -> None:
    channels = range(20)
    with Store(tmp_path / "a") as store:
        store.add([new(c) for c in channels])
        store.note([Metrics(content_key(["fire4", 4, "positive"]), {"sharpness": 100.0})])
    with Atlas(tmp_path / "a") as atlas:

        def found(**options: Any) -> list[int | None]:
            return [e.channel for e in atlas.images("net", "fire4", **options)]

        by_score = sorted(channels, key=lambda c: (-(c % 7), c))
        assert found(sort="score", descending=True) == by_score
        assert found(sort="score", descending=True, limit=3, offset=2) == by_score[2:5]
        assert found(sort="sharpness", descending=True)[0] == 4
        assert atlas.measured(content_key(["fire4", 4, "positive"])) == {"sharpness": 100.0}
        assert found(where={"sharpness": (0.5, 1.0)}) == [5, 6, 7, 8, 9, 10]
        assert found(where={"score": (6, None)}) == [6, 13]
        assert found(channel=7) == [7]
        with pytest.raises(RecordError, match="no metric 'sharpnes'; did you mean 'sharpness'"):
            found(sort="sharpnes")
        with pytest.raises(RecordError, match="no metric"):
            found(sort="score; DROP TABLE images")


def test_a_failure_counts_until_the_work_is_done(tmp_path: Path) -> None:
    image = new(5)
    failure = Failure(image.parts["job"], "net", WEIGHTS, "fire4", 5, "positive", "no memory")
    with Store(tmp_path / "a") as store:
        store.note([failure])
        with Atlas(tmp_path / "a") as atlas:
            assert atlas.failures() == [failure]
            store.add([image])
            assert atlas.refresh()
            assert not atlas.refresh()
            assert atlas.failures() == []
            assert atlas.jobs() == {image.parts["job"]}


def test_work_taken_back_in_part_that_fails_is_told(tmp_path: Path) -> None:
    """One image of two is left, so the job is not done."""
    job = "a" * 64
    first = [new(5, key=f"{k}" * 64, image=k, job=job, variant="diverse:2") for k in range(2)]
    failure = Failure(job, "net", WEIGHTS, "fire4", 5, "diverse:2", "no memory")
    root = tmp_path / "a"
    with Store(root) as store:
        store.note([failure])
        store.add(first)
        log = store._log.path
    place = next(
        line.place for line in read_log(log) if (line.document or {}).get("key") == "1" * 64
    )
    with Atlas(root) as atlas:
        assert (atlas.failures(), atlas.failures(also_done=True)) == ([], [failure])
        with Store(root) as store:
            store.note([Forgotten(log.name, place, "missing")])
            atlas.refresh()
            assert atlas.failures() == []
            again = replace(failure, attempt=2)
            store.note([again])
        atlas.refresh()
        assert atlas.work()[job].images == 1
        assert atlas.failures() == atlas.failures(also_done=True) == [again]


def test_a_torn_line_is_left_out_and_nobody_goes_on_behind_it(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(1)])
        store.add([new(2)])
        log = store._log.path
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    with Atlas(tmp_path / "a") as atlas:
        assert [e.channel for e in atlas.images("net")] == [1]
        assert atlas.problems() == []
    with Store(tmp_path / "a") as store:
        store.add([new(2)])
        assert store._log.path != log
    with Atlas(tmp_path / "a") as atlas:
        assert [e.channel for e in atlas.images("net")] == [1, 2]
    # The index read on behind the place where the line was torn; once whole it is taken in.
    log.write_bytes(whole)
    with Atlas(tmp_path / "a") as atlas:
        assert len(atlas.images("net")) == 2


def test_nothing_is_recorded_of_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path)
    writer.append([{"a": 1}])
    real, calls = os.write, []

    def full(descriptor: int, data: Any) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:5])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left on device; make room"):
        writer.append([{"b": 2}, {"c": 3}])
    monkeypatch.undo()
    writer.append([{"d": 4}])
    writer.close()
    lines = [line.document for line in read_log(writer.path)]
    assert lines == [{"a": 1, "generation": 1}, {"d": 4}]


def test_lines_that_are_not_believed_are_told(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(1)])
    good = new(2)
    line = ImageEntry(
        **good.parts, settings=content_key(1), bytes=1, sha256=content_key(2),
        thumb_sha256=content_key(3),
    ).to_line()  # fmt: skip
    bad: list[Any] = [
        {**line, "key": "../../etc/passwd"},
        {**line, "key": "ab/../" + "a" * 58},
        {**line, "kind": "../../x"},
        {**line, "height": -1},
        {**line, "metrics": {"x": "y"}},
        {**line, "score": "NaN"},
        {**line, "site": ""},
        {**line, "label": "x" * 5000},
        {**line, "channel": True},
        {"type": "nothing"},
        {"type": ["image"]},
        {"no": "type"},
        [1, 2],
    ]
    text = "".join(json.dumps(each) + "\n" for each in bad) + "not json\n" + '{"a": ' * 3 + "\n"
    (tmp_path / "a" / "records" / "evil.jsonl").write_text(text)
    with Atlas(tmp_path / "a") as atlas:
        assert [e.channel for e in atlas.images("net")] == [1]
        assert len(atlas.problems()) == len(bad) + 2
        assert {log for log, _, _ in atlas.problems()} == {"evil.jsonl"}


def test_an_index_is_made_anew_when_damaged_gone_or_old(tmp_path: Path) -> None:
    root = tmp_path / "a"
    with Store(root) as store:
        store.add([new(c) for c in range(3)])

    def channels() -> list[int | None]:
        with Atlas(root) as atlas:
            return [e.channel for e in atlas.images("net")]

    assert channels() == [0, 1, 2]
    (root / "index.sqlite").write_bytes(b"no database at all, but long enough to look like one" * 9)
    assert channels() == [0, 1, 2]
    with sqlite3.connect(root / "index.sqlite") as old:
        old.execute("PRAGMA user_version = 99")
    old.close()
    assert channels() == [0, 1, 2]
    (root / "index.sqlite").unlink()
    assert channels() == [0, 1, 2]
    next(Layout(root).records.glob("*.jsonl")).unlink()
    with Atlas(root) as atlas:
        assert atlas.models() == []


def test_folders_that_are_no_atlas_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds no atlas .*'featviz atlas build"):
        Atlas(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "photo.png").touch()
    with pytest.raises(OutputError, match="neither empty nor an atlas"):
        Store(tmp_path / "x")
    for text, said in (('{"format": 2}', "has format 2"), ("[]", "format None"), ("{", "cannot")):
        root = create_layout(tmp_path / f"y{len(text)}").root
        (root / "atlas.json").write_text(text)
        with pytest.raises(RecordError, match=said):
            open_layout(root)


def test_the_making_of_an_atlas_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    root = tmp_path / "a"
    (root / "records").mkdir(parents=True)
    (root / "images").mkdir()
    (root / ".atlas.json.77.tmp").write_text("{")
    Store(root).close()
    assert open_layout(root).root == root
    other = tmp_path / "b"
    (other / "images").mkdir(parents=True)
    (other / "images" / "photo.jpg").touch()  # of somebody who sorts things the same way
    with pytest.raises(OutputError, match="neither empty nor an atlas"):
        Store(other)


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    one, other = Store(tmp_path / "a"), Store(tmp_path / "a")
    for c in range(5):
        one.add([new(c)])
        other.add([new(c, site="fire5")])
    one.close()
    other.close()
    with Atlas(tmp_path / "a") as atlas:
        assert atlas.counts("net")["images"] == 10


def test_canonical_text_does_not_depend_on_the_order_of_names() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"\\u00e9"],"b":1}'
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key("x") == hashlib.sha256(b'"x"').hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_entries_read_back_what_they_wrote() -> None:
    image = new(1)
    entry = ImageEntry(
        **image.parts, settings=content_key(1), bytes=1, sha256=content_key(2),
        thumb_sha256=content_key(3),
    )  # fmt: skip
    assert parse_entry(json.loads(canonical_json(entry.to_line()))) == entry
    with pytest.raises(RecordError, match="lacks something"):
        parse_entry({"type": "image", "key": entry.key})


def test_units_are_found_through_an_index_of_the_tables(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(1)])
    with Atlas(tmp_path / "a") as atlas:
        plan = atlas._index.execute(
            "EXPLAIN QUERY PLAN SELECT place FROM images WHERE model = 'net' AND site = 'fire4' "
            "AND channel = 3"
        ).fetchall()
        assert "USING INDEX by_unit" in str(plan)


def test_channels_and_variants_of_a_site(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        for variant in ("negative", "diverse:2", "positive"):
            store.add([new(c, variant=variant) for c in (10, 2)])
        store.add([new(5, variant="negative")])
        store.add([new(3, site="fire5", variant="negative")])
        of_none = new(site="fire6", variant="map")
        store.add([replace(of_none, parts={**of_none.parts, "channel": None})])
    with Atlas(tmp_path / "a") as atlas:
        assert atlas.channels("net", "fire4") == [2, 5, 10]
        assert atlas.variants("net", "fire4") == ["positive", "diverse:2", "negative"]
        assert atlas.channels("net", "fire5") == [3]
        assert atlas.variants("net", "fire5") == ["negative"]
        assert atlas.channels("net", "fire6") == []
        assert atlas.variants("net", "fire6") == ["map"]
        assert atlas.channels("net", "fire9") == atlas.channels("other", "fire4") == []
        assert atlas.variants("net", "fire9") == []
