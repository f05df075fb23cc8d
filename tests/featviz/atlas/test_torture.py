"""What an atlas goes through: full disks, folders that cannot be written, kill -9, bad records."""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlases import everything, mounted, new, picture_atlas
from featviz.atlas import Atlas, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.checking.repair import repair
from featviz.atlas.checking.verify import verify
from featviz.atlas.exporting.export import export_atlas
from featviz.errors import OutputError

# ---- disks that are full or cannot be written --------------------------------------------------


def test_a_full_disk_loses_nothing_that_was_said_to_be_kept(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=400k"):
        _fill(tmp_path / "disk" / "a", tmp_path / "disk" / "ballast")


def _fill(root: Path, ballast: Path) -> None:
    picture = os.urandom(9000)
    kept = []
    with Store(root) as store:
        ballast.write_bytes(bytes(100_000))
        with pytest.raises(OutputError, match="No space left on device; make room"):  # noqa: PT012
            for channel in range(1000):
                store.add([_with(new(channel), picture)])
                kept.append(channel)
        assert len(kept) > 3
        with Atlas(root) as atlas:  # its index has no room either
            assert [e.channel for e in atlas.images("net")] == kept
        found = verify(root)
        assert set(found.counts) <= {"orphan"}
        ballast.unlink()
        store.add([_with(new(999), picture)])
    with Atlas(root) as atlas:
        assert [e.channel for e in atlas.images("net")] == [*kept, 999]
    assert repair(root).after.clean
    assert verify(root).clean


def _with(image: Any, picture: bytes) -> Any:
    return replace(image, picture=picture)


def test_a_disk_that_cannot_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "size=4m"):
        layout = picture_atlas(disk / "a")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Atlas(layout.root) as atlas:
            assert len(atlas.images("net")) == 4
            assert not atlas.refresh()
        assert verify(layout.root).clean
        with pytest.raises(OutputError, match=r"cannot repair .*Read-only file system"):
            repair(layout.root)
        with pytest.raises(OutputError, match="cannot write"):
            Store(layout.root).add([new(9)])


# ---- errors at every call ----------------------------------------------------------------------

CALLS = ((io, "open"), (os, "open"), (os, "write"), (os, "fsync"), (os, "mkdir"), (os, "replace"))


class Full:
    """Lets the n-th call that writes say that the disk is full, and those after it succeed."""

    def __init__(self, patch: pytest.MonkeyPatch, moment: int) -> None:
        self.left = moment
        self.lock = threading.Lock()
        self.met = ""
        for home, name in CALLS:
            patch.setattr(home, name, self._wrapped(name, getattr(home, name)))

    def _wrapped(self, name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            opened = str(arguments[0]) if arguments else ""
            if real is not os.open and name == "open" and "r" in str(arguments[1:2] or "r"):
                return real(*arguments, **options)  # a full disk can be read
            with self.lock:
                fails = self.left == 0 and not self.met
                self.left -= 1
                if fails:
                    self.met = f"{name} {opened}"
            if fails:
                if name == "open" and real is not os.open and "wb" in str(arguments[1:]):
                    return real("/dev/full", *arguments[1:], **options)  # fails when it is written
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return call


def test_when_the_disk_is_full_at_any_call_nothing_is_half_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, met = tmp_path / "a", set()
    for moment in range(60):
        pair = {2 * moment, 2 * moment + 1}
        with Store(root) as store:
            with monkeypatch.context() as patch:
                full = Full(patch, moment)
                try:
                    store.add([new(channel) for channel in sorted(pair)])
                    failed = False
                except OutputError as error:
                    assert "No space left" in str(error)  # noqa: PT017 - the last moment passes
                    failed = True
            assert failed == bool(full.met)
            with Atlas(root) as atlas:
                there = {e.channel for e in atlas.images("net")} if atlas.models() else set()
            assert there.isdisjoint(pair) if failed else pair <= there
            assert set(verify(root).counts) <= {"orphan", "temporary"}
            # The same store goes on once there is room.
            store.add([new(channel) for channel in sorted(pair)])
        met.add(full.met.partition(" ")[0])
        if not failed:
            break
    assert not failed
    assert met == {"", "open", "write", "fsync", "mkdir", "replace"}
    with Atlas(root) as atlas:
        assert len(atlas.images("net")) == 2 * (moment + 1)
    assert verify(root).clean


@pytest.mark.parametrize("limit", ["size", "nr_inodes"])
def test_disks_that_are_full_after_every_page_and_every_file(tmp_path: Path, limit: str) -> None:
    disk, done = tmp_path / "disk", False
    for count in range(3, 90):
        room = f"size={4 * count}k" if limit == "size" else f"size=4m,nr_inodes={count}"
        with mounted(disk, room):
            root = disk / "a"
            kept = []
            try:
                with Store(root) as store:
                    for channel in range(2):
                        store.add([_with(new(channel), bytes(9000))])
                        kept.append(channel)
                    done = True
            except OutputError as error:
                assert "No space left on device" in str(error)  # noqa: PT017 - the last one passes
            whole = "size=4m,nr_inodes=1000"
            subprocess.run(["mount", "-o", f"remount,{whole}", str(disk)], check=True)
            with Store(root) as store:
                missing = [new(channel) for channel in range(2) if channel not in kept]
                if kept:
                    with Atlas(root) as atlas:
                        assert [e.channel for e in atlas.images("net")] == kept
                store.add([_with(image, bytes(9000)) for image in missing])
            assert repair(root).after.clean
            assert verify(root).images == 2
        if done:
            break
    assert done
    assert count > 8  # it failed at many places before


# ---- folders that cannot be written ------------------------------------------------------------

AS_NOBODY = """
import os, sys
from featviz.atlas import Atlas
from featviz.atlas.checking.repair import repair
from featviz.atlas.checking.verify import verify
from featviz.errors import OutputError
os.setgid(65534); os.setuid(65534)
with Atlas(sys.argv[1]) as atlas:
    assert len(atlas.images("net")) == 4
assert verify(sys.argv[1]).clean, verify(sys.argv[1])
try:
    repair(sys.argv[1])
except OutputError as error:
    print(error)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_folder_of_somebody_else_is_read_all_the_same(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    layout = picture_atlas(open_folder / "a")
    before = everything(layout.root)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(layout.root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot repair" in done.stdout
    assert "Permission denied; give access" in done.stdout
    assert everything(layout.root) == before


# ---- kill -9 -----------------------------------------------------------------------------------

KILLED = """
import json, os, random, signal, sys, time
sys.path[:0] = sys.argv[2:]
from atlases import new, picture_atlas
from featviz.atlas import Atlas, Store
from featviz.atlas.checking.repair import repair
from featviz.atlas.checking.verify import verify

root, draw = sys.argv[1], random.Random(0)
kept, damaged = set(), set()


def forked(work):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            work(writes)
        finally:
            os._exit(0)
    os.close(writes)
    return child, reads


def write(first):
    def work(pipe):
        with Store(root) as store:
            for channel in range(first, first + 1000):
                store.add([new(channel), new(channel, variant="negative")])
                os.write(pipe, f"{channel}\\n".encode())
    return work


def read(pipe):
    while True:
        with Atlas(root) as atlas:
            atlas.refresh()


def end(children):
    said = b""
    for child, reads in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while part := os.read(reads, 65536):
            said += part
        os.close(reads)
    return {int(line) for line in said.split(b"\\n")[:-1] if line}


with Store(root) as store:
    store.add([new(0), new(0, variant="negative")])
for turn in range(8):
    writers = [forked(write(10_000 * turn + 1000 * k + 1)) for k in range(3)]
    readers = [forked(read)]
    time.sleep(draw.uniform(0.01, 0.12))
    kept |= end(writers)
    end(readers)
    with Atlas(root) as atlas:
        images = atlas.images("net")
    both = {e.channel for e in images if e.variant == "negative"}
    other = {e.channel for e in images if e.variant == "positive"}
    assert both ^ other <= damaged, "something is half there"
    assert kept <= both, "what was said to be kept is gone"
    found = verify(root)
    assert set(found.counts) <= {"orphan", "temporary", "torn"}, found.counts
    # Repairs are killed too, after two pictures were damaged.
    for entry in draw.sample([e for e in images if e.channel], 2) if len(images) > 9 else ():
        (Atlas(root).layout.image(entry.key, "webp")).unlink()
        damaged.add(entry.channel)
    kept -= damaged
    repairing = [forked(lambda pipe: repair(root))]
    time.sleep(draw.uniform(0, 0.05))
    end(repairing)
    assert repair(root).after.clean
    assert verify(root).clean
    with Atlas(root) as atlas:
        assert kept <= {e.channel for e in atlas.images("net")}
print(json.dumps({"kept": len(kept), "damaged": len(damaged)}))
"""


@pytest.mark.slow  # it starts Python, which imports torch, and waits on the disk
def test_writers_readers_and_repairs_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    home = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "a"), str(home), str(home.parent)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["kept"] > 30
    assert said["damaged"] > 8


# ---- bad records -------------------------------------------------------------------------------


def test_records_that_point_elsewhere_are_refused_and_harm_nothing(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", 2)
    (tmp_path / "secret.webp").write_bytes(b"secret")
    with Atlas(layout.root) as atlas:
        line = atlas.images("net")[0].to_line()
    evil = [
        {**line, "key": "../../secret"},
        {**line, "key": str(tmp_path / "secret")},
        {**line, "key": content_key(1), "kind": "../secret.webp"},
        {**line, "key": content_key(1).upper()},
        {**line, "key": content_key(1), "settings": "../x"},
        {"type": "forget", "log": "../../secret.webp", "place": 0, "reason": "x"},
        {"type": "forget", "log": "/etc/passwd", "place": 0, "reason": "x"},
        {"type": "settings", "id": "../x", "record": {}},
    ]
    log = layout.records / "evil.jsonl"
    log.write_text("".join(json.dumps(each) + "\n" for each in evil))
    found = verify(layout.root)
    assert found.counts == {"line": len(evil)}
    export_atlas(layout.root, tmp_path / "before", form="html")
    done = repair(layout.root)
    assert done.after.clean
    assert (done.forgotten, done.lost, done.removed) == (0, (), ())
    assert export_atlas(layout.root, tmp_path / "after", form="html").images == 2
    assert (tmp_path / "secret.webp").read_bytes() == b"secret"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "after", "before", "secret.webp"}
