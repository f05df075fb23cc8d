import tracemalloc

import numpy as np
import pytest
import torch

from app import likeness
from app.likeness import photographs_likeness, weights_likeness
from app.networks import network
from featviz.atlas.neighbours.kernels import Kernel
from featviz.errors import RecordError

NEAR = {
    "nearest": [
        {"site": "arcs", "channel": 3, "value": 0.5},
        {"site": "other", "channel": 4, "value": 0.9},
    ],
    "chance": 0.1, "expected": 0.1, "pass": "0f" * 32, "images": 9, "statistic": "maximum",
    "across": True,
}  # fmt: skip


def test_likeness_in_photographs_is_that_of_the_evidence() -> None:
    found = photographs_likeness({"neighbours": {"activation": NEAR, "weights": None}}, "arcs", 7)
    assert found == {3: 0.5, 7: 1.0}
    assert photographs_likeness({}, "arcs", 7) == {}
    assert (
        photographs_likeness({"neighbours": {"activation": None, "weights": None}}, "arcs", 7) == {}
    )


def test_evidence_that_is_none_is_told() -> None:
    with pytest.raises(RecordError, match="the neighbours of a unit cannot be read"):
        photographs_likeness({"neighbours": {"activation": {"nearest": [{}]}}}, "arcs", 7)


def test_likeness_in_weights_is_the_cosine_of_the_kernels() -> None:
    found = weights_likeness("artificial_curves", "lines", 4)
    module = network("artificial_curves").module
    (weight,) = [
        w for name, w in module.named_parameters() if name.startswith("lines") and w.dim() == 4
    ]
    rows = weight.detach().flatten(1).double()
    expected = torch.nn.functional.cosine_similarity(rows, rows[4:5]).numpy()
    assert list(found) == list(range(len(rows)))
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-6)


def test_memory_does_not_grow_with_the_pairs_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2000
    kernels = [Kernel(np.full((1, 1, 1), k + 1.0), ()) for k in range(count)]
    monkeypatch.setattr(likeness, "incoming_kernels", lambda *_: kernels)
    network("artificial_curves")
    tracemalloc.start()
    try:
        assert weights_likeness("artificial_curves", "lines", 5) == dict.fromkeys(range(count), 1.0)
        assert tracemalloc.get_traced_memory()[1] < count * count
    finally:
        tracemalloc.stop()
        likeness._cosines.clear()


def test_there_is_none_without_the_network_or_the_unit() -> None:
    assert weights_likeness("nobodys_net", "lines", 4) == {}
    assert weights_likeness("artificial_curves", "lines", 99) == {}
