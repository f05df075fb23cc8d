"""Where weight files are found, and downloads that are verified."""

import contextlib
import hashlib
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from featviz.errors import WeightsError
from featviz.models.weight_files import (
    cached_file,
    download,
    git_blob_id,
    local_file,
    package_file,
    sha256_of,
    verify,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FEATVIZ_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to download."""
    file = tmp_path / "origin.bin"
    file.write_bytes(b"weights" * 1000)
    return file


def test_package_file_is_found_without_importing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explosive" / "data").mkdir(parents=True)
    (tmp_path / "explosive" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "explosive" / "data" / "w.bin").write_bytes(b"w")
    monkeypatch.syspath_prepend(tmp_path)
    found = package_file("explosive", "data/w.bin")
    assert found == tmp_path / "explosive" / "data" / "w.bin"
    assert package_file("explosive", "data/other.bin") is None
    assert package_file("no_such_package_here", "w.bin") is None
    assert "explosive" not in sys.modules


def test_git_blob_id_is_that_of_git(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"what is up, doc?")
    # The example of Chacon and Straub, Pro Git, section 10.2.
    assert git_blob_id(file) == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
    asked = subprocess.run(
        ["git", "hash-object", "--no-filters", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert git_blob_id(file) == asked.stdout.strip()


@pytest.mark.parametrize("measure", [sha256_of, git_blob_id])
def test_hash_of_a_missing_file(measure: object, tmp_path: Path) -> None:
    assert callable(measure)
    with pytest.raises(
        WeightsError, match=r"cannot read the weights file .*none: .*check the path"
    ):
        measure(tmp_path / "none")


def test_verify(source: Path) -> None:
    right = hashlib.sha256(source.read_bytes()).hexdigest()
    verify(source, sha256=right, git_blob=git_blob_id(source))
    verify(source, sha256=right[:8])
    verify(source)
    with pytest.raises(
        WeightsError, match=rf"not the expected file: its SHA-256 is {right}, not 0"
    ):
        verify(source, sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"its git blob id is \w+, not 12; delete it"):
        verify(source, git_blob="12")


def test_local_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pth").write_bytes(b"a")
    assert local_file("a.pth") is None
    monkeypatch.setenv("FEATVIZ_WEIGHTS_DIR", str(tmp_path))
    assert local_file("a.pth") == tmp_path / "a.pth"
    assert local_file("b.pth") is None


def test_download_is_verified_and_kept(cache: Path, source: Path) -> None:
    blob = git_blob_id(source)
    assert cached_file("w.bin") is None
    path = download(source.as_uri(), filename="w.bin", git_blob=blob)
    assert path == cache / "w.bin" == cached_file("w.bin")
    assert path.read_bytes() == source.read_bytes()
    source.unlink()
    assert download(source.as_uri(), filename="w.bin", git_blob=blob) == path
    assert [file.name for file in cache.iterdir()] == ["w.bin"]


def test_download_of_another_file_leaves_nothing(cache: Path, source: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot use file:.*SHA-256.*--weights FILE"):
        download(source.as_uri(), filename="w.bin", sha256="0" * 64)
    assert list(cache.iterdir()) == []


def test_damaged_cache_is_reported(cache: Path, source: Path) -> None:
    cache.mkdir()
    (cache / "w.bin").write_bytes(b"half")
    with pytest.raises(WeightsError, match=r"w\.bin is not the expected file.*delete it and get"):
        download(source.as_uri(), filename="w.bin", git_blob=git_blob_id(source))


def test_unreachable_address(cache: Path) -> None:
    # A port that was free a moment ago, on this machine: nothing leaves it.
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/w.pth"
    with pytest.raises(WeightsError) as caught:
        download(url, filename="w.pth")
    for said in (url, "cannot be reached", "--weights FILE", "w.pth", "FEATVIZ_WEIGHTS_DIR"):
        assert said in str(caught.value)
    assert list(cache.iterdir()) == []


def test_an_answer_that_ends_early(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = urllib.request.urlopen

    def longer(*args: object, **options: object) -> object:
        answer = opened(*args, **options)
        answer.headers.replace_header("Content-Length", "7001")
        return answer

    monkeypatch.setattr("urllib.request.urlopen", longer)
    with pytest.raises(
        WeightsError, match=r"cannot use file:.*only 7000 of 7001 bytes came; fetch"
    ):
        download(source.as_uri(), filename="w.bin")
    assert list(cache.iterdir()) == []


def test_unwritable_cache(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    monkeypatch.setenv("FEATVIZ_CACHE_DIR", str(tmp_path / "taken"))
    with pytest.raises(WeightsError, match=r"cannot write to .*taken.*set FEATVIZ_CACHE_DIR"):
        download(source.as_uri(), filename="w.bin")
