"""What the lessons tell: the stored numbers against what is shown, and words against numbers."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import featviz
from app.lessons import composing, learned_curve, make_assets, noise, photographs, symmetry, turning
from app.lessons.shelf import numbers, read_strip
from circuits.artificial.kernels import CURVE_DEG, arcs
from featviz.metrics import high_frequency_share
from featviz.models import Model


def shown(strip: str) -> torch.Tensor:
    """The pictures of a strip as they are shown, as a batch."""
    return torch.cat([photographs.to_image(picture) for picture in read_strip(strip)])


def scores(model: Model, strip: str, units: list[str]) -> list[float]:
    """The mean activation of a unit in each picture of a strip."""
    found = []
    for unit, image in zip(units, shown(strip), strict=True):
        site, _, channel = unit.rpartition(":")
        found.append(float(model.record(image[None], [site])[site][0, int(channel)].mean()))
    return found


def test_the_rule_of_the_inputs_is_told_beside_shuffled_networks_and_with_its_gaps() -> None:
    found = numbers("learned")
    strongest = learned_curve.count_inputs(found["inputs"][:20])
    assert sum(strongest[key] for key in ("like", "opposite", "between")) == 20
    assert strongest["follow"] > max(found["shuffled_follow"]["20"])
    assert strongest["between_inhibit"] == strongest["between"] == 5
    # What the lesson says of them: the hand-built network has next to nothing there.
    sums = arcs()[6, :24].sum((1, 2))
    between = [abs(sums[k]) for k in range(24) if 45 < abs((CURVE_DEG[k] - 270) % 360 - 180) < 135]
    assert max(between) < 0.2 * abs(sums).max()
    many = learned_curve.count_inputs(found["inputs"][:120])
    assert many["opposite_inhibit"] / many["opposite"] < 0.6 < many["like_excite"] / many["like"]


def test_the_family_shows_the_echo_that_one_unit_does_not_prove() -> None:
    found = learned_curve.family_medians(numbers("chance")["all"])
    assert found["without negative weights"] > 2 * found["largest random"]
    (one,) = numbers("chance")["one"]["after"]
    drawn = learned_curve.told(row[0] for row in numbers("chance")["one"]["random"])
    assert (len(drawn), sum(echo >= one for echo in drawn)) == (33, 10)
    model = featviz.load("squeezenet1_1")
    assert composing.measure_effect(model, "fire5:38").echo_after == pytest.approx(one, abs=1e-3)


def test_the_unit_fires_for_a_cat_hardly_more_than_for_a_rocket() -> None:
    found = {name: photographs.answer(name).largest for name in numbers("photographs")["names"]}
    order = sorted(found, key=found.__getitem__, reverse=True)
    assert order == ["coffee", "astronaut", "chelsea", "rocket"]
    assert found["chelsea"] < 1.2 * found["rocket"]
    assert found["astronaut"] > 1.5 * found["chelsea"]


def test_the_trained_family_is_tuned_and_told_as_measured() -> None:
    model = featviz.load("squeezenet1_1")
    for name, wiring in zip(("trained", "shuffled"), symmetry.wire_trained(model), strict=True):
        assert wiring.target_deg == tuple(sorted(wiring.target_deg))
        assert wiring.kernel.shape[:2] == (len(wiring.target_deg), len(wiring.source_deg))
        measured = symmetry.score_turn(wiring, 90, measured=True)
        assert turning.score(name, 90) == pytest.approx(measured, abs=1e-3)
        for told, row in zip(turning.profile(name), symmetry.profile_rows(wiring), strict=True):
            assert told == pytest.approx(row, abs=1e-2)


def test_the_words_on_the_trained_family_hold() -> None:
    quarter = turning.score("trained", 90)
    assert quarter["score"] > max(quarter["unrotated"], quarter["wrong"], quarter["random"])
    for turn in (45, 180):  # "there the turn adds nothing"
        found = turning.score("trained", turn)
        assert abs(found["score"] - found["unrotated"]) < 0.01
    first, *_, last = turning.profile("trained")
    assert first["mean"] > first["chance_high"]
    assert last["mean"] < last["chance_low"]
    assert max(abs(row["mean"]) for row in turning.profile("shuffled")) < 0.15 * first["mean"]


def test_measures_are_those_of_the_finished_pictures() -> None:
    found = numbers("noise")
    score = noise.measure("score")
    assert score == {way: found[way]["score"][-1] for way in noise.WAYS}
    assert noise.measure("fine detail")["fourier-moved"] == pytest.approx(
        100 * found["fourier-moved"]["high"][-1]
    )
    left = noise.measure("left after new moves")
    assert left["pixels-still"] == pytest.approx(
        100 * found["pixels-still"]["robust_mean"] / score["pixels-still"], rel=1e-3
    )
    # What the lesson says in words: who wins, and what moves and waves do, each on its own.
    assert max(score, key=score.__getitem__) == "pixels-still"
    assert max(left, key=left.__getitem__) == "fourier-moved"
    fine = noise.measure("fine detail")
    for way in ("pixels", "fourier"):
        assert left[f"{way}-moved"] > 5 * left[f"{way}-still"]
        assert fine[f"{way}-moved"] < 0.6 * fine[f"{way}-still"]
    for moves in ("still", "moved"):
        assert left[f"pixels-{moves}"] < left[f"fourier-{moves}"] < 3 * left[f"pixels-{moves}"]
        assert fine[f"fourier-{moves}"] < 0.5 * fine[f"pixels-{moves}"]


def test_numbers_are_those_of_the_pictures_that_are_shown() -> None:
    model = featviz.load("squeezenet1_1")
    found = numbers("noise")
    assert found["unit"] == "{}:{}".format(*make_assets.UNIT)
    for way in noise.WAYS:
        told = found[way]["score"]
        assert scores(model, f"noise-{way}", [found["unit"]] * len(told)) == pytest.approx(
            told, rel=1e-3, abs=1e-3
        )
        last = shown(f"noise-{way}")[-1:]
        assert found[way]["high"][-1] == pytest.approx(
            float(high_frequency_share(last)[0]), rel=1e-3
        )
    for unit, told in numbers("sets").items():
        units_of = [unit] * len(told["score"])
        assert scores(model, f"set-{unit.replace(':', '-')}", units_of) == pytest.approx(
            told["score"], rel=1e-3
        )
    compared = numbers("compared")
    assert compared["units"] == list(make_assets.COMPARED)
    assert scores(model, "compared-trained", compared["units"]) == pytest.approx(
        compared["trained"]["score"], rel=1e-3
    )
    mixed = numbers("mixed")
    for k, unit in enumerate(mixed["units"]):
        told = [row[k] for row in mixed["responses"]]
        assert scores(model, "mixed", [unit] * len(told)) == pytest.approx(told, rel=1e-3)
    silent = numbers("silent")
    for way in ("plain", "redirected"):
        assert scores(model, f"silent-{way}", silent["units"]) == pytest.approx(
            silent[way]["score"], rel=1e-3
        )
    objectives = numbers("objectives")
    site, _, unit = make_assets.MIXED
    assert scores(model, "objectives", [f"{site}:{unit}"] * 3) == pytest.approx(
        objectives["mean"], rel=1e-3
    )


def test_trained_pictures_have_a_steeper_spectrum_than_others() -> None:
    slope = {name: numbers("compared")[name]["slope"] for name in ("trained", "shuffled", "random")}
    assert max(slope["trained"]) < min(slope["shuffled"] + slope["random"])


def test_each_figure_can_be_made_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_assets, "SIDE", 48)
    monkeypatch.setattr(make_assets, "STEPS", 2)
    given = tmp_path / "given"
    given.mkdir()
    for name in make_assets.PHOTOGRAPHS:
        Image.new("RGB", (64, 48), "orange").save(given / name)
    (tmp_path / "numbers.json").write_text('{"kept": 1}')
    make_assets.main(
        ["--photographs", str(given), "-o", str(tmp_path), "--only", "objectives", "photographs"]
    )
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert list(found) == ["kept", "objectives", "photographs"]
    assert found["photographs"] == numbers("photographs")
    assert sorted(file.name for file in tmp_path.glob("*.webp")) == [
        "objectives.webp",
        "photographs.webp",
    ]
