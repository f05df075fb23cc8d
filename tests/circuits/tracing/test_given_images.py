from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from circuits.ablation.edits import parse_edit
from circuits.ablation.effects import unit_effects
from circuits.attribution.contributions import (
    contributions,
    gradient_times_activation,
    integrated_gradients,
)
from circuits.attribution.edge_patching import edge_scores
from circuits.attribution.kernel_scores import activation_scores, pruning_curve
from circuits.attribution.relevance import conditional_relevance
from circuits.expansion.expand import expand
from circuits.graphs.building import build_graph
from circuits.graphs.input_scores import ContributionScore
from circuits.tracing import given_images
from circuits.tracing.given_images import checked_images, record_in_batches
from circuits.tuning.measuring import TuningConfig, measure_tuning
from featviz.errors import CircuitError
from featviz.models import Model, load
from featviz.units import Unit
from nets import seeded


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


def two() -> Model:
    return load(seeded(Two(), 3), mean=(0.4,) * 3, std=(0.5,) * 3, size=16)


@pytest.fixture(scope="module")
def model() -> Model:
    return two()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


ENDS = ("one", "two")
METRIC = Unit("two", 0)
MEASURES: dict[str, Callable[[Model, Tensor], object]] = {
    "identity": lambda m, x: expand(m, *ENDS, images=x).kernel,
    "attribution": lambda m, x: expand(m, *ENDS, gates="attribution", images=x).kernel,
    "attribution, own": lambda m, x: (
        expand(m, *ENDS, units=[1], gates="attribution", images={1: x}).kernel
    ),
    "data_mean": lambda m, x: expand(m, *ENDS, gates="data_mean", images=x).kernel,
    "positive_top": lambda m, x: expand(m, *ENDS, gates="positive_top", images=x).kernel,
    "positive_paths": lambda m, x: expand(m, *ENDS, gates="positive_paths", images=x).kernel,
    "contributions": lambda m, x: contributions(m, *ENDS, 0, x).maps,
    "gradients": lambda m, x: gradient_times_activation(m, *ENDS, 0, x).maps,
    "integrated": lambda m, x: integrated_gradients(m, *ENDS, 0, x, steps=3).maps,
    "edges": lambda m, x: edge_scores(m, *ENDS, METRIC, x).patched,
    "linear edges": lambda m, x: edge_scores(m, *ENDS, METRIC, x, corrupted=x.flip(3)).linear,
    "relevance": lambda m, x: conditional_relevance(m, ENDS, 0, x).maps["one"],
    "activation scores": lambda m, x: activation_scores(m, *ENDS, 0, x),
    "pruning": lambda m, x: torch.tensor(
        pruning_curve(m, *ENDS, 0, x, torch.arange(4.0), [1, 2], draws=1).correlation
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_bad_images_are_told_by_all_that_measures(name: str, model: Model, images: Tensor) -> None:
    measure, broken = MEASURES[name], images.clone()
    broken[2, 1, 0, 0] = float("nan")
    for given, said in (
        (broken, "got NaN or infinity"),
        (images[:0], "no image at all"),
        (images * 255, r"got 0\.\d+ to 25\d"),
        (images - 0.5, r"got -0\.[45]\d* to 0\.[45]\d*: divide 0..255 by 255, and do not normal"),
        (images[:, :2], r"got shape \(5, 2, 16, 16\): 'Two' takes 3 channels"),
    ):
        with pytest.raises(CircuitError, match=said):
            measure(model, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((1, 3, 16, 16)), "got ndarray: convert arrays by torch.from_numpy"),
        ([[1.0]], "got list"),
        (torch.rand(3, 16, 16), r"got one image of shape \(3, 16, 16\): give it as images\[None\]"),
        (torch.rand(16, 16), r"got shape \(16, 16\)"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "got torch.uint8: divide 0..255 by 255"),
        (torch.full((1, 3, 4, 4), float("inf")), "got NaN or infinity"),
    ],
)
def test_what_is_no_batch_of_images_is_told(model: Model, given: object, said: str) -> None:
    with pytest.raises(CircuitError, match=f"^images must be a tensor .n 3 h w. .*{said}"):
        checked_images(model, given)


def test_good_images_are_left_alone(model: Model, images: Tensor) -> None:
    assert checked_images(model, images) is not None
    assert torch.equal(checked_images(model, images), images)
    assert checked_images(model, images.double()).dtype == torch.float64
    assert checked_images(model, images.half()).dtype == torch.float32
    # Resampling overshoots by little; and without a mean to subtract, numbers may be signed.
    checked_images(model, images * 1.0005)
    signed = load(seeded(Two(), 3), mean=(0.0,) * 3, std=(1.0,) * 3, size=16)
    assert torch.equal(checked_images(signed, -images), -images)
    with pytest.raises(CircuitError, match="got -2 to"):
        checked_images(signed, images - 2 - images.amin())


@pytest.mark.parametrize("name", MEASURES)
def test_batches_do_not_change_the_numbers(
    name: str, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(seeded(Two(), 3).double(), size=16)
    whole = MEASURES[name](model, images.double())
    for place in ("contributions", "edge_patching", "kernel_scores", "relevance"):
        monkeypatch.setattr(f"circuits.attribution.{place}.BATCH", 2)
    monkeypatch.setattr(given_images, "BATCH", 2)
    most: list[int] = []
    handle = model.module.register_forward_pre_hook(lambda _, args: most.append(len(args[0])))
    split = MEASURES[name](model, images.double())
    handle.remove()
    torch.testing.assert_close(split, whole)
    attributes = name not in {"identity", "data_mean", "positive_top", "positive_paths"}
    assert max(most, default=0) <= (5 if "attribution" in name or not attributes else 2)


def test_recording_in_batches_is_recording(
    model: Model, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.record(images, ["one", "two"])
    monkeypatch.setattr(given_images, "BATCH", 2)
    found = record_in_batches(model, images, ["one", "two"])
    for site in ENDS:
        torch.testing.assert_close(found[site], whole[site])
    sizes: list[int] = []
    handle = model.module.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    build_graph(model, "two:0", depth=1, sites=["one"], score=ContributionScore(model, images))
    handle.remove()
    assert sizes
    assert max(sizes) == 2


MORE: dict[str, Callable[[Model, Tensor], object]] = {
    "tuning": lambda m, _: measure_tuning(m, "two", [0], config=TuningConfig(angles=6))[0].response,
    "graph": lambda m, x: torch.tensor(
        [
            e.weight
            for e in build_graph(
                m, "two:0", depth=1, score="contribution", sites=["one"], images=x
            ).edges
        ]
    ),
    "effects": lambda m, x: torch.tensor(
        unit_effects(m, [parse_edit("edge one:0->two:0")], "two", [0], x, draws=1)[0][0].correlation
    ),
}


@pytest.mark.parametrize("name", [*MEASURES, *MORE])
def test_modes_of_the_user_change_no_number(name: str, images: Tensor) -> None:
    """A new model each time: what it traced once would hide that it cannot trace."""
    measure = (MEASURES | MORE)[name]
    first, second, third = two(), two(), two()
    expected = measure(first, images)
    with torch.inference_mode():
        torch.testing.assert_close(measure(second, images.clone()), expected, rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(measure(third, images), expected, rtol=0, atol=0)
