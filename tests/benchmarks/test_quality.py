"""The benchmark of self-identification: what a stopped run leaves, and how it is summed up."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import quality
from benchmarks.quality import Bench, choose_units, measure, read_rows, summary
from featviz.metrics import Reference
from nets import small_model


@pytest.fixture
def bench(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for k in range(3):
        pixels = drawn.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    model = small_model()
    judge = Reference(model, folder)
    return Bench(model, tmp_path / "r.npz", judge, 32, {"featviz": 2}, {"model": "small"})


def test_units_that_stand_in_the_file_are_not_rendered_again(bench, tmp_path, monkeypatch):
    rendered = []

    def fake(_bench, _site, _way, channels):
        rendered.extend(channels)
        return torch.rand(len(channels), 3, 32, 32)

    monkeypatch.setattr(quality, "images_of", fake)
    file = tmp_path / "results.jsonl"
    first = measure(bench, "block", "featviz", [2, 0], file)
    with file.open("a") as out:
        out.write('{"unit": 1, "cut o')
    assert read_rows(file) == first
    # A cut line must not swallow the next one.
    again = measure(bench, "block", "featviz", [2, 0, 3], file)
    assert rendered == [2, 0, 3]
    assert again[:2] == first
    assert read_rows(file) == again
    assert [row["unit"] for row in again] == [2, 0, 3]
    assert measure(bench, "block", "featviz", [3], None)[0]["unit"] == 3
    assert rendered == [2, 0, 3, 3]


def test_living_units_are_drawn_by_seed_and_more_go_on_where_fewer_end(bench):
    few = choose_units([bench.judge], "block", units=2, seed=0)
    many = choose_units([bench.judge], "block", units=4, seed=0)
    assert many[:2] == few
    assert len(set(many)) == 4
    peaks = bench.judge.peaks("block")
    assert all(peaks[k] > 0 for k in many)


def test_summary_by_hand():
    rows = [
        {"unit": k, "rank": rank, "rank_at_own_size": 1, "z": z, "score": 2.0, "seconds": 1.5}
        for k, rank, z in ((4, 1, 5.0), (7, 3, 1.0), (9, 0, 0.0), (2, 1, 9.0))
    ]
    plain = [{"unit": 4, "score": 4.0}, {"unit": 7, "score": 1.0}, {"unit": 2, "score": 0.0}]
    found = summary(rows, plain)
    assert found["first"] == 2
    assert found["top1"] == 0.5
    assert found["top1_at_own_size"] == 1
    assert found["median_z"] == 3
    assert found["own"] == 1.25
    assert found["seconds"] == 6
    assert json.loads(json.dumps(found)) == found
