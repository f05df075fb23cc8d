"""Many selections at once give what one alone does."""

import pytest
import torch

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.graphs import silencing as module
from circuits.graphs.check import probe_images
from circuits.graphs.probe import Probe
from circuits.graphs.silencing import Silencing
from featviz.errors import SiteError, UnitError
from featviz.models import Model

SELECTIONS = ({}, {0: [1, 5]}, {0: [0, 2], 1: [3]}, {1: [7, 2]})


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


def hooks(model: Model) -> list[int]:
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules()]


@pytest.mark.parametrize("ablation", ["zero", "mean"])
@pytest.mark.parametrize(
    "sites",
    [("early_curves", "early_lines"), ("phases", "early_curves"), ("lines/0:9", "lines/9:18")],
)
def test_a_tail_gives_what_the_whole_network_does(
    curves: Model, sites: tuple[str, ...], ablation: str
) -> None:
    images = probe_images(curves, "arcs")[::3]  # more than one batch
    probe = Probe(curves, "arcs:6,2", images, region="center", ablation=ablation)
    before = hooks(curves)
    silencing = Silencing(probe, sites)
    for selection in SELECTIONS:
        kept = {site: selection.get(k, []) for k, site in enumerate(sites)}
        some = {site: channels for site, channels in kept.items() if channels}
        assert torch.allclose(silencing(some), probe.response(kept), atol=1e-5)
    assert silencing._start is not None
    assert torch.equal(silencing.full, probe.response())
    assert hooks(curves) == before


def test_the_modules_of_squeezenet_too() -> None:
    model = featviz.load("squeezenet1_1", weights="random")
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    probe = Probe(model, "fire5:38", images)
    for sites in (["fire3", "fire4"], ["fire4"]):
        silencing = Silencing(probe, sites)
        kept = {site: [3, 100, 7] for site in sites}
        assert torch.allclose(silencing(kept), probe.response(kept), atol=1e-5)
        assert silencing._start is not None
        assert silencing._start[0].source == sites[0]


def test_a_selection_runs_once(curves: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(curves, "arcs:6", probe_images(curves, "arcs")[::16], region="center")
    silencing = Silencing(probe, ["early_curves"])
    first = silencing({"early_curves": [6, 7]})
    monkeypatch.setattr(module, "keep_only", None)
    assert silencing({"early_curves": [7, 6]}) is first


def test_without_room_for_activations_it_runs_from_the_image(
    curves: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 0)
    probe = Probe(curves, "arcs:6", probe_images(curves, "arcs")[::16], region="center")
    silencing = Silencing(probe, ["early_curves"])
    kept = {"early_curves": [6, 7]}
    assert torch.equal(silencing(kept), probe.response(kept))
    assert silencing._start is None


def test_sites_and_units_that_do_not_exist_are_refused(curves: Model) -> None:
    probe = Probe(curves, "arcs:6", probe_images(curves, "arcs")[::16])
    with pytest.raises(SiteError, match="did you mean 'lines'"):
        Silencing(probe, ["line"])({})
    before = hooks(curves)
    with pytest.raises(UnitError, match="channel 99 is out of range"):
        Silencing(probe, ["lines"])({"lines": [99]})
    assert hooks(curves) == before
