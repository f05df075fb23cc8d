from dataclasses import replace

import pytest
import torch
from circuit_graphs import small_graph

import featviz
from circuits.ablation.keeping import channel_means, keep_only
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.controls import shuffled, with_random_weights
from circuits.expansion.raw_weights import raw_weights
from circuits.graphs.building import build_graph
from circuits.graphs.check import check_circuit, probe_images
from circuits.graphs.check_report import check_document, check_rows, check_text
from circuits.graphs.graph import CircuitGraph
from circuits.graphs.held_out import hold_out
from circuits.graphs.input_scores import ContributionScore
from circuits.graphs.preservation import preservation_curve
from circuits.graphs.probe import Probe, count_units, pearson, units_text
from circuits.stimuli import strokes
from featviz.errors import CircuitError, SiteError, UnitError
from featviz.models import Model
from featviz.units import parse_units
from nets import small_net


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def probe(curves: Model) -> Probe:
    images = strokes.arcs(torch.arange(24) * 15.0, size=(96, 96), radius_px=28, half_length_px=28)
    return Probe(curves, "arcs:6", images, region="center")


@pytest.fixture(scope="module")
def small(curves: Model) -> Probe:
    return Probe(curves, "arcs:6", probe_images(curves, "arcs")[::8], region="center")


def ranked(probe: Probe) -> list[str]:
    weights = raw_weights(probe.model, "early_curves", "arcs", units=[6])
    scores = ContributionScore(probe.model, probe.images)(weights)[0].abs()
    return [f"early_curves:{c}" for c in scores.argsort(descending=True).tolist()]


def test_the_best_units_preserve_a_curve_and_random_ones_do_not(probe: Probe) -> None:
    points = preservation_curve(probe, ranked(probe), keeps=[4, 8, 12, 24], draws=6)
    assert [point.kept for point in points] == [4, 8, 12, 24]
    assert points[-1].correlation == pytest.approx(1)
    for point, least in zip(points, (0.85, 0.9, 0.95), strict=False):
        assert point.correlation > least
        assert point.correlation > point.random_mean + 0.3


def test_weight_norms_alone_kill_the_curve_with_few_units(probe: Probe) -> None:
    # The published pruning table: of the four strongest weights, three inhibit.
    weights = raw_weights(probe.model, "early_curves", "arcs", units=[6])
    ranking = [f"early_curves:{c}" for c, _ in weights.top(6, count=24)]
    point = preservation_curve(probe, ranking, keeps=[4], draws=1)[0]
    assert point.correlation != point.correlation
    assert point.mean_ratio == 0


def test_by_default_counts_double(probe: Probe) -> None:
    points = preservation_curve(probe, ranked(probe)[:6], draws=0)
    assert [point.kept for point in points] == [1, 2, 4, 6]


def test_silenced_units_are_0_or_their_mean_and_all_is_restored(curves: Model) -> None:
    model = featviz.load("squeezenet1_1", weights="random")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules()]
    with torch.no_grad():
        before = model.record(images, ["fire2"])["fire2"]
        # Units of both branches of a fire module.
        with keep_only(model, {"fire2": [3, 100]}):
            cut = model.record(images, ["fire2"])["fire2"]
        means = channel_means(model, images, ["fire2"])
        with keep_only(model, {"fire2": []}, fill=means):
            filled = model.record(images, ["fire2"])["fire2"]
        with pytest.raises(SiteError), keep_only(model, {"fire2": []}):
            model.record(images, ["fire22"])
        after = model.record(images, ["fire2"])["fire2"]
    expected = torch.zeros_like(before)
    expected[:, [3, 100]] = before[:, [3, 100]]
    assert torch.equal(cut, expected)
    assert torch.equal(filled, means["fire2"].view(1, -1, 1, 1).expand_as(before))
    assert torch.allclose(means["fire2"], before.mean((0, 2, 3)))
    assert torch.equal(after, before)
    assert hooks == [
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.module.modules()
    ]
    with keep_only(curves, {"lines/0:9": [0], "lines/9:18": [8]}), torch.no_grad():
        lines = curves.record(images, ["lines"])["lines"]
    assert set(lines.abs().sum((0, 2, 3)).nonzero().flatten().tolist()) <= {0, 17}
    with (
        pytest.raises(CircuitError, match="is a pre-activation, whose units cannot be silenced"),
        keep_only(curves, {"lines.pre": [0]}),
    ):
        pass
    with pytest.raises(SiteError), keep_only(curves, {"line": [0]}):
        pass


def test_a_checked_circuit_stands_beside_its_baselines(curves: Model) -> None:
    images = probe_images(curves, "arcs")[::4]

    def build(model: Model, unit: str) -> CircuitGraph:
        return build_graph(model, unit, depth=1, keep=8, score="contribution", images=images)

    check = check_circuit(
        curves,
        build(curves, "arcs:6"),
        images,
        told="stimuli",
        region="center",
        draws=3,
        rebuild=build,
    )
    row = check.rows[0]
    assert (row.sites, row.kept, row.total) == (("early_curves", "early_lines"), 8, 42)
    assert row.correlation > 0.85
    assert row.correlation > sum(row.random) / len(row.random) + 0.2
    assert 1 <= len(row.shuffled) <= 3
    assert row.correlation > max(row.shuffled)
    assert 1 <= len(row.random_weights) <= 3
    assert row.correlation > max(row.random_weights)
    assert len(check.rows) == 2  # that column, and all together, which are the same here
    assert check.rows[1].correlation == row.correlation
    assert check_rows(check)[0][1] == "8 of 42"
    document = check_document(check)["rows"][0]  # type: ignore[index]
    assert document["kept"] == 8
    assert document["random_weights"] == list(row.random_weights)
    assert "Correlation of arcs:6 with itself" in check_text(check)
    assert "Not held out (one set of images was given): the check is on all 33" in check_text(check)


def test_held_out_images_alone_are_checked_on(curves: Model) -> None:
    images = probe_images(curves, "arcs")[::4]
    halves = hold_out(images, seed=3)
    graph = build_graph(
        curves, "arcs:6", depth=1, keep=8, score="contribution", images=halves.choosing
    )
    given, alone = (
        check_circuit(curves, graph, which, region="center", draws=3)
        for which in (halves, halves.checking)
    )
    assert given.rows == alone.rows
    assert (given.checked_on, given.chosen_on, given.why_not) == (17, 16, "")
    assert (alone.checked_on, alone.chosen_on) == (17, 0)
    assert "16 of them chose the units, and the check is on the other 17" in check_text(given)
    document = check_document(given)
    assert (document["checked_on"], document["chosen_on"]) == (17, 16)
    assert document["why_not_held_out"] is None
    few = check_circuit(curves, graph, hold_out(images[5:15]), region="center", draws=1)
    assert "Not held out (10 images are too few to hold half of them out" in check_text(few)


def test_the_control_is_the_circuit_of_the_other_network(curves: Model, small: Probe) -> None:
    built: dict[tuple[str, str], CircuitGraph] = {}

    def build(model: Model, unit: str) -> CircuitGraph:
        key = (model.weights_origin, unit)
        if key not in built:
            built[key] = build_graph(
                model, unit, depth=1, keep=4, score="contribution", images=small.images
            )
        return built[key]

    def rank(model: Model, unit: str) -> list[str]:
        return [edge.source for edge in build(model, unit).inputs(unit)]

    graph = build(curves, "arcs:6")
    check = check_circuit(curves, graph, small.images, region="center", seed=5, rebuild=build)
    ranking = rank(curves, "arcs:6")
    places = ["early_curves", "early_lines"]
    points = preservation_curve(
        small, ranking, sites=places, keeps=[1, 4], draws=0, seed=5, rank=rank
    )
    assert [point.kept for point in points] == [1, 4]
    for kind, make in (("shuffled", shuffled), ("random_weights", with_random_weights)):
        twin = make(curves, seed=5)
        found = []
        for channel in range(6, 24):
            other = Probe(twin, f"arcs:{channel}", small.images, region="center")
            full = other.response()
            if len(found) == 3:
                break
            if float(full.std()) > 0:
                kept = dict.fromkeys(places, ()) | build(twin, other.unit).channels()
                del kept["arcs"]
                found.append(pearson(other.response(kept), full))
        assert found
        assert getattr(check.rows[0], kind) == pytest.approx(found, nan_ok=True)
        assert getattr(points[-1], kind) == pytest.approx(found, nan_ok=True)
        known = [0.0 if value != value else value for value in found]
        assert getattr(points[-1], f"{kind}_mean") == pytest.approx(sum(known) / len(known))


def test_several_units_are_read_one_after_another(curves: Model, small: Probe) -> None:
    kept = {"early_curves": [0, 6, 18]}
    several = Probe(curves, "arcs:6,2", small.images, region="center")
    for how in (None, kept):
        ones = [replace(small, unit=f"arcs:{channel}").response(how) for channel in (6, 2)]
        assert torch.equal(several.response(how), torch.cat(ones))

    def build(model: Model, units: str) -> CircuitGraph:
        return build_graph(model, units, depth=1, keep=6, score="contribution", images=small.images)

    graph = build(curves, "arcs:1,2,6")
    check = check_circuit(
        curves, graph, small.images, told="arcs", region="center", draws=2, rebuild=build
    )
    assert check.target == "arcs:1-2,6"
    inputs = {site: graph.channels().get(site, ()) for site in ("early_curves", "early_lines")}
    left, full = [], []
    for channel in (1, 2, 6):
        one = replace(small, unit=f"arcs:{channel}")
        left.append(one.response(inputs))
        full.append(one.response())
    assert check.rows[0].correlation == pytest.approx(pearson(torch.cat(left), torch.cat(full)))
    assert check.rows[0].correlation > max(check.rows[0].random)
    assert len(check.rows[0].shuffled) == 3
    said = check_text(check)
    assert "Correlation of the 3 units arcs:1-2,6 with themselves" in said
    assert "over these units and arcs together" in said


def test_units_that_differ_only_from_each_other_do_not_vary(curves: Model) -> None:
    blank = Probe(curves, "lines:*", torch.ones(2, 3, 48, 48) * 0.5)
    with pytest.raises(CircuitError, match="responds alike to all 2 images"):
        preservation_curve(blank, ["phases:0"])


@pytest.mark.parametrize(
    ("channels", "text"), [((3,), "a:3"), ((2, 0, 1), "a:0-2"), ((7, 0, 1, 5, 6), "a:0-1,5-7")]
)
def test_units_are_named_in_ranges(channels: tuple[int, ...], text: str) -> None:
    assert units_text("a", channels) == text
    assert [u.channel for u in parse_units(text).expand(8)] == sorted(channels)
    assert count_units(text) == len(channels)


def test_what_cannot_be_checked_is_said(curves: Model, probe: Probe) -> None:
    blank = Probe(curves, "arcs:6", torch.ones(2, 3, 48, 48))
    with pytest.raises(CircuitError, match="responds alike to all 2 images"):
        preservation_curve(blank, ["early_curves:0"])
    with pytest.raises(CircuitError, match="keeps must be 1 to 2"):
        preservation_curve(probe, ["early_curves:0", "early_curves:1"], keeps=[3])
    with pytest.raises(CircuitError, match="units, each once"):
        preservation_curve(probe, ["early_curves:0", "early_curves:0"])
    with pytest.raises(CircuitError, match="names units of early_lines, and only early_curves"):
        preservation_curve(probe, ["early_curves:0", "early_lines:0"], sites=["early_curves"])
    with pytest.raises(CircuitError, match="rank gave 1 units for arcs:6 of the control, and 2 ar"):
        preservation_curve(probe, ranked(probe)[:2], draws=0, rank=lambda *_: ["early_curves:0"])
    with pytest.raises(UnitError, match="'arcs:6@1,1' names a position; a check reads"):
        Probe(curves, "arcs:6@1,1", probe.images)
    with pytest.raises(UnitError, match="out of range"):
        Probe(curves, "arcs:24", probe.images)
    with pytest.raises(CircuitError, match="unknown ablation 'men'; did you mean 'mean'"):
        Probe(curves, "arcs:0", probe.images, ablation="men")
    two_ends = CircuitGraph(small_graph().nodes, small_graph().edges[:2])
    with pytest.raises(CircuitError, match="2 edges and ends in 3 nodes of mid, top"):
        check_circuit(curves, two_ends, probe.images)


def test_stimuli_are_for_rgb_only() -> None:
    grey = featviz.load(torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), small_net()), channels=1)
    with pytest.raises(CircuitError, match="takes images of 1 channels; give images"):
        probe_images(grey, "0")
