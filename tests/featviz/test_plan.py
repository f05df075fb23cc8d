"""What is checked before the first step, and belongs to no other module's tests."""

import pytest

import featviz
from featviz.errors import UnitError
from featviz.objectives import direction, group, interpolation
from featviz.plan import make_plan
from nets import small_model

QUICK = {"steps": 1, "size": 32, "precision": "float32"}


@pytest.mark.parametrize(
    "target",
    [
        "block:1@9,0",
        direction("block", [1.0] * 8, position=(0, 9)),
        group("block", [0], region=(0, 2, 0, 9)),
    ],
    ids=str,
)
def test_a_place_must_be_on_the_map_without_the_margin_too(target):
    """The network sees the margin of pad; the finished image is measured without."""
    model = small_model()
    assert model.site_table((32, 32)).resolve("block").map_size == (8, 8)
    assert model.site_table((48, 48)).resolve("block").map_size == (12, 12)
    with pytest.raises(UnitError, match=r"out of range .* is 8x8 at this image size"):
        featviz.render(model, target, transforms="pad:8", **QUICK)


def test_a_place_on_both_maps_is_taken():
    result = featviz.render(small_model(), "block:1@7,7", transforms="pad:8", **QUICK)
    assert result.score.isfinite().all()


def test_the_same_joint_objective_twice_is_two_groups():
    made = interpolation("late", 0, 2)
    config = featviz.RenderConfig(**QUICK, images=2)
    plan = make_plan(small_model(), [made, made], config)
    assert len(plan.objectives) == 4
    assert plan.together == 2
    alone = featviz.render(small_model(), made, images=2, **QUICK)
    both = featviz.render(small_model(), [made, made], images=2, **QUICK)
    # Labels decide the noise, so each pair is the same as one pair alone.
    for k in range(4):
        assert both.history[k].item() == pytest.approx(alone.history[k % 2].item(), abs=1e-6)
        assert both.score[k].item() == pytest.approx(alone.score[k % 2].item(), abs=1e-6)
