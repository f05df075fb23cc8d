import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import make_command
from PIL import Image

from atlases import everything, new, noise, picture_atlas
from featviz.atlas import Atlas, Store
from featviz.atlas.checking.repair import repair
from featviz.atlas.checking.verify import HOPELESS, verify
from featviz.atlas.entries import Settings
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import locked
from featviz.atlas.log import SEAL
from featviz.atlas.pictures import webp_bytes
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
        found = [json.loads(line) for line in log.read_text().splitlines()]
        lines = [change({k: v for k, v in line.items() if k != SEAL}) for line in found]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines if line))


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
    assert done.removed == ()
    # Its small picture is kept as well, and so is what is left of the picture.
    assert len(done.lost) == (1 if kind == "missing" else 2)
    assert all((layout.root / "lost" / path).exists() for path in done.lost)
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
    assert (done.thumbs, done.forgotten, done.lost, done.removed) == (1, 0, (), ())
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
    assert set(done.removed) == set(temporary)
    assert set(done.lost) == set(orphans)
    assert all((layout.root / "lost" / name).read_bytes() == b"x" for name in orphans)
    assert not any((layout.root / name).exists() for name in [*orphans, *temporary])
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
    assert found.clean  # as after a repair, which leaves them alone
    done = repair(layout.root)
    assert done.forgotten == 0
    assert (done.lost, done.removed) == ((), ())
    after = everything(tmp_path)
    after.pop(str(layout.build_lock), None)
    before.pop(str(layout.build_lock), None)
    assert after == before


def test_a_missing_disk_is_not_taken_for_damage(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    layout.images.rename(tmp_path / "unmounted")
    for check in (verify, repair):
        with pytest.raises(RecordError, match=r"no folder '.*images'; is a disk missing"):
            check(layout.root)
    layout.images.symlink_to(tmp_path / "unmounted")
    assert verify(layout.root).counts == {"link": 1}
    layout.thumbs.rename(tmp_path / "small")
    with pytest.raises(RecordError, match=r"no folder '.*thumbs'; is a disk missing"):
        verify(layout.root)
    layout.records.rename(tmp_path / "logs")
    with pytest.raises(RecordError, match=r"no folder '.*records'; is a disk missing"):
        repair(layout.root)


def test_pictures_whose_log_went_astray_come_back_with_it(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    whole = everything(layout.root)
    (log,) = layout.logs()
    log.rename(tmp_path / "astray")
    done = repair(layout.root)
    assert len(done.lost) == 8
    assert verify(layout.root).images == 0
    assert repair(layout.root).lost == ()
    (tmp_path / "astray").rename(log)
    for path in done.lost:
        (layout.root / "lost" / path).rename(layout.root / path)
    assert verify(layout.root).clean
    assert whole.items() <= everything(layout.root).items()


def test_lost_pictures_are_not_moved_through_a_link(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    layout.logs()[0].unlink()
    (tmp_path / "elsewhere").mkdir()
    (layout.root / "lost").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="lost' is a link; remove it, then repair again"):
        repair(layout.root)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_one_file_may_be_both_the_picture_and_its_small_picture(tmp_path: Path) -> None:
    data = webp_bytes(noise(1), quality=60)
    image = replace(new(1, height=32, width=32), picture=data, thumb=data)
    with Store(tmp_path / "a") as store:
        (entry,) = store.add([image])
    layout = Layout(tmp_path / "a")
    assert list(layout.thumbs.iterdir()) == []
    layout.thumbs.rmdir()  # as in a checkout: git keeps no empty folders
    with Atlas(layout.root) as atlas:
        assert atlas.thumb_path(entry) == atlas.image_path(entry)
    found = verify(layout.root)
    assert (found.problems, found.bytes) == ((), len(data))
    cut(layout.image(entry.key, "webp"))
    assert verify(layout.root).counts == {"truncated": 1}
    assert repair(layout.root).forgotten == 1
    with Store(layout.root) as store:
        store.add(
            [replace(new(2), picture=b"p", thumb=b"p", parts={**new(2).parts, "kind": "png"})]
        )
    assert len(list(layout.thumbs.glob("*/*.webp"))) == 1  # small pictures are always WebP


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
    assert repair(layout.root).after.counts == {}
    assert verify(layout.root).counts == {}


def test_what_was_cut_off_a_log_is_rendered_again_or_comes_back_with_it(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    (log,) = layout.logs()
    whole = log.read_bytes()
    for size in (len(whole) - 40, whole.index(b"\n") + 1):
        log.write_bytes(whole[:size])
        assert verify(layout.root).counts["torn"] == 1
        done = repair(layout.root)
        assert verify(layout.root).counts == {}
        for path in done.lost:
            (layout.root / "lost" / path).rename(layout.root / path)
        log.write_bytes(whole)
        assert verify(layout.root).counts == {}
        assert verify(layout.root).images == 4
    log.write_bytes(whole[:-40])
    repair(layout.root)
    picture_atlas(layout.root)
    assert verify(layout.root).counts == {}
    assert verify(layout.root).images == 4


def test_an_edited_record_is_found_and_rendered_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = picture_atlas(tmp_path / "a")
    (log,) = layout.logs()
    log.write_text(log.read_text().replace('"channel":0', '"channel":1', 1))
    found = verify(layout.root)
    assert found.counts == {"line": 1, "orphan": 2}
    assert found.problems[0].said == "other bytes than were written"
    with Atlas(layout.root) as atlas:
        assert [e.channel for e in atlas.images("net")] == [1, 2, 3]
    code, out, _ = make_command(capsys)("atlas", "verify", layout.root, "--repair")
    assert code == 0
    assert f"next: featviz atlas resume {layout.root}" in out
    assert verify(layout.root).counts == {}
    picture_atlas(layout.root)
    with Atlas(layout.root) as atlas:
        assert [e.channel for e in atlas.images("net")] == [0, 1, 2, 3]


@pytest.mark.parametrize("torn", [None, b"", b'{"form'])
def test_an_atlas_without_its_name_is_named_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], torn: bytes | None
) -> None:
    command = make_command(capsys)
    layout = picture_atlas(tmp_path / "a")
    name = layout.root / "atlas.json"
    whole = name.read_bytes()
    name.unlink()
    if torn is not None:
        name.write_bytes(torn)
    for of in ("status", "verify"):
        code, _, err = command("atlas", of, layout.root)
        assert code == 2
        assert f"'featviz atlas verify {layout.root} --repair' writes it again" in err
    with pytest.raises(RecordError, match="--repair' writes it again"):
        Store(layout.root)
    code, out, _ = command("atlas", "verify", layout.root, "--repair")
    assert code == 0
    assert "atlas.json was gone or torn, and is written again" in out
    assert name.read_bytes() == whole
    assert verify(layout.root).clean
    name.write_text('{"format": 7}')  # somebody else's is not touched
    with pytest.raises(RecordError, match="has format 7"):
        repair(layout.root)
    name.unlink()
    layout.logs()[0].unlink()
    with pytest.raises(RecordError, match="holds no atlas"):
        repair(layout.root)


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


def test_a_request_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    for name, text in (("a", '{"plan": {'), ("b", "{}")):
        (layout.requests / f"{name}.json").write_text(text)
    (tmp_path / "outside").write_text("{")
    (layout.requests / "c.json").symlink_to(tmp_path / "outside")
    found = verify(layout.root)
    assert [(p.kind, p.path) for p in found.problems if not p.harmless] == [
        ("request", "requests/a.json"),
        ("request", "requests/b.json"),
    ]
    assert [(p.kind, p.path) for p in found.problems if p.harmless] == [("link", "requests/c.json")]
    assert "is no request of an atlas" in found.problems[0].said


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
    (layout.images / "notes.txt").touch()
    assert command("atlas", "verify", layout.root)[:2] == (
        0,
        f"3 images, {verify(layout.root).bytes / 1e6:.1f} MB read\n"
        "foreign: 1 (a file that is not the atlas's own; it is left alone)\n"
        "  images/notes.txt\nall is well\n",
    )
    (layout.images / "my.png").symlink_to(tmp_path)
    code, out, _ = command("atlas", "verify", layout.root)
    assert code == 0
    assert out.endswith("  images/my.png\nall is well, but for the links: look at those yourself\n")
    code, _, err = command("atlas", "verify", tmp_path)
    assert code == 2
    assert "holds no atlas" in err
    code, _, err = command("atlas", "verify", layout.root, "--repair", "--quick")
    assert code == 2
    assert "cannot be --quick" in err
