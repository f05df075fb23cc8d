import copy
from typing import Any

import pytest

from featviz.atlas import read_neighbours
from featviz.atlas.neighbours.records import Nearest, UnitNeighbours
from featviz.errors import RecordError

KERNELS = {
    "nearest": [{"site": "late", "channel": 3, "value": 1.0}], "chance": None, "expected": None
}  # fmt: skip
VALUE: dict[str, Any] = {
    "activation": {
        "pass": "a" * 64, "images": 60, "statistic": "mean", "across": True,
        "nearest": [{"site": "pool", "channel": 0, "value": -0.5}], "chance": 0.25, "expected": 0,
    },
    "weights": KERNELS,
}  # fmt: skip


def test_what_is_kept_is_read_back() -> None:
    by_weights = Nearest((("late", 3, 1.0),), None, None)
    assert read_neighbours(VALUE) == UnitNeighbours(
        Nearest((("pool", 0, -0.5),), 0.25, 0.0), by_weights, "a" * 64, 60, "mean", True
    )
    assert read_neighbours({"activation": None, "weights": KERNELS}) == UnitNeighbours(
        None, by_weights, None, None, None, False
    )


@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        (("activation", "pass"), "../../x"),
        (("activation", "pass"), None),
        (("activation", "images"), -1),
        (("activation", "statistic"), ["mean"]),
        (("activation", "across"), 1),
        (("activation", "chance"), float("nan")),
        (("activation", "nearest"), 5),
        (("activation", "nearest", 0, "value"), "1"),
        (("activation", "nearest", 0, "value"), 1.5),
        (("weights", "nearest", 0, "site"), ""),
        (("weights", "nearest", 0, "channel"), 1.5),
        (("weights", "nearest", 0, "channel"), True),
        (("weights",), []),
    ],
)
def test_an_edited_record_is_refused(way: tuple[Any, ...], wrong: Any) -> None:
    value: Any = copy.deepcopy(VALUE)
    inner = value
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = wrong
    with pytest.raises(RecordError, match=r"neighbours of a unit cannot be read: .*edited"):
        read_neighbours(value)
    del inner[way[-1]]
    with pytest.raises(RecordError, match="neighbours of a unit cannot be read"):
        read_neighbours(value if way[-1] != "nearest" else None)
