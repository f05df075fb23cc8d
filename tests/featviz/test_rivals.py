"""What channels do on photographs, as a file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from featviz.cli import run
from featviz.config import RenderConfig
from featviz.errors import ConfigError, OutputError, PictureError, SiteError
from featviz.metrics import Reference
from featviz.models import load
from featviz.plan import make_plan
from featviz.rendering import list_labels, render
from featviz.rivals import measure_rivals, read_rivals, save_rivals
from nets import SmallNet, seeded, small_model

QUICK = {"steps": 4, "size": 32, "progress": False}


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for k in range(4):
        pixels = drawn.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return str(folder)


@pytest.fixture
def file(photographs, tmp_path):
    save_rivals(measure_rivals(small_model(), ["block", "stem"], photographs), tmp_path / "r.npz")
    return tmp_path / "r.npz"


def rewritten(file, **changes):
    with np.load(file) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    about = json.loads(str(found["about"]))
    for key, value in changes.items():
        (about if key in about else found)[key] = value
    found["about"] = np.array(json.dumps(about))
    np.savez(file, **found)
    return file


def test_a_file_gives_back_what_was_measured(file, photographs):
    found, reference = read_rivals(file), Reference(small_model(), photographs)
    assert (found.pictures, found.size, list(found.moments)) == (4, (32, 32), ["block", "stem"])
    for name, moments in found.moments.items():
        expected = reference.moments(name)
        assert moments.count == expected.count
        for part in ("mean", "squares", "largest", "sd"):
            assert torch.equal(getattr(moments, part), getattr(expected, part).double())


def test_a_render_is_the_same_with_the_file_as_with_the_photographs(file, photographs):
    model = small_model()
    read, measured = (
        render(model, "block:1,2", contrast=where, **QUICK) for where in (str(file), photographs)
    )
    assert torch.equal(read.images, measured.images)
    assert read.record["ran"]["contrast"] == measured.record["ran"]["contrast"]


def test_the_same_rivals_are_the_same_bytes(file, photographs, tmp_path):
    again = tmp_path / "again.npz"
    save_rivals(measure_rivals(small_model(), ["block", "stem"], photographs), again)
    assert again.read_bytes() == file.read_bytes()


def test_a_site_is_found_by_any_of_its_names(file):
    model, rivals = small_model(), read_rivals(file)
    table = model.site_table(rivals.size)
    assert rivals.at(model, table.resolve("block#0")) is rivals.moments["block"]
    with pytest.raises(ConfigError, match="are of block, stem, not of 'block/0:3'; measure them"):
        rivals.at(model, table.resolve("block/0:3"))


@pytest.mark.parametrize("call", [render, list_labels])
def test_statistics_of_another_network_are_refused(file, call):
    other = load(seeded(SmallNet(), seed=1), size=32, mean=[0.0] * 3, std=[1.0] * 3)
    config = RenderConfig(contrast=str(file), size=32, steps=1)
    with pytest.raises(ConfigError, match="statistics for contrast were measured in"):
        call(other, "block:1", config=config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", "a_long_name_of_a_network", "measured in 'a_long_name_of_a_network', but '"),
        ("weights_sha256", "0" * 64, "with weights 000000000000, but"),
        ("preprocess", {"mean": [9]}, r'with \{"mean": \[9\]\}, but'),
    ],
)
def test_weights_and_preprocessing_count(file, key, value, message):
    network = read_rivals(file).network | {key: value}
    rewritten(file, network=network)
    with pytest.raises(ConfigError, match=message):
        list_labels(small_model(), "block:1", config=RenderConfig(contrast=str(file), size=32))


def test_a_site_that_was_not_measured_is_refused(file):
    config = RenderConfig(contrast=str(file), size=32, steps=1)
    with pytest.raises(ConfigError, match="are of block, stem, not of 'logits'"):
        list_labels(small_model(), "logits:1", config=config)


def test_no_file():
    with pytest.raises(ConfigError, match=r"there is no file 'no\.npz'; featviz contrast MODEL"):
        read_rivals("no.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04N.", b"text"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.npz' is no file of featviz contrast"):
        read_rivals(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"mean.0": np.zeros(2)},
        {"mean.0": np.full(8, np.nan)},
        {"squares.1": np.full(8, -1.0)},
        {"mean.0": np.array([None] * 8, dtype=object)},
        {"sites": ["block", "stem", "more"]},
        {"pictures": 1},
        {"size": 32},
        {"network": {}},
        {"network": None},
    ],
)
def test_broken_numbers_are_refused(file, changes):
    with pytest.raises(ConfigError, match="is no file of featviz contrast"):
        read_rivals(rewritten(file, **changes))


def test_what_cannot_be_measured(photographs, tmp_path):
    with pytest.raises(ConfigError, match="there is no site to measure"):
        measure_rivals(small_model(), [], photographs)
    with pytest.raises(SiteError, match="unknown site 'blok'"):
        measure_rivals(small_model(), ["blok"], photographs)
    with pytest.raises(PictureError, match="there is no folder"):
        measure_rivals(small_model(), ["block"], tmp_path / "nowhere")


def test_where_a_file_cannot_be_written(file, tmp_path):
    rivals = read_rivals(file)
    with pytest.raises(OutputError, match="exists; choose another file"):
        save_rivals(rivals, file)
    save_rivals(rivals, file, overwrite=True)
    with pytest.raises(ConfigError, match=r"the file must end in \.npz, got"):
        save_rivals(rivals, tmp_path / "r.txt")
    with pytest.raises(OutputError, match="there is no folder"):
        save_rivals(rivals, tmp_path / "nowhere" / "r.npz")


def test_contrast_of_a_file_is_planned_without_photographs(file, photographs):
    for picture in sorted(Path(photographs).iterdir()):
        picture.unlink()
    plan = make_plan(small_model(), "block:1", RenderConfig(contrast=str(file), size=32))
    assert list_labels(small_model(), "block:1", config=plan.config) == ["block:1"]


def test_command(photographs, tmp_path, capsys):
    out = tmp_path / "out.npz"
    words = ["contrast", "squeezenet1_1", "--weights", "random", "conv1", "fire2"]
    words += ["--images", photographs, "-o", str(out)]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["channels"] == {"conv1": 64, "fire2": 128}
    assert document["images"] == 4
    assert list(read_rivals(out).moments) == ["conv1", "fire2"]
    assert run(words) == 2
    assert "exists; choose another file" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0
    assert "conv1, 4 images; 64 channels" in capsys.readouterr().out
