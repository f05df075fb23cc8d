import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from featviz.atlas import log
from featviz.atlas.lock_files import locked_folder
from featviz.atlas.log import MAX_LINE, LogLine, LogWriter, generation, read_lines, read_log
from featviz.errors import OutputError

SEALED = len(',"crc32":"00000000"')


def documents(path: Path, start: int = 0) -> list[Any]:
    return [without_generation(line) for line in read_log(path, start) if not line.torn]


def without_generation(line: LogLine) -> Any:
    if line.document is None:
        return None
    return {k: v for k, v in line.document.items() if k != "generation"}


def test_a_log_cut_at_any_byte_gives_whole_writes_only(tmp_path: Path) -> None:
    writes = [[{"a": 1}], [{"b": n} for n in range(3)], [{"c": "é" * 9}], [{"d": 1}, {"d": 2}]]
    ends, whole = [0], tmp_path / "whole.jsonl"
    writer = LogWriter(tmp_path)
    for write in writes:
        writer.append(write)
        ends.append(writer.path.stat().st_size)
    writer.close()
    data = writer.path.read_bytes()
    for cut in range(len(data) + 1):
        whole.write_bytes(data[:cut])
        done = sum(end <= cut for end in ends) - 1
        lines = list(read_log(whole))
        found = [{k: v for k, v in d.items() if k != "more"} for d in documents(whole)]
        assert found == [line for write in writes[:done] for line in write]
        torn = [line for line in lines if line.torn]
        assert len(torn) == (cut not in ends)
        last = lines[-1].end if lines else 0
        assert last == ends[done]
        # Going on from there gives the rest once it is there.
        whole.write_bytes(data)
        assert len(documents(whole, last)) == sum(map(len, writes[done:]))


def test_a_log_is_read_as_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\n' * 1000)
    lines = read_log(path)
    assert next(lines).place == 0
    assert next(lines).place == 9
    path.write_text("")
    assert sum(1 for _ in lines) < 1000


def test_lines_that_are_too_long_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = b'{"x": "' + b"y" * (2 * MAX_LINE) + b'"}\n'
    path.write_bytes(b'{"a": 1}\n' + long + b'{"b": 2}\n' + long[:-1])
    lines = list(read_log(path))
    assert [line.document for line in lines] == [{"a": 1}, None, {"b": 2}, None]
    assert [line.torn for line in lines] == [False, False, False, True]
    assert lines[2].place == 9 + len(long)


@pytest.mark.parametrize("more", [10**30, -1, True, "3", 1.5, None])
def test_a_mark_of_more_lines_that_cannot_be_is_harmless(tmp_path: Path, more: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"more": more}) + '\n{"b": 2}\n')
    lines = list(read_log(path))
    if more == 10**30:
        assert [line.torn for line in lines] == [True]
    else:
        assert len(lines) == 2


def test_lines_are_found_by_their_places(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n[]\n{"b": 2}\n')
    assert read_lines(path, [12, 0, 9, 500]) == [{"b": 2}, {"a": 1}, None, None]


def test_when_not_even_taking_back_works_the_file_is_left_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = LogWriter(tmp_path)
    writer.append([{"a": 1}])
    first = writer.path

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "ftruncate", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        writer.append([{"b": 2}])
    monkeypatch.undo()
    writer.append([{"c": 3}])
    assert writer.path != first
    assert documents(writer.path) == [{"c": 3}]
    assert documents(first)[0] == {"a": 1}
    writer.close()


def test_a_writer_with_nothing_to_say_leaves_no_file(tmp_path: Path) -> None:
    with LogWriter(tmp_path) as writer:
        writer.append([])
    assert list(tmp_path.iterdir()) == []


def generations(folder: Path) -> list[int]:
    return sorted(generation(next(read_log(path)).document) for path in folder.glob("*.jsonl"))


def test_each_log_is_of_a_generation_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text('{"a": 1}\n')
    writers = [LogWriter(tmp_path) for _ in range(8)]
    threads = [threading.Thread(target=each.append, args=([{"b": 2}],)) for each in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.append([{"c": 3}])
        writer.close()
    assert generations(tmp_path) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert next(read_log(writers[0].path)).place == 0
    assert documents(writers[0].path) == [{"b": 2}, {"c": 3}]
    assert len(list(tmp_path.iterdir())) == 9


@pytest.mark.parametrize("found", [10**30, 2**53, 0, -1, True, "3", 1.5, None, [1]])
def test_a_generation_that_cannot_be_is_none(tmp_path: Path, found: Any) -> None:
    (tmp_path / "odd.jsonl").write_text(json.dumps({"generation": found}) + "\n")
    (tmp_path / "bad.jsonl").write_text("no json")
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to("/dev/zero")
    with LogWriter(tmp_path) as writer:
        writer.append([{"a": 1}])
    assert generation(next(read_log(writer.path)).document) == 1


def test_after_the_largest_generation_comes_no_larger_one(tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text(json.dumps({"generation": 2**53 - 1}) + "\n")
    with LogWriter(tmp_path) as writer:
        writer.append([{"a": 1}])
    assert generations(tmp_path) == [2**53 - 1] * 2


def test_a_folder_that_somebody_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_WAIT_S", 0.0)
    with (
        locked_folder(tmp_path),
        LogWriter(tmp_path) as writer,
        pytest.raises(OutputError, match=r"cannot write .*temporarily unavailable"),
    ):
        writer.append([{"a": 1}])
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_no_reader_takes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with LogWriter(tmp_path) as writer:
        with pytest.raises(OutputError, match="too long for those who read it, 4000000 at most"):
            writer.append([{"a": 1}, {"x": "y" * MAX_LINE}])
        assert list(tmp_path.iterdir()) == []
        longest = {"x": "y" * (MAX_LINE - len('{"generation":1,"x":""}\n') - SEALED)}
        writer.append([longest])
        with pytest.raises(OutputError, match="a line of 4000001 bytes would be too long"):
            writer.append([{"a": 1}, {"x": "y" * (MAX_LINE + 1 - len('{"x":""}\n') - SEALED)}])
        writer.append([{"b": 2}])
        assert writer.path.stat().st_size == MAX_LINE + len('{"b":2}\n') + SEALED
    assert documents(writer.path) == [longest, {"b": 2}]
    assert read_lines(writer.path, [0]) == [{**longest, "generation": 1}]


def test_a_line_that_was_edited_is_not_believed_and_one_without_checksum_is(tmp_path: Path) -> None:
    with LogWriter(tmp_path) as writer:
        writer.append([{"a": 1, "b": "x"}, {}, {"c": {"crc32": "0"}}])
    data = writer.path.read_bytes()
    assert documents(writer.path) == [{"a": 1, "b": "x", "more": 2}, {}, {"c": {"crc32": "0"}}]
    first = data.split(b"\n")[0]
    for k in range(first.index(b',"crc32"')):
        writer.path.write_bytes(data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :])
        lines = list(read_log(writer.path))
        assert not any(line.document and "a" in line.document for line in lines)
        assert lines[-1].document == {"c": {"crc32": "0"}}
        assert read_lines(writer.path, [0]) == [None]
    writer.path.write_bytes(data.replace(b'"a":1', b'"a":2'))
    assert [line.edited for line in read_log(writer.path)] == [True, False, False]
    writer.path.write_text('{"a": 2}\n{"crc32": "00000000", "a": 2}\n')
    assert [line.edited for line in read_log(writer.path)] == [False, True]
    assert documents(writer.path) == [{"a": 2}, None]
