import pytest
import torch

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.expansion.expand import expand
from circuits.expansion.raw_weights import raw_weights
from circuits.expansion.weight_map import WeightMap
from circuits.graphs.building import build_graph
from circuits.graphs.input_scores import ContributionScore, weight_score
from circuits.graphs.probe import pearson
from circuits.stimuli import strokes
from circuits.tracing.site_columns import reads, site_columns
from featviz.errors import CircuitError, UnitError
from featviz.models import Model


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def arcs() -> torch.Tensor:
    return strokes.arcs(torch.arange(24) * 15.0, size=(96, 96), radius_px=28, half_length_px=28)


def test_columns_hold_parallel_sites_together(curves: Model) -> None:
    assert site_columns(curves, "arcs", depth=9) == [
        ["early_curves", "early_lines"], ["lines"], ["phases"], ["gabors"],
    ]  # fmt: skip
    assert site_columns(curves, "arcs", depth=1, sites=["lines"]) == [["lines"]]
    halves = ["lines/0:9", "lines/9:18"]
    assert site_columns(curves, "early_curves", depth=2, sites=halves) == [halves]
    assert reads(curves, "lines", "early_lines")
    assert not reads(curves, "early_curves", "early_lines")


def test_columns_refuse_what_leads_nowhere(curves: Model) -> None:
    with pytest.raises(CircuitError, match="depth must be 1 or more, got 0"):
        site_columns(curves, "arcs", depth=0)
    with pytest.raises(CircuitError, match="'early_lines' does not lead to 'early_curves'"):
        site_columns(curves, "early_curves", depth=1, sites=["early_lines"])
    with pytest.raises(CircuitError, match="no site leads to 'gabors'"):
        site_columns(curves, "gabors", depth=1)
    with pytest.raises(CircuitError, match="share channels; give one"):
        site_columns(curves, "arcs", depth=1, sites=["lines/0:9", "lines/5:18"])


def test_every_edge_is_among_the_strongest_of_its_target(curves: Model) -> None:
    graph = build_graph(curves, "arcs:6", depth=2, keep=5, width=7)
    assert max(len(c) for c in graph.channels().values()) <= 7
    maps: dict[tuple[str, str], WeightMap] = {}
    for node in graph.nodes:
        kept = graph.inputs(node.id)
        assert len(kept) <= 5
        if not kept:
            continue
        source = kept[0].source.rpartition(":")[0]
        site, _, channel = node.id.rpartition(":")
        if (source, site) not in maps:
            maps[source, site] = expand(curves, source, site)
        every = maps[source, site]
        ranked = every.top(int(channel), count=5)
        least = ranked[-1][1]
        for edge in kept:
            unit = int(edge.source.rpartition(":")[2])
            kernel = every.of_target(int(channel))[unit]
            assert float(kernel.norm()) >= least * (1 - 1e-6)
            assert abs(edge.weight) == pytest.approx(float(kernel.norm()), rel=1e-5)
            assert torch.tensor(edge.kernel) == pytest.approx(kernel)
            assert edge.weight * float(kernel.sum()) >= 0


def test_the_score_of_a_node_is_its_share_of_the_input(curves: Model) -> None:
    graph = build_graph(curves, "arcs:6", depth=1, keep=42, width=42)
    assert graph.node("arcs:6").score == 1
    assert sum(n.score for n in graph.nodes if n.site != "arcs") == pytest.approx(1)
    fewer = build_graph(curves, "arcs:6", depth=1, keep=42, width=42, threshold=0.9)
    strongest = abs(graph.inputs("arcs:6")[0].weight)
    assert 0 < len(fewer.edges) < len(graph.edges)
    assert all(abs(edge.weight) >= 0.9 * strongest for edge in fewer.edges)


def test_contributions_of_raw_weights_sum_to_the_pre_activation(
    curves: Model, arcs: torch.Tensor
) -> None:
    maps = [raw_weights(curves, s, "arcs", units=[6]) for s in ("early_curves", "early_lines")]
    score = ContributionScore(curves, arcs)
    total = sum(float(score(weights).sum()) for weights in maps)
    with torch.no_grad():
        made = curves.record(arcs, ["arcs"])["arcs"][:, 6].flatten(1).amax(1)
    assert total == pytest.approx(float(made[made > 0].mean()), rel=1e-5)


def test_scores_of_ones_own(curves: Model) -> None:
    def last_first(weights: WeightMap) -> torch.Tensor:
        o, i = weights.kernel.shape[:2]
        return torch.arange(1.0, i + 1).expand(o, i)

    graph = build_graph(curves, "lines:3", depth=1, keep=2, score=last_first)
    assert [edge.source for edge in graph.inputs("lines:3")] == ["phases:17", "phases:16"]
    assert graph.meta["score"] == graph.edges[0].score_name == "last_first"
    with pytest.raises(CircuitError, match="must be finite numbers"):
        build_graph(curves, "lines:3", depth=1, score=lambda w: weight_score(w) * torch.nan)
    with pytest.raises(CircuitError, match="got shape"):
        build_graph(curves, "lines:3", depth=1, score=lambda w: weight_score(w)[:, 1:])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": 0}, "keep must be 1 or more"),
        ({"width": 0}, "width must be 1 or more"),
        ({"threshold": 2}, "threshold must be 0 to 1"),
        ({"score": "weight"}, "unknown score 'weight'; did you mean 'weights'"),
        ({"score": "contribution"}, "needs images"),
    ],
)
def test_wrong_options_are_refused(curves: Model, options: dict[str, object], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        build_graph(curves, "arcs:6", **options)  # type: ignore[arg-type]


def test_a_position_is_refused(curves: Model) -> None:
    with pytest.raises(UnitError, match="names a position"):
        build_graph(curves, "arcs:6@1,1")


def test_contributions_need_maps() -> None:
    model = featviz.load("squeezenet1_1", weights="random")
    weights = WeightMap(
        torch.ones(1, 2, 1, 1), "fire2", "logits", (0, 1), (0,), (1, 1), (0, 0), "raw", "raw"
    )
    with pytest.raises(CircuitError, match="one number a channel"):
        ContributionScore(model, torch.rand(1, 3, 64, 64))(weights)


def test_pearson_meets_its_definition() -> None:
    a, b = torch.rand(20, dtype=torch.float64), torch.rand(20, dtype=torch.float64)
    assert pearson(a, b) == pytest.approx(float(torch.corrcoef(torch.stack([a, b]))[0, 1]))
    assert pearson(a, torch.ones(20)) != pearson(a, torch.ones(20))
