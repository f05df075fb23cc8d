import json
import re
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
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


def stem(label, model="m"):
    (path,) = output_paths(Path("out"), model, [label], [label])
    return path.stem


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("fire4:128", "m_fire4_128"),
        ("-fire4:128", "m_-fire4_128"),
        ("layer2.0.conv1.pre:7", "m_layer2.0.conv1.pre_7"),
        ("inception_3a:10 ~2", "m_inception_3a_10_2"),
        ("fire4:17@7,9", "m_fire4_17@7_9"),
        ("fire4:17@center", "m_fire4_17@center"),
        ("mine", "m_mine"),
    ],
)
def test_names_of_plain_units_are_plain(label, expected):
    assert stem(label) == expected


def test_distinct_labels_have_distinct_names_in_separate_renders():
    labels = [
        "a:1", "a_1", "a 1", "a 1 ", "_a:1", "a_:1", "a__b:1", "a_b:1", "a/b:1", "a.b:1", "a b:1",
        "a:1 * b:2", "a:1 / b:2", "a:1 - b:2", "a:1 + b:2", "(a:1 + b:2) / 2", "a:1 + b:2 / 2",
        "a:1 ~2", "a_1:2", "a:1@2,3", "a:1@2,3 ~4", "a#1:1", "a/0:4:1", "x", "x.", "-a:1", "a:-1",
        "y" * 300, "y" * 301, "y" * 150 + "z" + "y" * 150, "ü:1", "ö:1",
    ]  # fmt: skip
    stems = [stem(label) for label in labels]
    assert len(set(stems)) == len(labels)
    assert max(map(len, stems)) <= 120
    assert re.fullmatch(r"m_a_1_b_2_[0-9a-f]{8}", stem("a:1 * b:2"))
    assert stem("a:1 * b:2") == stem("a:1 * b:2")


@given(st.lists(st.text("a1_:~ @,./*-", max_size=9), min_size=2, max_size=2, unique=True))
def test_any_two_labels_have_two_names(labels):
    one, other = map(stem, labels)
    assert one != other


def test_names_of_one_render(tmp_path):
    labels = ["A:1", "a:1", "a:1", "y" * 300]  # some file systems ignore case
    paths = output_paths(tmp_path, "timm:net", labels, ["*"])
    assert [p.name for p in paths[:3]] == [
        "timm_net_A_1.png",
        "timm_net_a_1_2.png",
        "timm_net_a_1_3.png",
    ]
    assert len({p.name.lower() for p in paths}) == 5
    assert all(p.parent == tmp_path for p in paths)


def test_names_of_sheets(tmp_path):
    def sheet(*request):
        return output_paths(tmp_path, "m", ["p:0", "p:1"], request)[-1].stem

    assert sheet("fire4:0-15,40") == "m_fire4_0-15_40_sheet"
    assert sheet("fire4:*", "x_y:1-2@3,4") == "m_fire4_x_y_1-2@3_4_sheet"
    assert sheet("a:1 * b:2", "c:1") != sheet("a:1 / b:2", "c:1")
    assert sheet(*(f"fire4:{k}" for k in range(50))) != sheet(*(f"fire4:{k}" for k in range(51)))


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
