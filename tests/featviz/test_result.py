import json

import pytest
import torch
from PIL import Image

from featviz.errors import OutputError, RecordError
from featviz.objectives import channel, objective
from featviz.record import command, read_record
from featviz.rendering import render
from featviz.result import output_paths
from nets import small_model

QUICK = {"steps": 2, "precision": "float32", "progress": False}


@pytest.fixture
def model():
    model = small_model()
    model.arguments = ("small", "--weights", "my weights.pt")
    return model


def test_saved_files(model, tmp_path):
    result = render(model, "late:0-1", **QUICK)
    paths = result.save(tmp_path / "deep" / "out")
    assert [p.name for p in paths] == [
        "small_late_0.png",
        "small_late_1.png",
        "small_late_0-1_sheet.png",
    ]
    assert sorted(p.name for p in paths[0].parent.iterdir()) == sorted(
        [*(p.name for p in paths), "small_late_0.json", "small_late_1.json"]
    )
    with Image.open(paths[0]) as picture:
        assert picture.size == (32, 32)


def test_the_record_is_in_the_picture_and_beside_it(model, tmp_path):
    result = render(model, "late:0-1", **QUICK)
    paths = result.save(tmp_path)
    for k in range(2):
        record = read_record(paths[k])
        assert record == read_record(paths[k].with_suffix(".json"))
        assert record == json.loads(json.dumps(result.record_of(k)))
        assert record["image"]["unit"] == f"late:{k}"
        assert record["image"]["score"] == pytest.approx(result.score[k].item())
    assert read_record(paths[2]) == json.loads(json.dumps(result.record))
    assert record["config"]["steps"] == 2
    assert record["ran"]["size"] == [32, 32]
    assert len(record["model"]["weights_sha256"]) == 64


def test_the_same_render_gives_the_same_bytes(model, tmp_path):
    files = [render(model, "late:0-1", **QUICK).save(tmp_path / name) for name in ("a", "b")]
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_frames_are_saved(model, tmp_path):
    paths = render(model, "late:0", thresholds=[1], **QUICK).save(tmp_path)
    assert [path.name for path in paths] == ["small_late_0.png", "small_late_0_step00001.png"]
    record = read_record(tmp_path / "small_late_0_step00001.png")
    assert (record["after_step"], record["image"]["unit"]) == (1, "late:0")


def test_existing_files_are_kept(model, tmp_path):
    result = render(model, "late:0-1", **QUICK)
    first, *_ = result.save(tmp_path)
    first.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"small_late_0\.png' exists and 4 more; .*--overwrite"):
        result.save(tmp_path)
    assert first.read_bytes() == b"precious"
    first.unlink()
    with pytest.raises(OutputError, match=r"small_late_1\.png' exists"):
        result.save(tmp_path)
    result.save(tmp_path, overwrite=True)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(OutputError, match=r"small_late_0\.json' exists"):
        result.save(tmp_path)
    result.save(tmp_path, overwrite=True)
    first.write_bytes(b"precious")
    result.save(tmp_path, overwrite=True)
    assert first.read_bytes() != b"precious"


def test_failed_images_are_not_saved(model, tmp_path):
    bad = objective(
        lambda acts: acts["late"].mean((1, 2, 3)) * torch.nan, sites=["late"], label="x"
    )
    paths = render(model, [channel("late", 0), bad], **QUICK).save(tmp_path)
    assert [p.name for p in paths] == ["small_late_0.png", "small_late_0_x_sheet.png"]


def test_commands(model):
    def line(what, **options):
        return command(render(model, what, **{**QUICK, **options}).record)

    assert line("late:0-1") == (
        "featviz render --weights 'my weights.pt' --steps 2 --precision float32 -o out/ "
        "small late:0-1"
    )
    assert line(["late:0", "-block:1"], size=(40, 36)).endswith(
        "--size 40,36 --precision float32 -o out/ -- small late:0 -block:1"
    )
    assert "--thresholds 1,2" in line("late:0", thresholds=(1, 2))
    assert line(channel("late", 0)) is None
    model.arguments = None
    assert line("late:0") is None


def test_names_are_safe_distinct_and_short(tmp_path):
    clash = output_paths(tmp_path, "m", ["a:1", "a 1", "a_1:2"], ["*"])
    assert len({p.name for p in clash}) == 4
    labels = ["a/b:1", "a b:1", "A_b:1", "-x.pre:3", "y" * 300]
    paths = output_paths(tmp_path, "timm:net", labels, ["*"])
    names = [p.name for p in paths]
    assert names[:4] == [
        "timm_net_a_b_1.png",
        "timm_net_a_b_1_2.png",
        "timm_net_A_b_1_3.png",
        "timm_net_-x.pre_3.png",
    ]
    assert len({name.lower() for name in names}) == len(names)
    assert max(map(len, names)) < 140
    assert all(p.parent == tmp_path for p in paths)


def test_a_notebook_shows_it(model):
    page = render(model, "late:0", **QUICK)._repr_html_()
    assert page.startswith("<figure><img alt=")
    assert "data:image/png;base64," in page
    strange = objective(lambda a: a["late"].mean((1, 2, 3)), sites=["late"], label='<b>"x"')
    assert '<b>"x"' not in render(model, strange, **QUICK)._repr_html_()


def test_repr_names_what_is_there(model):
    assert repr(render(model, "late:0-3", **QUICK)) == (
        "RenderResult(4 images [3 32 32]: late:0, late:1, late:2, ...)"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "there is no file .*none.png"),
        ("a.json", "{", "the record of .*a.json' is not JSON"),
        ("a.json", "[1]", "holds no featviz record of schema 1"),
        ("a.json", '{"schema": 1}', "holds no featviz record of schema 1"),
        ("a.json", '{"schema": 9}', r"holds no featviz record of schema 1 \(found 9\)"),
        ("a.json", b"\xff\xfe\x00", "cannot read"),
        ("a.png", b"x", "cannot read"),
    ],
)
def test_bad_records(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=message):
        read_record(path)
