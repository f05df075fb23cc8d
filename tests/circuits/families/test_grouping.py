import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.expansion.weight_map import WeightMap
from circuits.families.family import Family
from circuits.families.grouping import (
    cluster,
    group,
    shuffled_weights,
    similarity,
    surrogate_tuning,
    surrogates,
    tuning_profiles,
    weight_profiles,
)
from featviz.errors import CircuitError


def slow_cluster(alike: np.ndarray, count: int) -> list[list[int]]:
    """Average linkage by definition: means over all pairs, computed anew for each join."""
    groups = [[k] for k in range(len(alike))]
    while len(groups) > count:
        means = {
            (a, b): float(np.mean([alike[i, j] for i in groups[a] for j in groups[b]]))
            for a in range(len(groups))
            for b in range(a + 1, len(groups))
        }
        a, b = max(means, key=means.__getitem__)
        groups[a] += groups.pop(b)
    return sorted((sorted(rows) for rows in groups), key=lambda rows: (-len(rows), rows))


@pytest.mark.parametrize("count", [1, 2, 5, 11, 12])
def test_average_linkage_by_definition(count: int) -> None:
    rows = torch.randn(12, 6, generator=torch.Generator().manual_seed(count))
    alike = similarity(rows)
    np.testing.assert_allclose(alike, np.corrcoef(rows.numpy()), atol=1e-6)
    assert cluster(alike, count=count) == slow_cluster(alike, count)


def test_ties_go_to_lower_rows_and_a_threshold_stops() -> None:
    alike = np.array(
        [[1, 0.9, 0.2, 0.2], [0.9, 1, 0.2, 0.2], [0.2, 0.2, 1, 0.9], [0.2, 0.2, 0.9, 1]]
    )
    assert cluster(alike, count=3) == [[0, 1], [2], [3]]
    assert cluster(alike, threshold=0.5) == [[0, 1], [2, 3]]
    assert cluster(alike, threshold=0.95) == [[0], [1], [2], [3]]
    assert cluster(alike, threshold=0.1) == [[0, 1, 2, 3]]


def bumps(peaks_deg: list[float], *, twice: bool) -> Tensor:
    """Tuning curves with one peak, or two opposite ones."""
    angles = torch.arange(72) * 5.0
    away = torch.deg2rad(angles[None] - torch.tensor(peaks_deg)[:, None])
    one = torch.exp(4 * (away.cos() - 1))
    return one + torch.exp(4 * (-away.cos() - 1)) if twice else one


def test_tuning_of_one_shape_is_one_family_at_any_orientation_and_height() -> None:
    single = bumps([0, 40, 95, 200, 310], twice=False) * torch.tensor([1.0, 5, 2, 9, 3])[:, None]
    double = bumps([10, 60, 100, 150], twice=True)
    responses = torch.cat([single, double])[[0, 5, 1, 6, 2, 7, 3, 8, 4]]
    profiles, control = tuning_profiles([responses]), surrogate_tuning([responses])
    found = group(profiles, control)
    assert found.groups == ((0, 2, 4, 6, 8), (1, 3, 5, 7))
    assert found.within > 0.99
    assert found.threshold == 0.7
    assert len(found.shuffled_largest) == 5
    assert found.by_chance == max(found.shuffled_largest)
    two = group(profiles, control, count=2)
    assert two.groups == found.groups
    assert two.by_chance == 1
    assert group(profiles, control) == found


def smooth_noise(units: int, correlated_deg: float, *, seed: int, period: float = 360.0) -> Tensor:
    """Return structureless curves: normal, smooth round the circle, cut off below 0."""
    angles = torch.arange(0, period, 5.0, dtype=torch.float64)
    away = (angles[:, None] - angles[None]).abs()
    covariance = torch.exp(-(torch.minimum(away, period - away) ** 2) / (2 * correlated_deg**2))
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp(min=0).sqrt()
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(units, len(angles), generator=generator).double() @ root.T).clamp(min=0)


@pytest.mark.parametrize("correlated_deg", [5, 15, 30, 60])
def test_smooth_curves_without_structure_are_no_family(correlated_deg: float) -> None:
    # Three sites of 60 units; orientations in random order would name most of them.
    named = 0
    for seed in range(3):
        noise = smooth_noise(60, correlated_deg, seed=seed)
        found = group(tuning_profiles([noise]), surrogate_tuning([noise]), draws=20)
        named += sum(len(rows) for rows in found.groups if len(rows) > found.by_chance)
    assert named == 0


def test_smooth_curves_to_two_stimuli_are_no_family() -> None:
    noise = [smooth_noise(80, 30, seed=1), smooth_noise(80, 30, seed=2, period=180.0)]
    found = group(tuning_profiles(noise), surrogate_tuning(noise), draws=20)
    assert 5 < len(found.groups[0]) <= found.by_chance


def test_units_of_one_odd_shape_are_found_among_smooth_ones() -> None:
    # Two peaks 70 degrees apart, one half as high, nothing else.
    shape = bumps([0], twice=False) ** 3 + bumps([70], twice=False) ** 3 / 2
    planted = torch.cat([shape.roll(k, 1) for k in range(0, 72, 2)]).double()
    curves = torch.cat([planted, smooth_noise(60, 15, seed=3)])
    found = group(tuning_profiles([curves]), surrogate_tuning([curves]), draws=20)
    large = [rows for rows in found.groups if len(rows) > found.by_chance]
    assert len(large) == 1
    assert set(range(36)) <= set(large[0])
    assert len(large[0]) < 50


def test_surrogates_keep_the_spectrum_and_what_is_silent() -> None:
    curves = smooth_noise(200, 15, seed=4) + 0.5
    drawn = surrogates(curves, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.aminmax(dim=1).min, curves.aminmax(dim=1).min)
    assert torch.allclose(drawn.amax(1), curves.amax(1))
    lowest = [(x <= x.amin(1, keepdim=True) + 1e-6).sum(1) for x in (drawn, curves)]
    assert torch.equal(*lowest)
    spectra = [(torch.fft.rfft(x, dim=1)[:, 1:].abs() ** 2).mean(0) for x in (drawn, curves)]
    assert (spectra[0] - spectra[1]).norm() < 0.1 * spectra[1].norm()
    # Neighbours are as alike as they were.
    near = [
        float((away * away.roll(1, 1)).sum() / away.square().sum())
        for away in (x - x.mean(1, keepdim=True) for x in (drawn, curves))
    ]
    assert near[0] == pytest.approx(near[1], abs=0.01)
    # Other curves, not the same ones turned.
    both = similarity(torch.cat([tuning_profiles([curves]), tuning_profiles([drawn])]))
    assert np.median(np.diag(both[:200, 200:])) < 0.7
    flat = torch.full((2, 12), 3.0)
    assert surrogates(flat, torch.Generator()).tolist() == flat.tolist()


def test_surrogates_of_curves_above_their_lowest_once_are_phases_at_random() -> None:
    # With one lowest value nothing is cut off, and scaling changes no correlation.
    wave = 2 + torch.cos(torch.arange(24) * 2 * torch.pi / 24)[None] + 0.01 * torch.rand(1, 24)
    drawn = surrogates(wave, torch.Generator().manual_seed(1))
    shape = (torch.fft.rfft(drawn, dim=1).abs() / torch.fft.rfft(wave.double(), dim=1).abs())[0, 1]
    assert float(shape) == pytest.approx(1, abs=0.02)
    assert not torch.allclose(drawn, wave.double(), atol=0.1)


def test_profiles_start_at_the_peak_and_keep_the_preference_between_stimuli() -> None:
    curves = torch.tensor([[0.0, 1, 4, 2]])
    lines = torch.tensor([[8.0, 0]])
    profile = tuning_profiles([curves, lines])
    assert profile.tolist() == [[0.5, 0.25, 0, 0.125, 1, 0]]


def test_noise_gives_no_larger_groups_than_shuffled_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    for width in (4, 40):
        noise = torch.rand(30, width, generator=generator)
        found = group(noise, shuffled_weights(noise))
        assert len(found.groups[0]) <= found.by_chance + 2
    # Profiles of four numbers are alike by chance, those of forty are not.
    short, long = (
        group(rows, shuffled_weights(rows)) for rows in (noise[:, :4].contiguous(), noise)
    )
    assert short.by_chance > 3 * long.by_chance


def test_units_that_read_one_family_are_alike() -> None:
    # Units 0..3 excite by family a, inhibit by b; 4..7 the reverse; each by channels of its own.
    kernel = torch.zeros(8, 8, 3, 3)
    for k in range(8):
        kernel[k, k % 4, 1, 1] = 1.0 if k < 4 else -1.0
        kernel[k, 4 + k % 4, 0, 1] = -2.0 if k < 4 else 2.0
    sources = tuple(range(20, 28))
    weights = WeightMap(kernel, "a", "b", sources, tuple(range(8)), (1, 1), (-1, -1), "raw", "raw")
    families = [Family.of("a", "a", range(20, 24)), Family.of("b", "a", range(24, 28))]
    profiles = weight_profiles(weights, inputs=families)
    assert profiles[0].tolist() == [1, 0, 0, -2]
    assert profiles[5].tolist() == [0, -1, 2, 0]
    found = group(profiles, shuffled_weights(profiles), count=2)
    assert found.groups == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert found.threshold is None
    # Channel by channel, no two units of the first kind read the same.
    alone = weight_profiles(weights)
    assert alone[0].view(8, 2)[0].tolist() == [1, 0]
    assert similarity(alone)[0, 1] < 0
    with pytest.raises(CircuitError, match="no unit of 'a' is in the families"):
        weight_profiles(weights, inputs=[Family.of("c", "elsewhere", [1])])


def test_flat_profiles_are_alike_to_none() -> None:
    assert similarity(torch.tensor([[0.1, 0.1, 0.1], [1.0, 2, 3], [0, 0, 0]])).tolist() == [
        [0, 0, 0],
        [0, pytest.approx(1), 0],
        [0, 0, 0],
    ]
    single = torch.rand(1, 4)
    assert group(single, shuffled_weights(single)).groups == ((0,),)


@pytest.mark.parametrize(
    ("profiles", "options", "said"),
    [
        (torch.rand(3, 4), {"count": 2, "threshold": 0.5}, "give one of them"),
        (torch.rand(3, 4), {"count": 4}, "4 groups of 3 units: give a number from 1 to 3"),
        (torch.rand(3, 4), {"count": 0}, "0 groups of 3 units: give a number from 1 to 3"),
        (torch.rand(3, 4), {"threshold": 2.0}, "threshold 2.0 is no correlation"),
        (torch.rand(0, 4), {}, "0 units cannot be grouped"),
        (torch.full((2, 4), torch.nan), {}, "not finite"),
    ],
)
def test_what_cannot_be_grouped(profiles: Tensor, options: dict[str, int], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        group(profiles, shuffled_weights(profiles), **options)  # type: ignore[arg-type]
