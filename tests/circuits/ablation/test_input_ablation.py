import pytest
import torch
from torch import Tensor, nn

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import InputAblation, Replay, TuningConfig, ablate_inputs
from circuits.ablation.input_ablation import largest_response, summarise_rows
from circuits.ablation.replay import middle_maps
from circuits.angles import angle_between
from circuits.artificial.kernels import LINE_DEG
from circuits.tuning.measuring import grid_for
from featviz.errors import CircuitError


class Sums(nn.Module):
    """Target 0 adds its eight inputs with weights 1, 2, 4, ..., target 1 subtracts them."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Identity(), nn.Conv2d(8, 2, 1, bias=False)
        weights = torch.tensor([2.0**k for k in range(8)])
        self.target.weight.data = torch.stack([weights, -weights])[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.target(self.source(x))


def replay() -> Replay:
    model = featviz.load(Sums(), size=4, channels=8, mean=(0.0,) * 8, std=(1.0,) * 8)
    return Replay(model, "source", "target")


def mean(maps: Tensor) -> float:
    return float(maps.mean())


def test_a_sum_loses_the_terms_left_out() -> None:
    ones = torch.ones(2, 8, 4, 4)
    found = ablate_inputs(replay(), ones, channel=0, inputs=[7, 1], read=mean, draws=30)
    assert found.inputs == (7, 1)
    assert found.intact == 255
    assert found.without == 255 - 128 - 2
    possible = {255 - 2**a - 2**b for a in range(7) for b in range(7) if a != b and 1 not in (a, b)}
    assert {*found.random, *found.matched} <= possible
    assert len(set(found.random)) > 5
    assert found.share_above("random") == found.share_above("matched") == 1
    assert found.share_below("random") == 0
    assert ones.min() == 1  # what was handed over is left alone
    again = ablate_inputs(replay(), ones, channel=0, inputs=[7, 1], read=mean, draws=30)
    assert again == found


def test_vectors_have_inputs_too() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2, bias=False))
    nn.init.ones_(network.get_submodule("2").get_parameter("weight"))
    model = featviz.load(network, size=4, channels=8, mean=(0.0,) * 8, std=(1.0,) * 8)
    ones = torch.ones(2, 8)
    found = ablate_inputs(Replay(model, "1", "2"), ones, channel=0, inputs=[3], read=mean)
    assert (found.intact, found.without, set(found.random)) == (8, 7, {7})


def test_draws_that_cannot_disagree_are_counted() -> None:
    ones = torch.ones(1, 8, 4, 4)
    found = ablate_inputs(replay(), ones, channel=0, inputs=[4, 5, 6, 7], read=mean)
    assert len(found.random) == len(found.matched) == 20
    assert (found.random_sets, found.matched_sets) == (1, 1)
    two = ablate_inputs(replay(), ones, channel=0, inputs=[0, 1, 2], read=mean, draws=200)
    assert two.random_sets == 10  # 5 over 3


def test_controls_fire_and_matched_ones_as_hard() -> None:
    maps = torch.ones(1, 21, 4, 4)
    maps[:, 10:] = torch.arange(1.0, 12.0)[:, None, None] * 100
    maps[:, 20] = 0  # never fires
    target = nn.Conv2d(21, 1, 1, bias=False)
    nn.init.ones_(target.weight)
    network = nn.Sequential(nn.Identity(), target)
    model = featviz.load(network, size=4, channels=21, mean=(0.0,) * 21, std=(1.0,) * 21)
    run = Replay(model, "0", "1")
    found = ablate_inputs(run, maps, channel=0, inputs=[0, 1], read=mean, draws=40)
    # The eight others that fire with 1 are the nearest; the second draw is from those left and one.
    assert all(found.intact - value in (2, 101) for value in found.matched)
    assert any(found.intact - value > 101 for value in found.random)
    assert all(value < found.intact for value in found.random)
    with pytest.raises(CircuitError, match="12 inputs are to be left out, and only 8 others fire"):
        ablate_inputs(run, maps, channel=0, inputs=range(12), read=mean)


def test_an_early_curve_needs_the_lines_along_it() -> None:
    model = featviz.load("artificial_curves")
    grid = grid_for(model, "early_curves", stimulus="curve", config=TuningConfig(angles=24))
    maps = middle_maps(model, "pool", grid, cells=7)
    along = [j for j, deg in enumerate(LINE_DEG) if angle_between(deg, 90, 180) <= 20]
    found = ablate_inputs(
        Replay(model, "pool", "early_curves"),
        maps[0],
        channel=0,
        inputs=along,
        read=largest_response(4),
    )
    assert found.without < 0.4 * found.intact
    assert min(found.random) > 2 * found.without


def test_a_reading_is_that_of_tuning_curves() -> None:
    maps = torch.zeros(4, 9, 9)
    maps[0, 4, 4], maps[1, 3, 5], maps[2, 4, 4], maps[3, 0, 0] = 1.0, 3.0, 3.0, 9.0
    maps -= 0.5
    # Means over two levels of what lies in the middle: 1.5 and 1.25; the corner does not count.
    assert largest_response(2)(maps) == pytest.approx((0.5 + 2.5) / 2)
    assert largest_response(4)(maps) == pytest.approx((0.5 + 2.5 + 2.5 + 0) / 4)


def test_rows_and_their_summary() -> None:
    one = InputAblation((1, 2), 10.0, 2.0, (4.0, 1.0, 5.0, 6.0), (3.0, 3.0, 3.0, 3.0), 4, 1)
    row = one.row(per=10.0)
    assert row["inputs"] == [1, 2]
    assert (row["intact"], row["without"], row["random"], row["matched"]) == (1.0, 0.2, 0.4, 0.3)
    assert (row["random_above"], row["random_below"], row["matched_above"]) == (0.75, 0.25, 1.0)
    other = InputAblation((1,), 10.0, 4.0, (5.0,), (2.0,), 1, 1).row(per=10.0)
    found = summarise_rows([row, other], side="above")
    assert found["units"] == 2
    assert found["inputs"] == 1.5
    assert (row["random_sets"], found["fewest_random_sets"], found["fewest_matched_sets"]) == (
        4,
        1,
        1,
    )
    assert found["without"] == pytest.approx(0.3)
    assert (found["beyond_100%_of_random"], found["beyond_100%_of_matched"]) == (1, 1)
    assert summarise_rows([other], side="below")["beyond_100%_of_matched"] == 1


def test_what_does_not_fit() -> None:
    ones = torch.ones(1, 8, 4, 4)
    for inputs in ([], [0, 0], [8], [-1]):
        with pytest.raises(CircuitError, match="must be some of the channels 0 to 7, each once"):
            ablate_inputs(replay(), ones, channel=0, inputs=inputs, read=mean)
    with pytest.raises(CircuitError, match="draws must be 1 or more, got 0"):
        ablate_inputs(replay(), ones, channel=0, inputs=[0], read=mean, draws=0)
    found = InputAblation((1,), 1.0, 1.0, (1.0,), (1.0,), 1, 1)
    with pytest.raises(CircuitError, match="unknown control 'x'; choose one of random, matched"):
        found.share_above("x")
    with pytest.raises(CircuitError, match="0 rows, side 'above'; give one row at least"):
        summarise_rows([], side="above")


def test_too_few_other_inputs_that_fire_are_no_control() -> None:
    some = torch.ones(1, 8, 4, 4)
    some[:, 5:] = 0
    with pytest.raises(
        CircuitError,
        match="3 inputs are to be left out, and only 2 others fire on these pictures, too few for "
        "a control; leave out fewer",
    ):
        ablate_inputs(replay(), some, channel=0, inputs=[0, 1, 2], read=mean)
    found = ablate_inputs(replay(), some, channel=0, inputs=[0, 1], read=mean)
    assert found.random_sets == 3  # 2 of the 3 others that fire
