import pytest
import torch

import featviz
from circuits import Thresholds, measure_tuning, shuffled, tuned_curves, tuned_family
from circuits.angles import angle_between
from circuits.artificial.model import orientations_deg
from circuits.tuning.curve import TuningCurve
from featviz.errors import CircuitError


def curve(channel: int, *, at: int, peak: float, width: int = 1, echo: float = 0.0) -> TuningCurve:
    """A bar of some width around an orientation, and a share of it opposite."""
    response = torch.zeros(36)
    for k in range(-width, width + 1):
        response[(at + k) % 36] = peak
        response[(at + k + 18) % 36] = peak * echo
    return TuningCurve(
        unit=f"a:{channel}",
        channel=channel,
        angles_deg=torch.arange(36) * 10.0,
        response=response,
        period_deg=360,
        surface=response[:, None],
        levels=(1.0,),
        level="radius_px",
        stimulus="curve",
    )


def test_each_threshold_counts_and_the_order_is_that_of_orientation() -> None:
    curves = [
        curve(0, at=20, peak=8.0),
        curve(1, at=5, peak=2.0),
        curve(2, at=7, peak=1.9),  # below a quarter of the largest
        curve(3, at=9, peak=8.0, width=8),  # hardly selective
        curve(4, at=11, peak=8.0, echo=0.11),
        curve(5, at=0, peak=0.0),  # silent
    ]
    assert [found.channel for found in tuned_curves(curves)] == [1, 0]
    wide = Thresholds(peak_frac=0.2, selectivity=0.0, echo=1.0)
    assert [found.channel for found in tuned_curves(curves, thresholds=wide)] == [1, 2, 3, 4, 0]
    family = tuned_family(curves, name="bars")
    assert family.name == "bars"
    assert [str(unit) for unit in family.units] == ["a:1", "a:0"]
    assert family.angles_deg == pytest.approx((50, 200), abs=1e-3)


def test_the_curve_network_passes_and_its_shuffled_twin_does_not() -> None:
    model = featviz.load("artificial_curves")
    found = tuned_family(measure_tuning(model, "arcs"), name="arcs")
    assert sorted(found.channels("arcs")) == list(range(24))
    true = [orientations_deg("arcs")[channel] for channel in found.channels("arcs")]
    assert found.angles_deg is not None
    assert max(map(angle_between, found.angles_deg, true, [360.0] * 24)) < 15
    twin = shuffled(model, by="inputs", seed=0)
    assert len(tuned_curves(measure_tuning(twin, "arcs"))) <= 3


def test_what_has_no_family() -> None:
    with pytest.raises(CircuitError, match="none of 1 units is tuned as asked, so there are no x;"):
        tuned_family([curve(0, at=0, peak=0.0)], name="x")
    with pytest.raises(CircuitError, match="none of 0 units"):
        tuned_family([], name="x")
    for wrong in ({"peak_frac": 0.0}, {"selectivity": 1.1}, {"echo": -0.1}):
        with pytest.raises(CircuitError, match="thresholds are shares from 0 to 1"):
            Thresholds(**wrong)
