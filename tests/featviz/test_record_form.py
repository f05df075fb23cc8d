"""Records that were edited are refused with a word on what is wrong, by `show` and by Python."""

import copy
import json
import shutil

import pytest

from featviz.cli import run
from featviz.errors import RecordError
from featviz.record import read_record
from featviz.record_form import wrong_part
from featviz.rendering import render
from nets import small_model

NOTHING = object()


@pytest.fixture(scope="module")
def result():
    model = small_model()
    model.arguments = ("nets:SmallNet", "--weights", "random")
    settings = {"steps": 1, "size": 32, "precision": "float32", "progress": False}
    return render(model, ["late:0", "late:1"], **settings)


def changed(record, where, value):
    record = copy.deepcopy(record)
    *parts, key = where.split(".")
    part = record
    for name in parts:
        part = part[int(name) if name.isdigit() else name]
    if value is NOTHING:
        del part[key]
    else:
        part[key] = value
    return record


def test_records_as_they_are_written(result):
    assert wrong_part(result.record) is None
    assert wrong_part(result.record_of(1)) is None


WRONG = [
    ("config", None, "'config'"),
    ("model", "x", "'model'"),
    ("model.name", 3, "'name' in 'model'"),
    ("model.weights_sha256", NOTHING, "'weights_sha256' in 'model'"),
    ("request.objectives", 3, "'objectives' in 'request'"),
    ("request.objectives", [], "'objectives' in 'request'"),
    ("request.objectives", [3], "'objectives' in 'request'"),
    ("request.arguments", [], "'arguments' in 'request'"),
    ("request.arguments", "abc", "'arguments' in 'request'"),
    ("ran.size", [1, "2"], "'size' in 'ran'"),
    ("ran.interrupted", NOTHING, "'interrupted' in 'ran'"),
    ("ran.files", ["x"], "'files' in 'ran'"),
    ("ran.files", {"x": 3}, "'files' in 'ran'"),
    ("environment.packages", NOTHING, "'packages' in 'environment'"),
    ("images", NOTHING, "'image'"),
    ("images", [], "'image'"),
    ("images", [None], "'image'"),
    ("images.1.unit", NOTHING, "'unit' in 'image'"),
    ("images.0.score", "x", "'score' in 'image'"),
]


@pytest.mark.parametrize(("where", "value", "wrong"), WRONG)
def test_what_is_wrong_with_a_record(result, tmp_path, capsys, where, value, wrong):
    record = changed(result.record, where, value)
    assert wrong_part(record) == wrong
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(RecordError, match=f"lacks {wrong}, or has something else there; it was"):
        read_record(tmp_path / "a.json")
    assert run(["show", str(tmp_path / "a.json")]) == 2
    assert capsys.readouterr().out == ""


def test_a_record_that_nests_too_deep(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(RecordError, match=r"the record of '.*a\.json' is not JSON"):
        read_record(tmp_path / "a.json")


def test_a_record_without_its_picture_is_not_reproduced(result, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result.save("out")
    shutil.copy("out/small_late_0.json", "alone.json")
    monkeypatch.setattr("featviz.rendering.ascend", None)
    assert run(["show", "alone.json", "--reproduce", "again", "--allow-factory"]) == 2
    assert "there is no picture 'alone.png' to compare with" in capsys.readouterr().err
