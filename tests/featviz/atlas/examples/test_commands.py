"""`featviz atlas examples` and `featviz atlas neighbours`, at usual and odd inputs."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import pytest
from commands import FACTORY, make_command
from photo_folders import write_photos
from PIL import Image

from atlases import new
from featviz.atlas import (
    Atlas,
    ExampleSettings,
    NeighbourSettings,
    Request,
    Store,
    read_examples,
)
from featviz.cli.atlas.build import build
from featviz.cli.atlas.examples import examples
from featviz.cli.atlas.neighbours import neighbours
from featviz.cli.atlas.pass_progress import told_progress

LOADING = [
    "--model",
    FACTORY,
    "--input-size",
    "32",
    "--mean",
    "0,0,0",
    "--std",
    "1,1,1",
    "--weights",
]
SMALL = ["--top", "3", "--bottom", "2", "--bins", "2", "--batch", "16", "--every", "16"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_photos(tmp_path_factory.mktemp("pictures") / "my photos", 50)
    (folder / "broken 'ü'.jpg").write_text("x")
    (folder / "notes.txt").write_text("x")
    return folder


@pytest.fixture
def command(capsys):
    return make_command(capsys)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from nets import small_net

    path = tmp_path_factory.mktemp("weights") / "small.pt"
    torch.save(small_net().state_dict(), path)
    return path


def names(atlas: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(atlas)): path.read_bytes()
        for folder in ("examples", "passes")
        for path in (atlas / folder).rglob("*")
        if path.is_file()
    }


def test_examples_and_neighbours_end_up_in_the_atlas(
    command, photos: Path, weights: Path, tmp_path: Path
) -> None:
    atlas = tmp_path / "an atlas"
    where = [*LOADING, weights, "--sites", "act,bran*", "--images", photos]
    code, out, err = command("atlas", "examples", atlas, *where, *SMALL)
    assert code == 0, err
    assert "units of" in out
    assert ", 50 images" in out
    assert """skipped 1: its format is not known ("broken 'ü'.jpg")""" in err
    assert "passed over 1: files that are no picture by their name ('notes.txt')" in err
    code, out, err = command("atlas", "neighbours", atlas, *where, "--count", "2", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["images"] == 50
    assert told["sites"]["act"] == {"units": 8, "activation": True, "weights": True}
    assert told["skipped_files"] == [["broken 'ü'.jpg", "its format is not known"]]
    with Atlas(atlas) as kept:
        found = kept.evidence(FACTORY, "act", 3)
    assert set(found) == {"examples", "histogram", "neighbours"}
    assert len(read_examples(found["examples"], found["histogram"]).maximum.top) == 3
    assert len(found["neighbours"]["activation"]["nearest"]) == 2
    assert not list((atlas / "passes").glob("*.npz"))
    assert not list((atlas / "passes").glob("*.lock"))
    code, out, err = command("atlas", "neighbours", atlas, *where[:-2], "--count", "2")
    assert code == 0, err
    assert "act: 8 units, by weights" in out
    assert "by weights alone; --images FOLDER compares activations too" in out


def test_the_same_command_goes_on(
    command, photos: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*LOADING, weights, "--sites", "act", "--images", photos, *SMALL, "--progress", "json"]
    code, out, _ = command("atlas", "examples", tmp_path / "whole", *words)
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["event"] for line in lines} == {"progress", "end"}
    assert lines[-1]["images"] == 50
    broken = tmp_path / "broken"

    def fall(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("featviz.atlas.examples.files.keep_examples", fall)
        code, _, _ = command("atlas", "examples", broken, *words)
    assert code == 130
    assert len(list((broken / "passes").glob("*.npz"))) == 1
    code, out, _ = command("atlas", "examples", broken, *words)
    assert code == 0
    assert not [line for line in map(json.loads, out.splitlines()) if line.get("what") == "images"]
    assert names(broken) == names(tmp_path / "whole")


@pytest.mark.parametrize("shown", ["json", "none"])
def test_what_a_network_prints_is_no_result(capsys: pytest.CaptureFixture[str], shown: str) -> None:
    with told_progress(shown, "images") as tell:
        sys.stdout.write("loaded!\n")
        tell(3, 3)
    out, err = capsys.readouterr()
    assert err == "loaded!\n"
    assert [json.loads(line)["done"] for line in out.splitlines()] == [3] * (shown == "json")


@pytest.mark.parametrize(
    ("command", "settings"),
    [(build, Request), (examples, ExampleSettings), (neighbours, NeighbourSettings)],
)
def test_defaults_of_commands_are_those_of_python(command, settings) -> None:
    names = {"thumb": "thumb_px"}
    known = {each.name: each.default for each in dataclasses.fields(settings)}
    compared = {
        names.get(option.name, option.name): option.default
        for option in command.params
        if names.get(option.name, option.name) in known
        and isinstance(option.default, int | str)
        and option.default != "all"
    }
    compared.pop("variants", None)  # text with commas, not a tuple
    assert compared
    assert compared == {name: known[name] for name in compared}


def test_bad_input_ends_with_a_clear_message(
    command, photos: Path, weights: Path, tmp_path: Path
) -> None:
    good = [*LOADING, weights, "--sites", "act"]
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "a.txt").write_text("x")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.jpg").write_text("x")
    cases = [
        (["a", *good, "--images", tmp_path / "gone"], "there is no folder"),
        (["a", *good, "--images", empty], "holds no picture"),
        (["a", *good, "--images", broken], "none of 1 images can be read: 'a.jpg': its format"),
        ([full, *good, "--images", photos], "is neither empty nor an atlas"),
        (["a", "--sites", "act", "--images", photos], "there is no atlas in 'a'; to begin one"),
        (["a", *good[:-2], "--images", photos], "has no sites of 'nets:SmallNet'; give --sites"),
        (["a", *good[:-1], "x*", "--images", photos], "no site of 'nets:SmallNet' fits 'x*'"),
        (["a", *good, "--images", photos, "--top", "0"], "top must be a whole number from 1"),
        (["a", *good, "--images", photos, "--side", "3"], "side must be 16 to 4096 px"),
        (["a", *good], "Missing option '--images'"),
    ]
    for words, message in cases:
        first, *rest = words
        folder = tmp_path / first if first == "a" else first
        told = message.replace("'a'", repr(str(folder)))
        code, out, err = command("atlas", "examples", folder, *rest)
        assert code == 2, err
        assert told in err
        assert out == ""
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
    code, _, err = command("atlas", "neighbours", tmp_path / "a", *good, "--count", "0")
    assert code == 2
    assert "count must be 1 to 1000" in err


def test_an_atlas_of_several_weights_takes_each_of_them(
    command, weights: Path, tmp_path: Path
) -> None:
    from featviz.models.weights import digest
    from nets import small_net

    root = tmp_path / "a"
    other, own = "0" * 64, digest(small_net())
    with Store(root) as store:
        store.add([new(model=FACTORY, site="act", weights=other)])
    words = ["neighbours", root, *LOADING, weights, "--count", "1"]
    code, _, err = command("atlas", *words)
    assert code == 2
    assert "with other weights (sha256 000000000000...); give" in err
    with Store(root) as store:
        store.add([new(model=FACTORY, site="act", weights=own, key="1" * 64)])
    code, _, err = command("atlas", *words)
    assert code == 0, err
    with Atlas(root) as atlas:
        assert list(atlas.evidence(FACTORY, "act", 0, weights=own)) == ["neighbours"]
        assert atlas.evidence(FACTORY, "act", 0, weights=other) == {}


@pytest.mark.parametrize("more", [(), ("--model", "nets:small_net", "--sites", "stem")])
@pytest.mark.parametrize("name", ["examples", "neighbours"])
def test_a_file_is_no_atlas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, more: tuple[str, ...]
) -> None:
    file, photographs = tmp_path / "file", tmp_path / "photographs"
    file.write_text("x")
    photographs.mkdir()
    Image.new("RGB", (8, 8)).save(photographs / "a.png")
    code, _, err = make_command(capsys)("atlas", name, file, "--images", photographs, *more)
    assert code == 2
    assert "is it an atlas?" in err
