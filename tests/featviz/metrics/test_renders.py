import json
import sys

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from featviz.cli import run
from featviz.errors import PictureError, RecordError, WeightsError
from featviz.images import png_bytes, read_text, to_image, to_picture
from featviz.metrics import (
    PictureFolder,
    Reference,
    measure_renders,
    percentile,
    pixel_metrics,
    read_renders,
    robustness,
    self_identification,
)
from featviz.objectives import channel
from featviz.rendering import render
from nets import small_model, small_net

QUICK = {"steps": 2, "size": 36, "precision": "float32", "progress": False}
FACTORY = "nets:SmallNet"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model():
    model = small_model()
    model.arguments = ("small",)
    return model


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = torch.Generator().manual_seed(5)
    for k in range(5):
        to_picture(torch.rand(3, 40, 48, generator=generator)).save(folder / f"{k}.png")
    return folder


class _Main:
    name = "featviz"

    def main(self, args, **_):
        sys.exit(run(args))


def command(*words):
    result = CliRunner().invoke(_Main(), [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_become_images_again(channels):
    image = torch.rand(channels, 6, 7, generator=torch.Generator().manual_seed(0))
    again = to_image(to_picture(image), (6, 7))
    assert again.shape == image.shape
    assert (again - image).abs().max() <= 0.5 / 255 + 1e-6


def test_edited_pictures_are_refused():
    with pytest.raises(PictureError, match="has 8x6 px in mode RGB, its record says 7x6; was it"):
        to_image(Image.new("RGB", (8, 6)), (6, 7))


def test_records_hold_what_the_pixels_tell(model):
    result = render(model, "late:0-1", **QUICK)
    entries = [entry["metrics"] for entry in result.record["images"]]
    assert entries == pixel_metrics(result.images)
    assert all(isinstance(value, float) for entry in entries for value in entry.values())


def test_only_images_are_read(model, tmp_path):
    render(model, "late:0-1", thresholds=[1], **QUICK).save(tmp_path / "out")
    Image.new("RGB", (4, 4)).save(tmp_path / "out" / "holiday.png")
    renders = read_renders(tmp_path / "out")
    assert [r.label for r in renders] == ["late:0", "late:1"]
    assert renders[0].image.shape == (3, 36, 36)


def test_rows_are_those_of_the_single_measures(model, tmp_path, photographs):
    render(model, ["block:2", "late:1", "-block:3"], **QUICK).save(tmp_path / "out")
    renders = read_renders(tmp_path / "out")
    report = measure_renders(
        renders,
        images=PictureFolder.open(photographs),
        load_recorded=lambda _: model,
        independent="squeezenet1_1",
    )
    assert report.missing == {}
    by_unit = {row["unit"]: row for row in report.rows}
    row, image = by_unit["block:2"], next(r.image for r in renders if r.label == "block:2")[None]
    reference = Reference(model, photographs)
    natural = reference.scores([channel("block", 2)])
    score = torch.tensor([row["score"]])
    assert row["percentile"] == percentile(score, natural).item()
    assert row["gain"] == pytest.approx(row["score"] / natural.max().item(), rel=1e-5)
    sturdy = robustness(model, [channel("block", 2)], image)
    assert row["robust_ratio"] == pytest.approx(sturdy.ratio.item(), rel=1e-4)
    found = self_identification(model, "block", [2], image, reference.moments("block"))
    assert (row["self_rank"], row["self_first"]) == (int(found.rank), int(found.first))
    assert row["self_z"] == pytest.approx(found.z.item(), rel=1e-4)
    assert 0 <= row["nearest"] <= 2
    assert (photographs / row["nearest_file"]).is_file()
    assert row["nearest_by"] == "squeezenet1_1"
    # minimised: no unit of its site, but a score all the same
    assert by_unit["-block.pre:3"]["self_rank"] is None
    assert by_unit["-block.pre:3"]["percentile"] is not None


def test_a_fixed_place_has_no_percentile_at_another_size(model, tmp_path, photographs):
    render(model, ["block:2@8,8", "block:2@center"], **QUICK).save(tmp_path / "out")
    folder = PictureFolder.open(photographs)
    report = measure_renders(
        read_renders(tmp_path / "out"),
        images=folder,
        load_recorded=lambda _: model,
        independent="squeezenet1_1",
    )
    by_unit = {row["unit"]: row for row in report.rows}
    assert by_unit["block:2@8,8"]["percentile"] is None
    assert by_unit["block:2@8,8"]["self_rank"] >= 1
    assert by_unit["block:2@center"]["percentile"] is not None


def test_several_images_of_a_unit_have_a_diversity(model, tmp_path):
    for seed in (0, 1):
        for path in render(model, "block:2", seed=seed, **QUICK).save(tmp_path / str(seed)):
            path.rename(tmp_path / f"{seed}.png")
    report = measure_renders(read_renders(tmp_path), load_recorded=lambda _: model)
    (row,) = report.diversity
    assert (row["unit"], row["images"]) == ("block:2", 2)
    assert 0 < row["diversity"] < 1
    assert "add --images FOLDER" in report.missing["percentile"]


def test_images_of_python_objects_have_what_pixels_tell(model, tmp_path):
    render(model, channel("block", 2), **QUICK).save(tmp_path)
    report = measure_renders(read_renders(tmp_path), load_recorded=lambda _: model)
    why = "all images were made by featviz photo, or from Python objects"
    assert report.missing["robustness"].startswith(why)
    assert report.rows[0]["slope"] is not None
    assert "robust_ratio" not in report.rows[0]


def test_other_weights_are_refused(model, tmp_path):
    render(model, "block:2", **QUICK).save(tmp_path)
    with pytest.raises(WeightsError, match=r"'small' has other weights .* than those that made"):
        measure_renders(read_renders(tmp_path), load_recorded=lambda _: small_model(seed=1))


def test_an_edited_picture_is_named(model, tmp_path):
    render(model, "block:2", **QUICK).save(tmp_path)
    file = tmp_path / "small_block_2.png"
    file.write_bytes(png_bytes(Image.new("RGB", (9, 9)), text=read_text(file)))
    with pytest.raises(
        PictureError, match=r"cannot measure '.*small_block_2.png': the picture has"
    ):
        read_renders(tmp_path)


def test_records_without_their_parts_are_refused(model, tmp_path):
    result = render(model, "block:2", **QUICK)
    del result.record["ran"]["size"]
    result.save(tmp_path)
    with pytest.raises(RecordError, match="lacks 'size' in 'ran', or has something else there"):
        read_renders(tmp_path)


def test_command(tmp_path, photographs):
    save_file(small_net().state_dict(), tmp_path / "w.safetensors")
    words = ["render", FACTORY, "late:0-1", "--weights", "w.safetensors", "--steps", "2"]
    code, _, err = command(*words, "--size", "36", "--precision", "float32", "-q")
    assert code == 0, err
    code, _, err = command("metrics", "out")
    assert code == 2
    assert "names the factory 'nets:SmallNet', whose code would run" in err
    code, out, err = command("metrics", "out", "--allow-factory")
    assert code == 0, err
    assert out.splitlines()[0].split() == (
        ["unit", "score", "robust", "sd", "slope", "high", "clipped", "saturation"]
    )
    assert "no percentile: needs photographs: add --images FOLDER" in err
    more = ["--images", photographs, "--independent", "squeezenet1_1", "--allow-factory"]
    code, out, err = command("metrics", "out", *more, "--json", "--device", "cpu")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["photographs"] == 5
    assert [row["unit"] for row in document["images"]] == ["late:0", "late:1"]
    assert {"percentile", "gain", "self_rank", "nearest_file"} <= set(document["images"][0])
    assert document["missing"] == {}
    code, out, err = command("metrics", "out", *more)
    assert "nearest photograph" in out
    assert code == 0


def test_bad_input(tmp_path, model, photographs):
    (tmp_path / "empty").mkdir()
    render(model, "late:0", **QUICK).save(tmp_path / "good")
    broken = tmp_path / "broken"
    render(model, "late:0", **QUICK).save(broken)
    (broken / "b.png").write_bytes(b"no picture")
    for words, said in (
        (["nowhere"], "there is no folder 'nowhere'; give one that featviz rendered to"),
        (["empty"], "none of the 0 PNG files in 'empty' is an image with a featviz record"),
        ([photographs], "none of the 5 PNG files"),
        (["broken"], "b.png' as a picture: its format is not known"),
        (["good", "--images", "nowhere"], "there is no folder 'nowhere'; give a folder of photo"),
        (["good", "--images", "empty"], "'empty' holds 0 pictures"),
        (["good"], "unknown model 'small'"),
        ([], "Missing argument 'FOLDER'"),
    ):
        code, out, err = command("metrics", *words)
        assert (code, out) == (2, ""), words
        assert said in err
        assert "Traceback" not in err
