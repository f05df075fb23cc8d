import contextlib
import json
import multiprocessing
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from atlases import WEIGHTS, new, unsealed
from featviz.atlas import Atlas, Store, index
from featviz.atlas.canonical import canonical_json
from featviz.atlas.entries import Evidence, Failure, Forgotten, ImageEntry, Metrics
from featviz.atlas.index import Index, quick_check
from featviz.atlas.layout import Layout, open_layout
from featviz.atlas.log import read_log
from featviz.errors import RecordError

GARBAGE = b"no database at all, but long enough to look like one" * 90


def make(root: Path, count: int = 3) -> Layout:
    with Store(root) as store:
        store.add([new(c) for c in range(count)])
    return Layout(root)


def channels(atlas: Atlas) -> list[int | None]:
    return [e.channel for e in atlas.images("net")]


def dump(layout: Layout) -> list[Any]:
    """What an index made of the logs alone says."""
    layout.index.unlink(missing_ok=True)
    with Atlas(layout.root) as atlas:
        return [atlas.images("net"), atlas.problems(), atlas.metrics(), sorted(atlas.jobs())]


def overwrite(path: Path) -> None:
    """Damage a file in place, so that it stays the same file."""
    with path.open("r+b") as file:
        file.write(GARBAGE)


@pytest.mark.parametrize("damage", [overwrite, lambda path: path.write_bytes(b""), Path.unlink])
def test_damage_while_open_is_made_good(tmp_path: Path, damage: Any) -> None:
    layout = make(tmp_path / "a")
    with Atlas(layout.root) as atlas, Atlas(layout.root) as other:
        damage(layout.index)
        assert channels(atlas) == [0, 1, 2]
        with Store(layout.root) as store:
            store.add([new(7)])
        assert atlas.refresh()
        assert channels(atlas) == [0, 1, 2, 7]
        other.refresh()
        assert channels(other) == [0, 1, 2, 7]
        assert not atlas.refresh()
    assert quick_check(layout) is None
    assert not layout.index.with_name("index.sqlite-journal").exists()


def test_a_damaged_index_is_not_removed_twice(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    with Atlas(layout.root) as one, Atlas(layout.root) as two:
        overwrite(layout.index)
        assert channels(one) == [0, 1, 2]
        made = layout.index.stat().st_ino
        assert channels(two) == [0, 1, 2]
        assert layout.index.stat().st_ino == made


def test_an_error_of_ours_is_not_taken_for_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = make(tmp_path / "a")

    def wrong(connection: sqlite3.Connection, _: Layout) -> bool:
        connection.execute("SELECT 1 FROM nowhere")
        return True

    monkeypatch.setattr(index, "update", wrong)
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
        Atlas(layout.root)
    monkeypatch.undo()
    with Atlas(layout.root) as atlas:
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            atlas._index.execute("SELECT 1 FROM nowhere")
        assert channels(atlas) == [0, 1, 2]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        channels(atlas)


@pytest.mark.parametrize("where", ["lock", "file"])
def test_where_nothing_can_be_written_the_index_is_in_memory(tmp_path: Path, where: str) -> None:
    layout = make(tmp_path / "a")
    # Root may write anywhere, but not into a folder.
    (layout.index_lock if where == "lock" else layout.index).mkdir()
    with Atlas(layout.root) as atlas:
        assert channels(atlas) == [0, 1, 2]
        with Store(layout.root) as store:
            store.add([new(5)])
        assert atlas.refresh()
        assert channels(atlas) == [0, 1, 2, 5]


def test_an_index_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    precious = tmp_path / "precious.sqlite"
    with closing(sqlite3.connect(precious)) as connection:
        connection.execute("CREATE TABLE letters (text TEXT)")
    before = precious.read_bytes()
    layout.index.symlink_to(precious)
    with Atlas(layout.root) as atlas:
        assert channels(atlas) == [0, 1, 2]
    assert precious.read_bytes() == before
    assert layout.index.is_symlink()


def test_an_index_that_points_elsewhere_is_not_followed(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    with Atlas(layout.root) as atlas:
        with closing(sqlite3.connect(layout.index)) as connection:
            connection.execute("UPDATE logs SET name = '../../secret.jsonl'")
            connection.commit()
        with pytest.raises(RecordError, match=r"'../../secret.jsonl' is no log; delete"):
            channels(atlas)
    assert channels(Atlas(layout.root)) == [0, 1, 2]


def test_logs_that_are_links_or_folders_are_left_out(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    other = make(tmp_path / "b", 9)
    (layout.records / "link.jsonl").symlink_to(other.logs()[0])
    (layout.records / "folder.jsonl").mkdir()
    with Atlas(layout.root) as atlas:
        assert channels(atlas) == [0, 1, 2]


def test_numbers_and_texts_that_json_has_and_sqlite_has_not(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    good = next(line for line in read_log(layout.logs()[0]) if "key" in (line.document or {}))
    assert good.document is not None
    base = {**good.document, "key": "0" * 64}
    for change in (
        {"site": "\ud800"},
        {"score": 10**400},
        {"metrics": {"x": 2**70}},
        {"metrics": {"\udfff": 1.0}},
        {"image": 2**60},
    ):
        with (layout.records / "odd.jsonl").open("a") as file:
            file.write(canonical_json({**base, **change}) + "\n")
    with (layout.records / "odd.jsonl").open("a") as file:
        file.write('{"score": 1e999}\n{"score": ' + "9" * 5000 + "}\n" + "[" * 100_000 + "\n")
    with Atlas(layout.root) as atlas:
        assert channels(atlas) == [0, 1, 2]
        assert len(atlas.problems()) == 8


def test_a_log_cut_at_any_byte_gives_whole_jobs_only(tmp_path: Path) -> None:
    root = tmp_path / "a"
    with Store(root) as store:
        for job in range(2):
            store.add([new(c, variant=f"v{job}", job=f"{job}" * 64) for c in range(2)])
        log = store._log.path
    data = log.read_bytes()
    counts = set()
    ends = [k + 1 for k, byte in enumerate(data) if byte == ord("\n")]
    for cut in sorted({*range(0, len(data), 97), *ends, *(end - 1 for end in ends)}):
        log.write_bytes(data[:cut])
        with Atlas(root) as atlas:
            counts.add(found := len(atlas.keys()))
            assert found == 2 * len(atlas.jobs())
            assert atlas.problems() == []
    assert counts == {0, 2, 4}


def test_what_counts_does_not_depend_on_which_log_is_read_first(tmp_path: Path) -> None:
    """Take lines back, say them again, in all orders of logs and of refreshing."""
    layout = make(tmp_path / "a", 0)
    old, later = new(1, score=1.0), new(1, score=2.0)
    with Store(layout.root) as store:
        store.add([old, new(2)])
        log = store._log.path
    lines = {
        line.document["channel"]: line.place
        for line in read_log(log)
        if line.document and line.document["type"] == "image"
    }
    with Store(layout.root) as store:
        store.note([Forgotten(log.name, lines[1], "gone")])
        forgetting = store._log.path
    with Store(layout.root) as store:
        store.add([later])
        again = store._log.path
    texts = [path.read_bytes() for path in (log, forgetting, again)]
    texts[1] = unsealed(texts[1]).replace(log.name.encode(), b"LOG")
    shuffle = random.Random(0)
    for trial in range(12):
        names = [f"{letter}.jsonl" for letter in "abc"]
        shuffle.shuffle(names)
        order = [0, 1, 2]
        shuffle.shuffle(order)
        root = tmp_path / f"t{trial}"
        shutil.copytree(layout.root, root)
        for path in Layout(root).logs():
            path.unlink()
        Layout(root).index.unlink(missing_ok=True)
        with Atlas(root) as atlas:
            for k in order:
                (Layout(root).records / names[k]).write_bytes(
                    texts[k].replace(b"LOG", names[0].encode())
                )
                atlas.refresh()
            found = atlas.images("net")
            assert [(e.channel, e.score) for e in found] == [(1, 2.0), (2, 2.0)]
            assert len(atlas.jobs()) == 2
        assert dump(Layout(root))[0] == found


def _say(root: Path, number: int) -> Path:
    """Say the same again of everything that can be said twice, with other numbers."""
    image = new(1, score=float(number), metrics={"x": float(number)})
    with Store(root) as store:
        store.add([image])
        store.note(
            [
                Evidence("net", WEIGHTS, "fire4", 1, "examples", number, {"rate": number}),
                Metrics(image.parts["key"], {"later": float(number)}),
                Failure("a" * 64, "net", WEIGHTS, "fire4", 9, "positive", f"no {number}", number),
            ]
        )
        return store._log.path


def _said(atlas: Atlas) -> list[Any]:
    """What counts of it, through each way that it is asked for."""
    (image,) = atlas.images("net")
    assert atlas.images("net", where={"rate": (image.score, image.score)}) == [image]
    measured = atlas.measured(image.key)
    unit = atlas.measured_unit("net", "fire4", 1)
    evidence = atlas.evidence("net", "fire4", 1)
    failures = [(f.attempt, f.error) for f in atlas.failures()]
    return [image.score, measured["x"], measured["later"], unit["rate"], evidence, failures]


def test_what_was_recorded_last_counts_whatever_the_names_of_the_logs(tmp_path: Path) -> None:
    made = tmp_path / "made"
    texts = [_say(made, number).read_bytes() for number in (1, 2, 3)]
    shuffle = random.Random(1)
    for trial in range(12):
        names, order = [f"{letter}.jsonl" for letter in "abc"], [0, 1, 2]
        shuffle.shuffle(names)
        shuffle.shuffle(order)
        root = tmp_path / f"t{trial}"
        shutil.copytree(made, root, ignore=shutil.ignore_patterns("*.jsonl", "index.*"))
        with Atlas(root) as atlas:
            for k in order:
                (root / "records" / names[k]).write_bytes(texts[k])
                atlas.refresh()
            assert _said(atlas) == [3, 3, 3, 3, {"examples": 3}, [(3, "no 3")]]
        (root / "index.sqlite").unlink()
        with Atlas(root) as atlas:
            assert _said(atlas) == [3, 3, 3, 3, {"examples": 3}, [(3, "no 3")]]


def test_a_line_that_an_older_log_adds_does_not_count_over_a_newer_one(tmp_path: Path) -> None:
    root = tmp_path / "a"
    with Store(root) as old, Store(root) as late:
        for store, number in ((old, 1), (late, 2), (old, 3)):
            store.note([Evidence("net", WEIGHTS, "fire4", 1, "examples", number)])
            with Atlas(root) as atlas:
                assert atlas.evidence("net", "fire4", 1) == {"examples": min(number, 2)}
    (root / "index.sqlite").unlink()
    with Atlas(root) as atlas:
        assert atlas.evidence("net", "fire4", 1) == {"examples": 2}


def test_logs_without_a_generation_are_read_and_older_than_all_others(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for number in (5, 7):
        path = _say(root, number)
        first, rest = path.read_text().split("\n", 1)
        document = json.loads(first)
        del document["generation"], document["crc32"]
        path.unlink()
        (root / "records" / f"zz{9 - number // 2}.jsonl").write_text(
            canonical_json(document) + "\n" + rest
        )
    with Atlas(root) as atlas:  # by name: 5 stands in zz7, 7 in zz6
        assert _said(atlas) == [5, 5, 5, 5, {"examples": 5}, [(7, "no 7")]]
        _say(root, 6)
        assert atlas.refresh()
        assert _said(atlas) == [6, 6, 6, 6, {"examples": 6}, [(7, "no 7")]]
        assert atlas.problems() == []


def test_of_two_records_of_an_image_the_other_counts_when_one_is_taken_back(tmp_path: Path) -> None:
    for taken_back in range(2):
        root = tmp_path / f"{taken_back}"
        logs = []
        for score in (1.0, 2.0):
            with Store(root) as store:
                store.add([new(1, score=score, metrics={"x": score})])
                logs.append(store._log.path)
        with Atlas(root) as atlas:
            (place,) = [
                line.place
                for line in read_log(logs[taken_back])
                if line.document and line.document["type"] == "image"
            ]
            with Store(root) as store:
                store.note([Forgotten(logs[taken_back].name, place, "wrong")])
            atlas.refresh()
            (entry,) = atlas.images("net")
            assert entry.score == 2.0 - taken_back
            assert atlas.measured(entry.key) == {"x": entry.score}
            assert [e.key for e in atlas.images("net", where={"x": (entry.score, None)})]
        assert dump(Layout(root))[0] == [entry]


def test_lines_that_were_not_believed_can_be_taken_back(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    (layout.records / "evil.jsonl").write_text("no json\n")
    with Atlas(layout.root) as atlas:
        assert len(atlas.problems()) == 1
        with Store(layout.root) as store:
            store.note([Forgotten("evil.jsonl", 0, "no json")])
        atlas.refresh()
        assert atlas.problems() == []
    assert dump(layout)[1] == []


def _write_and_look(root: str, writer: int, count: int) -> None:
    with Store(root) as store, Atlas(root) as atlas:
        for c in range(count):
            store.add([new(c, site=f"site{writer}")])
            atlas.refresh()
            assert len(atlas.images("net", f"site{writer}")) == c + 1


def _damage(root: str, times: int) -> None:
    for _ in range(times):
        overwrite(Layout(Path(root)).index)
        with Atlas(root) as atlas:
            atlas.models()


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    with multiprocessing.get_context("spawn").Pool(3) as processes:
        yield processes


@pytest.mark.parametrize("damages", [0, 15])
def test_processes_that_refresh_at_once_lose_nothing(
    tmp_path: Path, pool: Any, damages: int
) -> None:
    root = tmp_path / "a"
    layout = make(root)
    with Atlas(root):
        pass
    jobs = [pool.apply_async(_write_and_look, (str(root), n, 12)) for n in range(2)]
    jobs.append(pool.apply_async(_damage, (str(root), damages)))
    for job in jobs:
        job.get(60)
    with Atlas(root) as atlas:
        assert atlas.counts("net")["images"] == 27
        before = atlas.images("net")
    assert quick_check(layout) is None
    assert dump(layout)[0] == before


def test_threads_may_share_an_atlas(tmp_path: Path) -> None:
    layout = make(tmp_path / "a", 30)
    failed: list[BaseException] = []
    with Atlas(layout.root) as atlas:

        def look() -> None:
            try:
                for k in range(20):
                    assert len(atlas.images("net")) == 30
                    if k == 10:
                        # Another thread may have removed it, damaged, a moment ago.
                        with contextlib.suppress(FileNotFoundError):
                            overwrite(layout.index)
            except BaseException as error:
                failed.append(error)
                raise

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []


KILLED = """
import os, sys
from featviz.atlas import Atlas, tables
taken = 0
real = tables._take_image
def take(*arguments):
    global taken
    taken += 1
    if taken == 20:
        os.kill(os.getpid(), 9)
    real(*arguments)
tables._take_image = take
Atlas(sys.argv[1])
"""


def test_an_index_whose_maker_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    layout = make(tmp_path / "a", 30)
    done = subprocess.run([sys.executable, "-c", KILLED, str(layout.root)], check=False)
    assert done.returncode == -9
    with Atlas(layout.root) as atlas:
        assert len(atlas.images("net")) == 30
    assert quick_check(layout) is None


def test_a_quick_check_tells_of_damage(tmp_path: Path) -> None:
    layout = make(tmp_path / "a")
    assert quick_check(layout) is None
    Index(open_layout(layout.root)).close()
    assert quick_check(layout) is None
    overwrite(layout.index)
    assert "not a database" in str(quick_check(layout))


def test_records_do_not_depend_on_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is ordered by time: a clock that goes backwards changes nothing."""
    clock = iter(range(10**6, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    root = tmp_path / "a"
    with Store(root) as store:
        for c in range(4):
            store.add([new(c)])
    with Atlas(root) as atlas:
        assert channels(atlas) == [0, 1, 2, 3]
        for path in [*Layout(root).logs(), Layout(root).index]:
            os.utime(path, (0, 0))
        with Store(root) as store:
            store.add([new(9)])
        assert atlas.refresh()
        assert channels(atlas) == [0, 1, 2, 3, 9]
    assert isinstance(atlas, Atlas)
    assert ImageEntry.__dataclass_fields__.keys().isdisjoint({"time", "date"})
