"""Where renders of the app stay."""

from pathlib import Path

import pytest

from app import keeping
from app.job import Job
from app.keeping import VARIANT, choose_atlas, data_folder, keep
from app.library import LIBRARY, open_library
from app.render_process import render_task
from app.render_task import Task
from app.serving import picture_routes
from featviz.atlas.layout import create_layout
from featviz.atlas.reading import Atlas
from featviz.config import RenderConfig
from featviz.errors import OutputError
from featviz.record import read_record
from nets import small_model


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    atlas = create_layout(tmp_path / "mine").root
    found = open_library([atlas], renders=tmp_path / "new" / "renders")
    for name in ("roots", "models", "renders"):
        monkeypatch.setattr(LIBRARY, name, getattr(found, name))


def rendered(text: str, keep_in: str) -> Job:
    model = small_model()
    config = RenderConfig(steps=2, size=32, images=2)
    task = Task(model.name, text, config.to_json(), "block")
    job = Job("id", "me", text, task, keep_in)
    job.kept = keep(job, render_task(task, model, lambda _: None))
    return job


def test_it_goes_to_the_atlas_that_one_looks_at_if_that_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert choose_atlas("mine") == "mine"
    assert choose_atlas("other") == "renders"
    monkeypatch.setattr(keeping.os, "access", lambda *_: False)
    assert choose_atlas("mine") == "renders"
    monkeypatch.undo()
    monkeypatch.setattr(LIBRARY, "roots", {"own": tmp_path / "mine"})
    monkeypatch.setattr(keeping, "own_atlas", lambda: tmp_path / "mine")
    monkeypatch.setattr(LIBRARY, "renders", None)
    assert choose_atlas("own") == "", "the atlas that came with featviz stays as it is"


@pytest.mark.parametrize(
    ("text", "channel"),
    [("block:3", 3), ("-block:3", 3), ("block:3@1,1", 3), ("block:1 + block:2", None)],
)
def test_kept_images_are_read_back_with_their_record(text: str, channel: int | None) -> None:
    job = rendered(text, "mine")
    with Atlas(LIBRARY.root("mine")) as atlas:
        atlas.refresh()
        entries = atlas.images(job.task.model, "block", variant=VARIANT)
        assert {entry.key for entry in entries} == set(job.kept)
        assert [(entry.channel, entry.image) for entry in entries] == [(channel, 0), (channel, 1)]
        path = atlas.image_path(entries[0])
        record = read_record(path)
        assert record["config"]["steps"] == 2
        assert atlas.record(entries[0])["image"] == record["image"]
        assert atlas.thumb_path(entries[0]).is_file()


def test_the_same_render_is_kept_once_and_another_beside_it() -> None:
    first, again = rendered("block:3", "mine"), rendered("block:3", "mine")
    other = rendered("block:4", "mine")
    assert first.kept == again.kept
    assert not set(first.kept) & set(other.kept)


def test_the_atlas_of_renders_is_made_with_the_first_and_then_open(tmp_path: Path) -> None:
    assert "renders" not in LIBRARY.roots
    assert not (tmp_path / "new").exists()
    rendered("block:3", "renders")
    assert LIBRARY.root("renders") == tmp_path / "new" / "renders"
    found = open_library([], renders=tmp_path / "new" / "renders")
    assert list(found.roots) == ["renders"]


def test_its_pictures_are_served_from_the_start() -> None:
    paths = {route.path for route in picture_routes(LIBRARY)}
    assert {"/atlasfiles/mine/images", "/atlasfiles/renders/thumbs"} <= paths


def test_a_folder_that_is_no_atlas_is_not_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "renders"
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="neither empty nor an atlas"):
        rendered("block:3", "renders")


def test_the_folder_for_renders_may_be_one_of_the_atlases(tmp_path: Path) -> None:
    found = open_library([tmp_path / "mine"], renders=tmp_path / "mine")
    assert found.renders == ("mine", tmp_path / "mine")


def test_the_data_folder_follows_the_custom_of_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeping.sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "featviz"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder().parts[-3:] == (".local", "share", "featviz")
    monkeypatch.setattr(keeping.sys, "platform", "darwin")
    assert data_folder().parts[-2:] == ("Application Support", "featviz")
    monkeypatch.setattr(keeping.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert data_folder() == tmp_path / "featviz"
