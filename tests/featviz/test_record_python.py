"""The Python of a record makes the same image, with the network loaded in the same way."""

from pathlib import Path

import pytest

import featviz
from featviz.record import python_lines, read_record

NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
"""


@pytest.mark.parametrize(
    ("settings", "loading"),
    [
        (
            {"weights": "random", "mean": [0.5, 0.25, 0.1], "std": 0.5, "size": (40, 48)},
            "weights='random', mean=[0.5, 0.25, 0.1], std=[0.5], size=[40, 48]",
        ),
        ({"weights": "random", "channels": 3}, "weights='random', channels=3"),
    ],
)
def test_the_python_of_a_record_makes_the_same_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, object], loading: str
) -> None:
    (tmp_path / "own_network_of_record.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = featviz.load("own_network_of_record:build", **settings)  # type: ignore[arg-type]
    featviz.render(model, ["2:1", "-0:0"], steps=2, size=16).save("first/")
    made = sorted((tmp_path / "first").glob("*.png"))
    assert len(made) == 3, "two images and their sheet"
    lines = python_lines(read_record(made[0]))
    assert f"featviz.load('own_network_of_record:build', {loading})" in lines
    exec(compile(lines, "lines", "exec"), {})
    for path in made:
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_a_network_without_a_name_is_left_to_the_reader() -> None:
    record = {"request": {"arguments": None, "objectives": ["a:1"]}, "config": {"steps": 3}}
    lines = python_lines(record)
    assert "model = featviz.load(network)\n" in lines
    assert "featviz.render(model, 'a:1', steps=3)" in lines


def test_a_device_is_where_the_network_is_moved() -> None:
    request = {"arguments": ["squeezenet1_1", "--device", "cpu"], "objectives": ["fire5:38"]}
    lines = python_lines({"request": request, "config": {"steps": 3}})
    assert "model = featviz.load('squeezenet1_1').to('cpu')\n" in lines
