import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import make_command
from PIL import Image

from atlases import new, picture_atlas
from featviz.atlas import Atlas, Store
from featviz.atlas.entries import Settings
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import locked
from featviz.atlas.repair import repair
from featviz.atlas.verify import HOPELESS, verify
from featviz.errors import OutputError, RecordError


def image(layout: Layout, channel: int) -> Path:
    with Atlas(layout.root) as atlas:
        (entry,) = atlas.images("net", channel=channel)
        return atlas.image_path(entry)


def thumb(layout: Layout, channel: int) -> Path:
    with Atlas(layout.root) as atlas:
        (entry,) = atlas.images("net", channel=channel)
        return atlas.thumb_path(entry)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def rewrite(layout: Layout, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Edit the logs, as nobody should."""
    for log in layout.logs():
        lines = [change(json.loads(line)) for line in log.read_text().splitlines()]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines if line))


def everything(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path)] = path.read_bytes()
    return found


def test_a_whole_atlas_is_clean_and_left_as_it_is(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    with Atlas(layout.root):
        pass
    verify(layout.root)
    before = everything(layout.root)
    found = verify(layout.root)
    assert found.clean
    assert found.problems == ()
    assert found.images == 4
    files = [p for p in before if "/images/" in p or "/thumbs/" in p]
    assert found.bytes == sum(len(before[path]) for path in files)
    assert repair(layout.root).after.clean
    assert everything(layout.root) == before


@pytest.mark.parametrize(
    ("damage", "kind"), [(Path.unlink, "missing"), (cut, "truncated"), (flip, "changed")]
)
def test_a_picture_that_is_not_what_its_record_says(tmp_path: Path, damage: Any, kind: str) -> None:
    layout = picture_atlas(tmp_path / "a")
    whole = everything(layout.images)
    damage(image(layout, 2))
    found = verify(layout.root)
    assert found.counts == {kind: 1}
    assert found.problems[0].said.startswith("fire4:2")
    assert verify(layout.root, quick=True).clean == (kind == "changed")
    assert not found.clean

    done = repair(layout.root)
    assert done.before == found
    assert done.forgotten == 1
    assert done.after.clean
    assert all("thumbs" in path or kind != "missing" for path in done.removed)
    with Atlas(layout.root) as atlas:
        assert [e.channel for e in atlas.images("net")] == [0, 1, 3]
        assert len(atlas.jobs()) == 3
    # Rendered again, all is as before.
    picture_atlas(layout.root)
    assert verify(layout.root).clean
    assert everything(layout.images) == whole
    with Atlas(layout.root) as atlas:
        assert len(atlas.jobs()) == 4


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip])
def test_small_pictures_are_made_anew(tmp_path: Path, damage: Any) -> None:
    layout = picture_atlas(tmp_path / "a")
    damage(thumb(layout, 1))
    (kind,) = verify(layout.root).counts
    assert kind == ("thumb missing" if damage is Path.unlink else "thumb changed")
    done = repair(layout.root)
    assert (done.thumbs, done.forgotten, done.removed) == (1, 0, ())
    assert done.after.clean
    assert verify(layout.root).clean
    with Image.open(thumb(layout, 1)) as small:
        assert small.size == (16, 16)
    with Atlas(layout.root) as atlas:
        assert len(atlas.images("net")) == 4


def test_a_picture_that_is_no_picture_gives_no_small_one(tmp_path: Path) -> None:
    with Store(tmp_path / "a") as store:
        store.add([new(1)])
    layout = Layout(tmp_path / "a")
    thumb(layout, 1).unlink()
    assert repair(layout.root).forgotten == 1
    assert verify(layout.root).clean


def test_orphans_and_leftovers_are_removed_and_what_is_foreign_stays(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    key = "ab" * 32
    (layout.images / "ab").mkdir(exist_ok=True)
    (layout.thumbs / "ab").mkdir(exist_ok=True)
    orphans = [f"images/ab/{key}.png", f"images/ab/{key}.webp", f"thumbs/ab/{key}.webp"]
    kept = image(layout, 1).relative_to(layout.root)
    orphans.append(str(kept.with_suffix(".png")))  # the record says webp
    temporary = [f"images/ab/.{key}.webp.123.tmp", ".atlas.json.9.tmp", "records/.x.json.1.tmp"]
    foreign = [f"images/ab/{key}.jpg", "images/notes.txt", "thumbs/.DS_Store", f"images/{key}.webp"]
    for name in [*orphans, *temporary, *foreign]:
        (layout.root / name).write_bytes(b"x")
    (layout.root / "mine").mkdir()
    (layout.images / "more").mkdir()
    (layout.images / "more" / "x.tmp").touch()
    found = verify(layout.root)
    by_kind = {
        kind: {p.path for p in found.problems if p.kind == kind}
        for kind in ("orphan", "temporary", "foreign")
    }
    assert by_kind["orphan"] == set(orphans)
    assert by_kind["temporary"] == set(temporary)
    assert by_kind["foreign"] == {*foreign, "images/more"}
    assert not found.clean
    done = repair(layout.root)
    assert set(done.removed) == {*orphans, *temporary}
    assert done.after.clean
    assert all((layout.root / name).exists() for name in foreign)
    assert (layout.images / "more" / "x.tmp").exists()


def test_links_are_not_followed_and_what_lies_behind_them_is_not_given_up(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    elsewhere = tmp_path / "elsewhere"
    whole = image(layout, 0).parent
    whole.rename(elsewhere)
    whole.symlink_to(elsewhere)
    key = whole.name + "ab" * 31
    (elsewhere / f"{key}.webp").write_bytes(b"orphan outside")
    linked = image(layout, 1)
    linked.rename(tmp_path / "one.webp")
    linked.symlink_to(tmp_path / "one.webp")
    (layout.root / "thumbs" / "zz").symlink_to(tmp_path)
    before = everything(tmp_path)
    found = verify(layout.root)
    assert found.counts == {"link": 3}
    done = repair(layout.root)
    assert done.forgotten == 0
    assert done.removed == ()
    after = everything(tmp_path)
    after.pop(str(layout.build_lock), None)
    before.pop(str(layout.build_lock), None)
    assert after == before


def test_a_missing_disk_is_not_taken_for_damage(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    layout.images.rename(tmp_path / "unmounted")
    for check in (verify, repair):
        with pytest.raises(RecordError, match="no folder of pictures; is a disk missing"):
            check(layout.root)
    layout.images.symlink_to(tmp_path / "unmounted")
    assert verify(layout.root).counts == {"link": 1}


def test_records_whose_settings_are_missing(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    rewrite(layout, lambda line: None if line["type"] == "settings" else line)
    assert verify(layout.root).counts == {"settings": 4}
    assert repair(layout.root).forgotten == 4
    picture_atlas(layout.root)
    assert verify(layout.root).clean


def test_lines_that_are_not_believed_are_taken_back_and_torn_ones_told(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    with layout.logs()[0].open("a") as log:
        log.write('no json\n{"type": "image", "key": "../../x"}\n{"torn')
    found = verify(layout.root)
    assert found.counts == {"line": 2, "torn": 1}
    assert not found.clean
    done = repair(layout.root)
    assert done.after.counts == {"torn": 1}
    assert verify(layout.root).clean


def test_of_two_records_of_an_image_one_must_be_right(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", 2)
    with Store(layout.root) as store:
        store.add([new(1)])  # other bytes under the same key
    assert verify(layout.root).counts == {"outdated": 2}
    assert verify(layout.root).clean
    done = repair(layout.root)
    assert done.after.counts == {}
    with Atlas(layout.root) as atlas:
        assert [e.channel for e in atlas.images("net")] == [0, 1]
        assert atlas.images("net")[1].bytes == len(b"picture fire4 1")


def test_a_damaged_index_is_told_and_removed(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    layout.index.write_bytes(b"no database" * 500)
    assert verify(layout.root).counts == {"index": 1}
    assert repair(layout.root).after.clean
    assert not layout.index.exists()


def test_while_somebody_builds_what_has_no_record_yet_is_no_orphan(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    (layout.images / "ab").mkdir(exist_ok=True)
    (layout.images / "ab" / f"{'ab' * 32}.webp").touch()
    assert verify(layout.root).counts == {"orphan": 1}
    with locked(layout.build_lock):
        assert verify(layout.root).counts == {}
        with pytest.raises(OutputError, match=r"somebody is building .*, so nothing was changed"):
            repair(layout.root)
    assert verify(layout.root).counts == {"orphan": 1}


def test_what_was_taken_back_comes_back_with_its_log(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    path = image(layout, 1)
    data = path.read_bytes()
    path.unlink()
    logs = set(layout.logs())
    repair(layout.root)
    (new_log,) = set(layout.logs()) - logs
    new_log.unlink()
    path.write_bytes(data)
    with Atlas(layout.root) as atlas:
        assert len(atlas.images("net")) == 4


def test_settings_are_believed_wherever_they_stand(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    with Atlas(layout.root) as atlas:
        shared = atlas.images("net")[0].settings
    rewrite(layout, lambda line: None if line["type"] == "settings" else line)
    with Store(layout.root) as store:
        store.note([Settings(shared, {"schema": 1})])
    assert verify(layout.root).clean


# ---- disks that are full or cannot be written --------------------------------------------------


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "featviz-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


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
    from dataclasses import replace

    return replace(image, picture=picture)


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_when_the_disk_is_full_at_any_moment_nothing_is_half_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    root = tmp_path / "a"
    for moment in range(12):
        real, calls = getattr(os, call), []

        def full(*arguments: Any, **options: Any) -> Any:
            calls.append(1)  # noqa: B023 - used within the loop
            if len(calls) == moment + 1:  # noqa: B023 - the same
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)  # noqa: B023 - the same

        with Store(root) as store:
            monkeypatch.setattr(os, call, full)
            try:
                store.add([new(2 * moment), new(2 * moment + 1)])
                failed = False
            except OutputError as error:
                assert "No space left" in str(error)  # noqa: PT017 - some moments pass
                failed = True
            finally:
                monkeypatch.undo()
        with Atlas(root) as atlas:
            there = {e.channel for e in atlas.images("net")}
        assert ({2 * moment, 2 * moment + 1} <= there) != failed
        assert not failed or there.isdisjoint({2 * moment, 2 * moment + 1})
        assert set(verify(root).counts) <= {"orphan", "temporary"}


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


AS_NOBODY = """
import os, sys
from featviz.atlas import Atlas
from featviz.atlas.repair import repair
from featviz.atlas.verify import verify
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


def test_a_folder_of_somebody_else_is_read_all_the_same(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    layout = picture_atlas(tmp_path / "a")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    before = everything(layout.root)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(layout.root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot repair" in done.stdout
    assert "Permission denied; give access" in done.stdout
    assert everything(layout.root) == before


# ---- the command ------------------------------------------------------------------------------


def test_the_command_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = make_command(capsys)
    layout = picture_atlas(tmp_path / "a")
    code, out, _ = command("atlas", "verify", layout.root)
    assert code == 0
    assert out.endswith("all is well\n")
    image(layout, 1).unlink()
    code, out, _ = command("atlas", "verify", layout.root)
    assert code == 1
    assert "missing: 1 (a record has no picture)" in out
    assert "fire4:1" in out
    assert f"next: featviz atlas verify {layout.root} --repair" in out
    code, out, _ = command("atlas", "verify", layout.root, "--json")
    assert code == 1
    found = json.loads(out)
    assert found["counts"] == {"missing": 1}
    assert found["problems"][0]["kind"] in HOPELESS
    code, out, _ = command("atlas", "verify", layout.root, "--repair")
    assert code == 0
    assert "1 images taken back" in out
    assert f"next: featviz atlas resume {layout.root}" in out
    code, out, _ = command("atlas", "verify", layout.root, "--repair", "--json")
    assert json.loads(out)["repaired"]["clean"]
    code, _, err = command("atlas", "verify", tmp_path)
    assert code == 2
    assert "holds no atlas" in err
    code, _, err = command("atlas", "verify", layout.root, "--repair", "--quick")
    assert code == 2
    assert "cannot be --quick" in err
