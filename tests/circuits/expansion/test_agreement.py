import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import circuits
from circuits import WeightMap
from circuits.expansion.agreement import measure_agreement
from featviz.errors import CircuitError
from nets import small_model


def weight_map(gates: str, seed: int) -> WeightMap:
    kernel = torch.randn(2, 30, 3, 3, generator=torch.Generator().manual_seed(seed))
    return WeightMap(kernel=kernel, source="a", target="b", sources=tuple(range(30)),
                     targets=(4, 7), stride=(1, 1), offset=(0, 0), gates=gates,
                     method="compose")  # fmt: skip


def test_agreement_is_that_of_numpy() -> None:
    one, two = weight_map("identity", 0), weight_map("positive_top", 1)
    mixed = replace(two, kernel=one.kernel + 0.5 * two.kernel)
    report = measure_agreement([one, mixed], top=5)
    for row in range(2):
        a, b = (m.kernel[row].double().flatten().numpy() for m in (one, mixed))
        expected = np.corrcoef(a, b)[0, 1]
        assert float(report.correlation[row, 0, 1]) == pytest.approx(expected)
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert float(report.cosine[row, 0, 1]) == pytest.approx(cosine)
        tops = [{c for c, _ in m.top(m.targets[row], count=5)} for m in (one, mixed)]
        assert float(report.overlap[row, 0, 1]) == pytest.approx(len(tops[0] & tops[1]) / 5)
    assert report.gates == ("identity", "positive_top")
    assert report.chance_overlap == 5 / 30
    # Independent kernels of 270 numbers: |correlation| is about sqrt(2 / pi / 270).
    assert float(report.chance_correlation.mean()) == pytest.approx(
        math.sqrt(2 / math.pi / 270), rel=0.4
    )


def test_kernels_of_other_sizes_are_aligned() -> None:
    one = weight_map("identity", 0)
    inner = replace(one, kernel=one.kernel[:, :, 1:2, 1:], offset=(1, 1), gates="attribution")
    report = measure_agreement([one, inner])
    inside = torch.zeros_like(one.kernel)
    inside[:, :, 1:2, 1:] = inner.kernel
    expected = inside.flatten(1).norm(dim=1) / one.kernel.flatten(1).norm(dim=1)
    torch.testing.assert_close(report.cosine[:, 0, 1].float(), expected)


def test_rows_have_no_number_where_there_are_no_weights() -> None:
    one = weight_map("identity", 0)
    none = replace(one, kernel=torch.zeros_like(one.kernel), gates="attribution")
    (row, _) = measure_agreement([one, none]).rows()
    assert row["unit"] == "b:4"
    assert row["correlation"] is None
    assert row["cosine"] is None


def test_maps_that_do_not_belong_together_are_refused() -> None:
    one = weight_map("identity", 0)
    with pytest.raises(CircuitError, match="do not belong together"):
        measure_agreement([one, replace(one, stride=(2, 2))])
    with pytest.raises(CircuitError, match="name each gate policy once"):
        circuits.compare_gates(small_model(), "act", "branches", gates=("identity", "identity"))
    with pytest.raises(CircuitError, match="name each gate policy once"):
        circuits.compare_gates(small_model(), "act", "branches", gates=())
