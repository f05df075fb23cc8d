"""Whether circuits do what their units do: against the definitions, written out slowly."""

import statistics

import pytest
import torch

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.graphs.faithfulness import Faithfulness, measure_faithfulness, random_selections
from circuits.graphs.probe import Probe
from circuits.stimuli import strokes
from featviz.errors import CircuitError
from featviz.models import Model


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def probe(curves: Model) -> Probe:
    images = strokes.arcs(torch.arange(12) * 30.0, size=(96, 96), radius_px=28, half_length_px=28)
    return Probe(curves, "arcs:6", images, region="center")


def test_faithfulness_of_all_and_of_none(probe: Probe) -> None:
    whole = measure_faithfulness(
        probe, {"early_curves": range(24), "early_lines": range(18)}, draws=0
    )
    assert whole.faithfulness == pytest.approx(1)
    assert whole.incompleteness == 0
    # Lines weigh nothing in the formula, so each can be left out.
    assert all(loss < 1e-6 for name, loss in whole.minimality.items() if "lines" in name)
    assert whole.minimality["early_curves:6"] > 0.1
    none = measure_faithfulness(probe, {"early_curves": []}, minimality=False, draws=0)
    assert none.faithfulness == 0
    assert none.incompleteness == pytest.approx(1)
    assert none.minimality == {}
    assert none.median_minimality is None
    with pytest.raises(CircuitError, match="does the same with and without early_lines"):
        measure_faithfulness(probe, {"early_lines": []})


def test_numbers_and_their_baselines_are_what_they_say(probe: Probe) -> None:
    circuit = {"early_curves": [6, 18, 7], "lines": [3, 4]}
    found = measure_faithfulness(probe, circuit, draws=3, seed=2)
    generator = torch.Generator().manual_seed(2)
    selections = list(random_selections(probe.model, circuit, 3, generator))
    widths = {"early_curves": 24, "lines": 18}

    def m(kept: dict[str, list[int]] | None) -> float:
        return float(probe.response(kept).double().mean())

    nothing, network = m({"early_curves": [], "lines": []}), m(None)

    def share(kept: dict[str, list[int]]) -> float:
        return (m(kept) - nothing) / (network - nothing)

    def rest(kept: dict[str, list[int]]) -> dict[str, list[int]]:
        return {s: [c for c in range(widths[s]) if c not in kept[s]] for s in kept}

    def losses(kept: dict[str, list[int]]) -> dict[str, float]:
        return {
            f"{site}:{c}": abs(
                share(kept) - share({**kept, site: [x for x in kept[site] if x != c]})
            )
            for site in kept
            for c in kept[site]
        }

    assert found.faithfulness == pytest.approx(share(circuit), abs=1e-6)
    assert found.incompleteness == pytest.approx(share(rest(circuit)), abs=1e-6)
    assert found.minimality == pytest.approx(losses(circuit), abs=1e-6)
    assert found.median_minimality == statistics.median(found.minimality.values())
    for some in selections:
        assert {site: len(set(some[site])) for site in some} == {"early_curves": 3, "lines": 2}
    assert found.random_faithfulness == pytest.approx([share(s) for s in selections], abs=1e-6)
    assert found.random_incompleteness == pytest.approx(
        [share(rest(s)) for s in selections], abs=1e-6
    )
    for loss, some in zip(found.random_minimality, selections, strict=True):
        assert any(loss == pytest.approx(one, abs=1e-6) for one in losses(some).values())


def test_a_good_circuit_is_better_than_chance_and_a_random_one_is_not(probe: Probe) -> None:
    # What the formula wires: like orientation excites, the opposite one inhibits.
    wired = {"early_curves": [4, 5, 6, 7, 8, 16, 17, 18, 19, 20]}
    good = measure_faithfulness(probe, wired, draws=19, seed=0).verdicts
    assert list(good) == ["faithfulness", "incompleteness", "minimality"]
    assert good["faithfulness"].better
    drawn = {"early_curves": [0, 1, 3, 9, 11, 12, 14, 15, 21, 23]}
    bad = measure_faithfulness(probe, drawn, draws=19, seed=0).verdicts
    assert [verdict.better for verdict in bad.values()] == [False, False, False]


def test_verdicts_of_numbers_look_at_what_each_should_be() -> None:
    some = tuple(0.1 * k for k in range(1, 20))
    found = Faithfulness(1.05, 0.05, {"a:0": 5.0, "a:1": 0.3, "a:2": 0.0}, some, some, some)
    beaten = {name: verdict.beaten for name, verdict in found.verdicts.items()}
    # Of .1 to 1.9, 1.0 alone is nearer to 1; all are further from 0; .1 and .2 are below .3.
    assert beaten == {"faithfulness": 18, "incompleteness": 19, "minimality": 2}
