"""What lessons compute, against closed forms, formulas, and the functions of circuits."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import circuits
import featviz
from app.lessons import (
    composing,
    curves,
    learned_curve,
    photographs,
    symmetry,
    turning,
    units,
)
from app.lessons.shelf import numbers
from circuits.artificial.kernels import CURVE_DEG, arcs
from circuits.stimuli.strokes import arcs as draw_arcs
from featviz.errors import ModelError
from featviz.images import to_picture
from featviz.models import Model


@pytest.fixture(scope="module")
def built() -> Model:
    return featviz.load("artificial_curves")


# ---- curves ------------------------------------------------------------------------------------


def test_answers_are_one_radius_of_the_tuning_and_belong_to_the_drawings(built: Model) -> None:
    found = curves.answer_curves(built, "arcs:6", 40)
    config = circuits.TuningConfig(levels=(25.0, 40.0))
    (curve,) = circuits.measure_tuning(built, "arcs", [6], config=config)
    assert found.angles_deg == tuple(curve.angles_deg.tolist()) == tuple(range(0, 360, 5))
    assert found.response == pytest.approx(curve.surface[:, 1].tolist())
    best = max(range(72), key=found.response.__getitem__)
    assert abs(found.angles_deg[best] - CURVE_DEG[6]) <= 15
    assert min(found.response[(best + 36 + k) % 72] for k in range(-2, 3)) == 0
    drawing = found.drawings[18]
    size = (drawing.height, drawing.width)
    scale = circuits.tuning.measuring.grid_for(
        built, "arcs", stimulus="curve", config=config
    ).scale_px
    smile = draw_arcs(torch.tensor([90.0]), size=size, radius_px=40.0, half_length_px=0.72 * scale)
    assert np.array_equal(np.array(drawing), np.array(to_picture(smile[0])))


def test_tuning_is_that_of_circuits(built: Model) -> None:
    found = curves.describe_tuning(built, "arcs:3")
    (curve,) = circuits.measure_tuning(built, "arcs", [3])
    assert (found.preferred_deg, found.fwhm_deg, found.echo) == (
        curve.mean_deg,
        curve.fwhm_deg,
        curve.echo,
    )
    assert found.response == tuple(curve.response.tolist())


def test_the_middle_of_a_hill_stays_where_its_highest_point_jumps(built: Model) -> None:
    found = numbers("radii")["arcs:6"]
    assert found["radii_px"] == list(curves.RADII_PX)
    for at in (0, -1):
        answers = curves.answer_curves(built, "arcs:6", found["radii_px"][at])
        assert answers.highest_deg == found["highest_deg"][at]
        assert answers.middle_deg == pytest.approx(found["middle_deg"][at], abs=0.01)
    for unit, jumps in (("arcs:6", 40), ("fire5:38", 65)):  # what the lesson says in words
        each = numbers("radii")[unit]
        assert max(each["highest_deg"]) - min(each["highest_deg"]) == jumps
        assert max(each["middle_deg"]) - min(each["middle_deg"]) < 3


def test_the_width_of_the_answers_is_counted_between_half_heights(built: Model) -> None:
    found = curves.answer_curves(built, "arcs:6", 40)
    above = sum(value > max(found.response) / 2 for value in found.response)
    assert abs(found.fwhm_deg - 5 * above) <= 15
    assert found.response[round(found.highest_deg / 5)] == max(found.response)


# ---- composing ---------------------------------------------------------------------------------


def test_the_echo_comes_back_without_negative_weights(built: Model) -> None:
    before = built.module.arcs.conv.weight.detach().clone()
    found = composing.measure_effect(built, "arcs:6")
    assert torch.equal(built.module.arcs.conv.weight, before)
    assert (round(found.echo_before, 2), round(found.echo_after, 2)) == (0.0, 0.59)  # README
    with torch.no_grad():
        built.module.arcs.conv.weight[6].clamp_(min=0)
        try:
            (cut,) = circuits.measure_tuning(built, "arcs", [6])
        finally:
            built.module.arcs.conv.weight.copy_(before)
    assert found.after == pytest.approx(cut.response.tolist())


def test_sums_of_inputs_follow_the_formula(built: Model) -> None:
    kernel = arcs()[4, :24]
    found = composing.sum_inputs(built, 4)
    assert [row[0] for row in found] == list(CURVE_DEG)
    assert [row[1] for row in found] == pytest.approx(kernel.clip(min=0).sum((1, 2)), abs=1e-5)
    assert [row[2] for row in found] == pytest.approx(kernel.clip(max=0).sum((1, 2)), abs=1e-5)


def test_inputs_are_listed_by_weight_with_their_turn_from_the_unit(built: Model) -> None:
    found = learned_curve.list_inputs(built, "arcs:6", "early_curves")
    sums = arcs()[6, :24].sum((1, 2))
    assert [row[2] for row in found] == pytest.approx([sums[row[0]] for row in found], abs=1e-4)
    assert [abs(row[2]) for row in found] == sorted((abs(row[2]) for row in found), reverse=True)
    for channel, off, _ in found:
        true = (CURVE_DEG[channel] - CURVE_DEG[6] + 180) % 360 - 180
        assert -180 <= off < 180
        assert abs((off - true + 180) % 360 - 180) <= 45
    strongest = max(found, key=lambda row: row[2]), min(found, key=lambda row: row[2])
    assert abs(strongest[0][1]) <= 30
    assert abs(strongest[1][1]) >= 150
    (drawn,) = learned_curve.shuffle_inputs(built, "arcs:6", "early_curves", found, draws=1)
    assert {row[:2] for row in drawn} == {row[:2] for row in found}
    assert [row[2] for row in drawn] != pytest.approx([row[2] for row in found], abs=1e-2)


def test_inputs_are_counted_by_side_and_sign() -> None:
    rows = [(0, 0.0, 2.0), (1, -45.0, -1.0), (2, 135.0, -1.0), (3, -180.0, 1.0), (4, 46.0, -3.0)]
    assert learned_curve.count_inputs(rows) == {
        "like": 2,
        "like_excite": 1,
        "opposite": 2,
        "opposite_inhibit": 1,
        "between": 1,
        "between_inhibit": 1,
        "follow": 2,
    }


def test_echoes_of_a_family_are_those_of_each_unit_beside_its_own_chance(built: Model) -> None:
    found = learned_curve.measure_echoes(built, "arcs", [3, 6], draws=2)
    one = composing.measure_effect(built, "arcs:6")
    assert found["units"] == [3, 6]
    assert (found["before"][1], found["after"][1]) == (one.echo_before, one.echo_after)
    assert [len(row) for row in found["random"]] == [2, 2]


def test_medians_of_echoes_leave_out_units_that_fell_silent() -> None:
    found = {
        "units": [1, 2, 3],
        "before": [0.0, 0.1, 0.2],
        "after": [0.9, 0.5, 0.7],
        "random": [[0.1, 0.6, None], [0.2, 0.6, 0.4]],
    }
    assert learned_curve.family_medians(found) == {
        "as it is": 0.1,
        "random weights": pytest.approx(0.375),
        "largest random": 0.4,
        "without negative weights": 0.7,
        "beyond": 2,
    }


def test_the_echo_of_the_arcs_is_handed_on_by_the_early_curves(built: Model) -> None:
    found = learned_curve.list_echoes(built, "early_curves")["echo"]
    assert numbers("early")["echo"] == pytest.approx(found, abs=1e-3)
    assert all(0.55 < echo < 0.65 for echo in found)


# ---- trust -------------------------------------------------------------------------------------


class Two(nn.Module):
    """Two classes; the second is for what the first is against."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = (x * self.weight[:, None, None]).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


@pytest.mark.parametrize("target", [0, 1])
def test_noise_for_a_linear_network_is_the_sign_of_its_weights(target: int) -> None:
    model = featviz.load(Two(), mean=0.0, std=1.0, size=8)
    image = torch.full((1, 3, 8, 8), 0.5)
    image[..., 0] = 0.999
    found = photographs.add_noise(model, image, target, reach=0.01)
    sign = torch.tensor([1.0, -1.0, 1.0])[:, None, None] * (1 if target == 0 else -1)
    assert torch.allclose(found, (image + 0.01 * sign).clamp(0, 1), atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(photographs.add_noise(model, image, target, reach=0.0), image)


def test_where_a_unit_fires_is_shown_and_cut_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU())
    nn.init.constant_(network[0].weight, 1 / 3)
    model = featviz.load(network, mean=0.0, std=1.0, size=48)
    picture = Image.new("RGB", (48, 48), (10, 10, 10))
    picture.paste((255, 255, 255), (36, 6, 40, 10))
    found = photographs.answer_photograph(model, picture, "1", 0)
    assert found.largest == pytest.approx(1.0)
    assert found.crop.size == (16, 16)
    assert np.array(found.crop).max() == 255
    lit = np.array(found.lit)[..., 0].astype(int)
    assert lit[7:9, 37:39].min() > 200  # where it fires, as it was
    assert lit[30, 10] <= 3  # elsewhere dark


def test_what_is_classified_is_the_picture_that_is_shown() -> None:
    found = photographs.nudge("chelsea", 1)
    model = featviz.load("squeezenet1_1")
    with torch.no_grad():
        likely = model(photographs.to_image(found.picture)).softmax(1)[0]
    assert float(likely[954]) == pytest.approx(found.target, abs=1e-5)


def test_little_noise_makes_a_banana_of_a_cat() -> None:
    before, after = photographs.nudge("chelsea", 0), photographs.nudge("chelsea", 2)
    assert "cat" in before.guesses[0][0]
    assert before.target < 0.01
    assert after.guesses[0][0] == "banana"
    assert after.target == after.guesses[0][1] > 0.9
    change = np.array(after.picture).astype(int) - np.array(before.picture).astype(int)
    assert 0 < np.abs(change).max() <= 2
    assert np.unique(np.array(before.noise)).tolist() == [128]


# ---- turning -----------------------------------------------------------------------------------


def test_a_quarter_turn_of_a_kernel_is_the_kernel_between_turned_units(built: Model) -> None:
    wiring = symmetry.wire_by_hand(built)
    formula = torch.from_numpy(arcs()[:, :24]).float()
    assert torch.allclose(wiring.kernel.float(), formula, atol=1e-6)
    kernel, turned, actual, alike = turning.turned_kernels(wiring, 2, 60, 90)
    assert torch.equal(kernel, wiring.kernel[2, 6])
    assert torch.equal(turned, torch.rot90(kernel, -1))
    assert torch.equal(actual, wiring.kernel[8, 12])
    assert alike == pytest.approx(1.0, abs=1e-6)
    assert turning.turned_kernels(wiring, 2, 60, 0)[3] == pytest.approx(1.0)


def test_scores_of_the_family_are_those_of_circuits(built: Model) -> None:
    wiring = symmetry.wire_by_hand(built)
    wanted = circuits.equivariance_score(wiring.kernel, CURVE_DEG, CURVE_DEG)
    assert turning.score("wired by hand", 90) == {
        "score": wanted.score,
        "unrotated": wanted.unrotated,
        "wrong": wanted.wrong_direction,
        "random": max(wanted.shuffled_channels),
        "pairs": wanted.pairs,
    }
    assert wanted.score == pytest.approx(1.0)


# ---- units ---------------------------------------------------------------------------


def test_votes_are_the_largest_weights_of_the_classifier(built: Model) -> None:
    model = featviz.load("squeezenet1_1")
    weight = dict(model.module.named_parameters())["classifier.1.weight"][:, 441, 0, 0]
    found = units.list_votes(model, "fire9:441", count=3)
    labels = model.spec.labels()
    assert [name for name, _ in found] == [labels[k] for k in weight.topk(3).indices.tolist()]
    assert [value for _, value in found] == pytest.approx(weight.topk(3).values.tolist())
    with pytest.raises(ModelError, match="'artificial_curves' does not name its classes"):
        units.list_votes(built, "arcs:0")
