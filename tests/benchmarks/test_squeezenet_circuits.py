import pytest
import torch

import circuits
import circuits.artificial.model
import featviz
from benchmarks.orientation_reading import Units, correlate, read_by
from benchmarks.squeezenet_circuits import Tail
from circuits import TuningConfig
from circuits.tracing.opgraph import record_between


def test_structure_that_is_known_is_found() -> None:
    model = featviz.load("artificial_curves")
    units, sources = Units(model, "arcs"), Units(model, "early_curves")
    assert len(units.curves) == 24
    sources.curves = list(range(24))  # their echo is .6, so they are not curve-like alone
    sums = circuits.expand(model, "early_curves", "arcs").strength("sum")
    angles = [units.curve[c].mean_deg for c in range(24)]
    first = next(iter(correlate("known", "identity", sums, angles, sources, 100)))
    assert first.pair == "curve->curve"
    assert first.correlation > 0.9
    assert abs(first.shuffled_mean) < 0.1


def test_a_module_alone_answers_as_in_the_network() -> None:
    model = featviz.load("squeezenet1_1")
    tail = Tail(model, "fire3", "fire4")
    config = TuningConfig(angles=24)
    whole = circuits.measure_tuning(model, "fire4", [141, 200], config=config)
    for own, other in zip(tail.tuning([141, 200], []), whole, strict=True):
        assert torch.allclose(own.response, other.response, rtol=1e-4, atol=1e-5)
    share, _ = tail.left(whole[0], [])
    assert share == pytest.approx(1, rel=1e-4)
    without = tail.tuning([141], range(128))[0].response
    assert float(without.max() - without.min()) < 1e-6  # only biases are left, whatever is shown


def test_gradients_are_those_of_the_places_read() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 2, 3, bias=False))
    model = featviz.load(network.requires_grad_(False), size=16)
    graph = record_between(model, "0", "1")
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    gradients, products = read_by(model, graph, [0, 1], images, middle=True)
    assert torch.allclose(gradients, network[1].weight.sum((2, 3)), atol=1e-6)
    best = model.record(images, ["1"])["1"][:, :, 6:9, 6:9].amax((2, 3)).mean(0)
    assert torch.allclose(products.sum(1), best, atol=1e-5)
