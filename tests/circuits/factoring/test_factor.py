import math

import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.factoring.factor import factorise, factorise_each, factorise_weights
from circuits.factoring.factorisation import Factorisation, matched
from featviz.errors import CircuitError
from reference import curve_kernels, ding_semi_nmf, lee_seung_nmf, posneg_nmf

ANGLES = [15.0 * k for k in range(24)]
KERNELS = torch.from_numpy(curve_kernels(ANGLES, ANGLES))
TABLE = KERNELS.permute(0, 2, 3, 1).reshape(-1, 24)


def weight_map(kernel: Tensor) -> WeightMap:
    return WeightMap(
        kernel=kernel,
        source="early",
        target="arcs",
        sources=tuple(range(10, 10 + kernel.shape[1])),
        targets=tuple(range(kernel.shape[0])),
        stride=(1, 1),
        offset=(0, 0),
        gates="raw",
        method="raw",
    )


def unexplained(table: Tensor, loadings: np.ndarray, factors: np.ndarray) -> float:
    left = table.numpy() - loadings @ factors
    return float((left**2).sum() / (table.numpy() ** 2).sum())


def cosines(found: Factorisation) -> Tensor:
    products = found.factors @ found.factors.T
    return products - torch.diag(products.diagonal())


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("rank", "svd", "semi", "posneg"),
    [(2, 0.25, 0.44, 0.63), (4, 0.02, 0.09, 0.28), (6, 0.004, 0.011, 0.14)],
)
def test_unexplained_variance_of_the_curve_kernels(
    rank: int, svd: float, semi: float, posneg: float
) -> None:
    # The published semi-NMF is Ding's updates, which end where they were stopped.
    start = np.random.default_rng(0).random((rank, 24)) + 0.1
    slow = unexplained(TABLE, *ding_semi_nmf(TABLE.numpy(), start, iterations=600))
    trick = unexplained(TABLE, *posneg_nmf(TABLE.numpy(), start, iterations=300))
    assert slow == pytest.approx(semi, abs=0.01)
    assert trick == pytest.approx(posneg, abs=0.005)
    direct = factorise(TABLE, rank=rank, method="svd").unexplained
    plain = factorise(TABLE, rank=rank, ridge=0, restarts=0, tolerance=3e-5)
    ridged = factorise(TABLE, rank=rank, restarts=0)
    assert direct == pytest.approx(svd, abs=0.001)
    assert direct < plain.unexplained <= slow * 1.001
    assert plain.unexplained < ridged.unexplained < trick
    assert ridged.unexplained - plain.unexplained < 0.035
    assert (ridged.factors >= 0).all()
    assert (ridged.loadings < 0).any()


def test_the_ridge_keeps_components_apart() -> None:
    assert cosines(factorise(TABLE, rank=4, ridge=0, restarts=0, max_iterations=200)).max() > 0.99
    assert cosines(factorise(TABLE, rank=4, restarts=0)).max() < 0.8


def test_semi_nmf_finds_what_a_table_was_made_of() -> None:
    # Disjoint groups of channels with loadings at right angles: the factors that keep the square
    # sums of the ridge least. Without the last, mixtures of the groups explain the table as well.
    factors = torch.zeros(3, 9, dtype=torch.float64)
    factors[0, :3] = torch.tensor([1.0, 2.0, 2.0]) / 3
    factors[1, 3:5] = torch.tensor([3.0, 4.0]) / 5
    factors[2, 5:] = 0.5
    loadings = torch.linalg.qr(random(40, 3)).Q * torch.tensor([3.0, 2.0, 1.0])
    found = factorise(loadings @ factors, rank=3, restarts=0)
    assert found.converged
    assert found.unexplained < 1e-4
    torch.testing.assert_close(found.factors, factors, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.loadings, loadings, atol=2e-2, rtol=0)
    torch.testing.assert_close(found.approximation, loadings @ factors, atol=2e-2, rtol=0)


def test_nmf_is_as_good_as_the_multiplicative_updates() -> None:
    table = random(30, 12).abs()
    start = np.random.default_rng(0).random((4, 12)) + 0.1
    slow = unexplained(table, *lee_seung_nmf(table.numpy(), start, iterations=3000))
    found = factorise(table, rank=4, method="nmf")
    assert (found.factors >= 0).all()
    assert (found.loadings >= 0).all()
    assert found.unexplained <= slow * 1.01
    assert found.unexplained == pytest.approx(
        unexplained(table, found.loadings.numpy(), found.factors.numpy())
    )


def test_svd_and_pca_by_their_singular_values() -> None:
    table = random(20, 6) + 3
    for method, centred in (("svd", table), ("pca", table - table.mean(0))):
        values = torch.linalg.svdvals(centred)
        found = factorise(table, rank=2, method=method)
        rest = float(values[2:].square().sum() / values.square().sum())
        assert found.unexplained == pytest.approx(rest)
        assert found.loadings.square().sum(0).sqrt().tolist() == pytest.approx(values[:2].tolist())
        assert all(row[row.abs().argmax()] > 0 for row in found.factors)
        whole = factorise(table, rank=6, method=method)
        torch.testing.assert_close(whole.approximation, table)


def test_same_seed_same_factors_and_strongest_first() -> None:
    first, again = (factorise(TABLE, rank=3, restarts=2, seed=4) for _ in range(2))
    assert torch.equal(first.factors, again.factors)
    assert torch.equal(first.loadings, again.loadings)
    energy = first.loadings.square().sum(0)
    assert (energy.diff() <= 0).all()
    torch.testing.assert_close(first.factors.norm(dim=1), torch.ones(3, dtype=torch.float64))


def test_the_best_start_counts() -> None:
    few, more = (factorise(TABLE, rank=5, restarts=count, max_iterations=50) for count in (0, 1))
    assert more.unexplained <= few.unexplained


def test_a_component_more_than_needed_dies_or_shares() -> None:
    table = random(20, 1) @ random(1, 6).abs()
    found = factorise(table, rank=2)
    assert found.unexplained < 1e-4
    assert found.factors.isfinite().all()
    assert found.loadings.isfinite().all()


def test_maps_have_the_shape_of_the_kernels_and_name_the_channels() -> None:
    weights = weight_map(KERNELS[:2])
    found = factorise_weights(weights, rank=24, method="svd")
    assert found.maps.shape == (2, 5, 5, 24)
    back = torch.einsum("oyxk,ki->oiyx", found.maps, found.factors)
    torch.testing.assert_close(back, KERNELS[:2])
    family = factorise_weights(weights, rank=2, targets=[1])
    assert family.maps.shape == (1, 5, 5, 2)
    best = max(range(24), key=lambda k: float(family.factors[0, k]))
    assert family.top(0, count=1) == [(10 + best, float(family.factors[0, best]))]


def test_parts_of_the_weights() -> None:
    kernel = torch.tensor([3.0, -4.0], dtype=torch.float64).view(1, 1, 1, 2)
    kernel = torch.cat([kernel, -kernel], 1)
    for part, expected in (
        ("positive", [[3.0, 0.0], [0.0, 4.0]]),
        ("negative", [[0.0, 3.0], [4.0, 0.0]]),
        ("magnitude", [[3.0, 3.0], [4.0, 4.0]]),
        ("signed", [[3.0, -3.0], [-4.0, 4.0]]),
    ):
        rank = 1 if part in {"magnitude", "signed"} else 2
        found = factorise_weights(weight_map(kernel), rank=rank, method="svd", part=part)
        assert found.approximation.flatten().tolist() == pytest.approx(
            [*expected[0], *expected[1]], abs=1e-9
        )


def test_components_of_each_unit_come_in_one_order() -> None:
    # Two groups of channels; the second unit reads the second group more strongly.
    groups = torch.zeros(2, 6, dtype=torch.float64)
    groups[0, :3], groups[1, 3:] = 1, 1
    where = random(2, 2, 9) * torch.tensor([[5.0, 1.0], [1.0, 4.0]])[:, :, None]
    kernel = torch.einsum("okp,ki->oip", where, groups).view(2, 6, 3, 3)
    joint = factorise_weights(weight_map(kernel), rank=2)
    each = factorise_each(weight_map(kernel), rank=2)
    alone = factorise_weights(weight_map(kernel), rank=2, targets=[1])
    assert [found.grid for found in each] == [(1, 3, 3)] * 2
    for found in each:
        assert (found.factors * joint.factors).sum(1).min() > 0.99
    # The test can fail: alone, the second unit's strongest component is the other group.
    assert float(alone.factors[0] @ joint.factors[0]) < 0.1


def test_matching_takes_the_largest_cosine_first_and_signs_for_svd() -> None:
    reference = factorise(TABLE, rank=3, method="svd")
    turned = Factorisation(
        factors=-reference.factors[[2, 0, 1]],
        loadings=-reference.loadings[:, [2, 0, 1]],
        mean=reference.mean,
        unexplained=reference.unexplained,
        method="svd",
        iterations=0,
        converged=True,
        columns=reference.columns,
        grid=reference.grid,
    )
    back = matched(turned, reference)
    torch.testing.assert_close(back.factors, reference.factors)
    torch.testing.assert_close(back.loadings, reference.loadings)
    with pytest.raises(CircuitError, match="the channels must be the same"):
        matched(reference, factorise(TABLE[:, :20], rank=3))
    with pytest.raises(CircuitError, match="needs as many components"):
        matched(reference, factorise(TABLE, rank=2))


def test_colours_by_hand() -> None:
    kernel = torch.tensor([2.0, -2.0, 0.0], dtype=torch.float64).view(1, 1, 1, 3)
    found = factorise_weights(weight_map(kernel), rank=1)
    blue, grey = torch.tensor([0.0, 0.447, 0.698]), torch.full((3,), 0.5)
    painted = found.painted()[0, 0].float()
    torch.testing.assert_close(painted, torch.stack([blue, 1 - blue, grey]))
    with pytest.raises(CircuitError, match="4 components cannot be told apart"):
        factorise(TABLE, rank=4, method="svd").painted()


def test_the_printed_form_says_what_matters() -> None:
    text = repr(factorise(TABLE, rank=2, method="svd"))
    assert text == "Factorisation(svd, 2 components of 24 channels, 0.25 unexplained)"
    assert "not converged" in repr(factorise(TABLE, rank=2, max_iterations=2))


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (TABLE, {"rank": 0}, "rank 0 does not fit a table of 600 rows and 24 channels"),
        (TABLE, {"rank": 25}, "choose 1 to 24"),
        (TABLE, {"rank": 2, "method": "seminmf"}, "did you mean 'semi-nmf'"),
        (TABLE, {"rank": 2, "method": "nmf"}, "takes no negative weights"),
        (TABLE, {"rank": 2, "restarts": -1}, "restarts is -1"),
        (TABLE, {"rank": 2, "ridge": -0.1}, "choose 0 to 1"),
        (TABLE, {"rank": 2, "ridge": 0.1, "method": "svd"}, "the solution is direct"),
        (torch.zeros(4, 3), {"rank": 1}, "all weights are zero"),
        (torch.ones(4, 3), {"rank": 1, "method": "pca"}, "equal, for 'pca'"),
        (torch.full((4, 3), math.nan), {"rank": 1}, "12 of 12 weights are not finite"),
    ],
)
def test_what_cannot_be_factored(table: Tensor, options: dict[str, object], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        factorise(table, **options)


def test_unknown_part_and_target() -> None:
    with pytest.raises(CircuitError, match="unknown part 'minus'"):
        factorise_weights(weight_map(KERNELS), part="minus")
    with pytest.raises(CircuitError, match="arcs:30 is not in the weights"):
        factorise_each(weight_map(KERNELS), targets=[30])
