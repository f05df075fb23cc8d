"""Early stopping: the rule against a slow one, and whole renders."""

import pytest
import torch

from draws import generator
from featviz.errors import ConfigError
from featviz.objectives import channel, diversity
from featviz.rendering import render
from featviz.stalling import Stalling
from nets import small_model
from reference import stops_at

CPU = torch.device("cpu")
SETTINGS = {"precision": "float32", "progress": False, "min_delta": 0.05}


def watched(scores, patience, min_delta, groups=None, awake=None):
    b, steps = scores.shape
    stalling = Stalling(
        patience=patience, min_delta=min_delta, groups=groups or list(range(b)), device=CPU
    )
    for step in range(steps):
        mask = None if awake is None else awake[:, step]
        stalling.watch(step + 1, scores[:, step], awake=mask)
    return stalling.stopped_at.tolist()


def curves(b=12, steps=120, noise=0.06):
    """Rising, falling, negative and flat scores, with noise."""
    t = torch.arange(steps)
    speed = torch.linspace(0, 0.2, b)[:, None]
    scale = torch.tensor([100.0, -3.0, 1e-3]).repeat(b)[:b, None]
    clean = scale * (1 - torch.exp(-speed * t)) + scale
    return clean * (1 + noise * torch.randn(b, steps, generator=generator(0)))


@pytest.mark.parametrize("patience", [1, 2, 7, 20])
@pytest.mark.parametrize("min_delta", [0.0, 0.01, 0.3])
def test_the_rule(patience, min_delta):
    scores = curves()
    expected = [stops_at(row.tolist(), patience, min_delta) for row in scores]
    assert watched(scores, patience, min_delta) == expected
    assert any(expected)


def test_noise_does_not_stop_what_rises():
    steps = torch.arange(150)
    noise = 0.06 * torch.randn(40, 150, generator=generator(1))
    rising = (1 + steps / 20) * (1 + noise)
    flat = 5 * (1 + noise)
    assert watched(rising, 30, 0.01) == [0] * 40
    stopped = watched(flat, 30, 0.01)
    assert min(stopped) > 30
    # Taken step by step, the highest of noisy scores is luck.
    assert sum(0 < s < 60 for s in stopped) > 20


def test_steps_asleep_do_not_count():
    scores = curves(3, 60)
    awake = torch.zeros(3, 60, dtype=torch.bool)
    awake[:, 10:] = True
    late = watched(scores, 5, 0.5, awake=awake)
    assert late == [s and s + 10 for s in watched(scores[:, 10:], 5, 0.5)]
    assert watched(scores, 5, 0.5, awake=torch.zeros_like(awake)) == [0, 0, 0]


def test_groups_stop_together():
    scores = torch.ones(4, 40)
    scores[1] = torch.arange(40)  # rises throughout
    scores[3, :10] = torch.arange(10)
    assert watched(scores, 5, 0.0) == [6, 0, 6, stops_at(scores[3].tolist(), 5, 0.0)]
    together = watched(scores, 5, 0.0, groups=[0, 0, 1, 1])
    assert together == [0, 0, *[stops_at(scores[3].tolist(), 5, 0.0)] * 2]


def test_no_number_stops_too():
    assert watched(torch.full((1, 20), torch.nan), 5, 0.01) == [5]


@pytest.mark.parametrize(
    "options",
    [{"patience": 6}, {"patience": 2, "optimiser": "lbfgs"}],
    ids=["adam", "lbfgs"],
)
def test_a_stopped_image_is_that_of_fewer_steps(options):
    model = small_model()
    units = ["late:0", "late:1", "block:3"]
    result = render(model, units, steps=50, **SETTINGS, **options)
    stopped = [entry["stopped_at"] for entry in result.record["images"]]
    assert len(set(stopped)) > 1
    assert all(stopped)
    # The same batch without stopping, so that nothing rounds otherwise.
    on = {**SETTINGS, **options, "patience": None, "thresholds": sorted(set(stopped))}
    going_on = render(model, units, steps=50, **on)
    for k, steps in enumerate(stopped):
        assert result.record["images"][k]["steps_done"] == steps
        assert torch.equal(result.images[k], going_on.frames[steps][k])
        assert torch.equal(result.history[k, :steps], going_on.history[k, :steps])
        assert result.history[k].isfinite().tolist() == [s < steps for s in range(50)]


def test_it_stops_at_the_same_step_in_any_batch():
    model, units = small_model(), ["late:0", "late:1", "block:3"]
    together = render(model, units, steps=40, patience=4, **SETTINGS)
    for k, unit in enumerate(units):
        alone = render(model, unit, steps=40, patience=4, **SETTINGS)
        assert alone.record["images"][0]["stopped_at"] == together.record["images"][k]["stopped_at"]
        # In a batch rounding differs, see test_rendering.py.
        assert torch.allclose(together.images[k], alone.images[0], atol=1e-2)


def test_a_batch_ends_when_all_have_stopped():
    seen = []
    options = {**SETTINGS, "min_delta": 0.5, "patience": 3}
    result = render(
        small_model(), "late:0-1", steps=80, callback=lambda m: seen.append(m.step), **options
    )
    assert max(seen) == max(entry["steps_done"] for entry in result.record["images"]) < 80


def test_images_that_are_compared_stop_together():
    both = channel("late", 0) + 0.1 * diversity("block")
    result = render(small_model(), [both, "late:1"], images=2, steps=60, patience=6, **SETTINGS)
    first, second, third, fourth = (e["stopped_at"] for e in result.record["images"])
    assert first == second
    assert third != fourth
    alone = render(small_model(), "late:1", images=2, steps=60, patience=6, **SETTINGS)
    assert [e["stopped_at"] for e in alone.record["images"]] == [third, fourth]
    shared = render(
        small_model(), "late:1", images=2, steps=60, patience=6, param="shared", **SETTINGS
    )
    first, second = (e["stopped_at"] for e in shared.record["images"])
    assert first == second is not None
    assert torch.equal(shared.history[0].isnan(), shared.history[1].isnan())


def test_without_patience_nothing_changes():
    options = {"steps": 20, "precision": "float32", "progress": False}
    plain = render(small_model(), "late:0-1", **options)
    patient = render(small_model(), "late:0-1", patience=1000, **options)
    assert torch.equal(plain.images, patient.images)
    assert torch.equal(plain.history, patient.history)
    assert "stopped_at" not in plain.record["images"][0]
    assert patient.record["images"][0]["stopped_at"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be a whole number, 1 or more, got 0"),
        ({"min_delta": -0.1}, "min_delta must be 0 or more and below 1, got -0.1"),
        ({"min_delta": float("nan")}, "min_delta must be 0 or more and below 1, got nan"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ConfigError, match=message):
        render(small_model(), "late:0", **options)
