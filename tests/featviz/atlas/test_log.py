import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from featviz.atlas.log import MAX_LINE, LogWriter, read_lines, read_log
from featviz.errors import OutputError


def documents(path: Path, start: int = 0) -> list[Any]:
    return [line.document for line in read_log(path, start) if not line.torn]


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
