from typing import Any

import pytest
import torch
from torch import nn
from typecheck import unchecked

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.expansion.expand import expand
from circuits.expansion.raw_weights import raw_weights
from circuits.expansion.weight_map import WeightMap
from circuits.graphs.building import build_graph
from circuits.graphs.input_scores import ContributionScore, weight_score
from circuits.graphs.probe import pearson
from circuits.stimuli import strokes
from circuits.tracing.site_columns import site_columns
from featviz.errors import CircuitError, UnitError
from featviz.models import Model
from nets import seeded


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


def test_columns_refuse_what_leads_nowhere(curves: Model) -> None:
    with pytest.raises(CircuitError, match="depth must be 1 or more, got 0"):
        site_columns(curves, "arcs", depth=0)
    with pytest.raises(CircuitError, match="'early_lines' does not lead to 'early_curves'"):
        site_columns(curves, "early_curves", depth=1, sites=["early_lines"])
    with pytest.raises(CircuitError, match="no site leads to 'gabors'"):
        site_columns(curves, "gabors", depth=1)
    with pytest.raises(CircuitError, match="a list of names such as \\['lines'\\], got one text"):
        site_columns(curves, "arcs", depth=1, sites="lines")
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
        ({"keep": "3"}, "keep must be a whole number, got '3'"),
        ({"depth": 1.5}, "depth must be a whole number, got 1.5"),
        ({"width": True}, "width must be a whole number, got True"),
        ({"threshold": "a"}, "threshold must be 0 to 1, a share of the strongest, got 'a'"),
        ({"score": 3}, "unknown score 3"),
        ({"width": 0}, "width must be 1 or more"),
        ({"threshold": 2}, "threshold must be 0 to 1"),
        ({"score": "weight"}, "unknown score 'weight'; did you mean 'weights'"),
        ({"score": "contribution"}, "needs images"),
    ],
)
def test_wrong_options_are_refused(curves: Model, options: dict[str, object], said: str) -> None:
    with unchecked(), pytest.raises(CircuitError, match=said):
        build_graph(curves, "arcs:6", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("units", [["arcs:0"], None, 3])
def test_units_that_are_no_text_are_refused(curves: Model, units: Any) -> None:
    with unchecked(), pytest.raises(UnitError, match="named by one text, such as 'fire4:128'"):
        build_graph(curves, units)


def test_too_many_edges(curves: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("circuits.graphs.building.MAX_EDGES", 3)
    assert len(build_graph(curves, "arcs:6", depth=1, keep=3).edges) == 3
    with pytest.raises(CircuitError, match="more than 3 edges; lower keep, width or depth"):
        build_graph(curves, "arcs:6", depth=1, keep=4)


def test_a_position_is_refused(curves: Model) -> None:
    with pytest.raises(UnitError, match="names a position"):
        build_graph(curves, "arcs:6@1,1")


class Classifier(nn.Module):
    """Two layers of maps, their mean, and two linear layers, the last of which is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.hidden, self.fc = nn.Linear(5, 6), nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.high(self.relu(self.low(x))))
        return self.fc(self.hidden(self.pool(x).flatten(1)))


def classifier(seed: int = 4) -> Model:
    return featviz.load(seeded(Classifier(), seed), mean=(0.4,) * 3, std=(0.5,) * 3, size=16)


@pytest.mark.parametrize("size", [16, 20])
def test_contributions_to_logits_sum_to_them_at_any_size(size: int) -> None:
    model = classifier()
    images = torch.rand(9, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.record(images, ["logits"])["logits"]
        bias = logits - model.module.get_submodule("fc").bias
        through = bias - (model.module.fc.weight @ model.module.hidden.bias)  # type: ignore[union-attr]
    channel = int((logits > 0).sum(0).argmax())
    fires = logits[:, channel] > 0
    assert fires.any()
    for source, values in (("hidden", bias), ("pool", through), ("relu#1", through)):
        graph = build_graph(
            model, f"logits:{channel}", depth=1, keep=9, sites=[source], images=images,
            score="contribution",
        )  # fmt: skip
        total = sum(edge.weight for edge in graph.edges)
        assert total == pytest.approx(float(values[fires, channel].mean()), rel=1e-4)


def test_sites_that_name_one_place_are_taken_once() -> None:
    model = classifier()
    assert {"fc", "logits"} <= set(model.site_table().names())
    assert site_columns(model, "logits", depth=2) == site_columns(model, "fc", depth=2)
    assert site_columns(model, "logits", depth=2) == [["hidden"], ["pool"]]
    with pytest.raises(CircuitError, match="'fc' and 'logits' share channels; give one of them"):
        site_columns(model, "logits", depth=1, sites=["fc"])

    class Block(nn.Sequential):
        pass

    blocks = nn.Sequential(
        Block(nn.Conv2d(3, 4, 1), nn.ReLU()), Block(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Dropout())
    )
    model = featviz.load(seeded(blocks), mean=(0.4,) * 3, std=(0.5,) * 3, size=8)
    expected = [["1.0"], ["0.1"], ["0.0"]]
    for name in ("1", "1.1", "1.2", "logits"):
        assert site_columns(model, name, depth=9) == expected
    assert build_graph(model, "1:3", depth=2).sites == ("0.1", "1.0", "1")


def test_weights_that_are_no_numbers_are_told() -> None:
    images = torch.rand(4, 3, 16, 16)
    broken = classifier()
    with torch.no_grad():
        broken.module.low.weight[0, 0] = torch.nan  # type: ignore[index, union-attr]
    said = "activation of .* hold.* not finite .* and so do the weights 'low.weight'; load intact"
    with pytest.raises(CircuitError, match=said):
        build_graph(broken, "logits:1", depth=2, score="contribution", images=images)
    huge = classifier()
    with torch.no_grad():
        huge.module.low.weight.fill_(1e30)  # type: ignore[operator, union-attr]
        huge.module.high.weight.fill_(1e30)  # type: ignore[operator, union-attr]
    with pytest.raises(CircuitError, match="though all weights are finite: they are too large"):
        build_graph(huge, "logits:1", depth=2, score="contribution", images=images)


def test_a_graph_without_inputs_says_why() -> None:
    images = torch.rand(4, 3, 16, 16)

    def ended(model: Model, unit: str, **options: Any) -> str:
        graph = build_graph(model, unit, depth=1, images=images, **options)
        assert (len(graph.nodes), graph.edges) == (1, ())
        return graph.meta["ended"]

    model = classifier()
    assert "ended" not in build_graph(model, "relu#1:3", depth=1).meta
    with torch.no_grad():
        model.module.high.bias[3] = -1e6  # type: ignore[index, union-attr]
    assert ended(model, "relu#1:3", score="contribution", sites=["relu#0"]) == (
        "no inputs from relu#0 to relu#1:3: on none of the 4 images is any of them above 0, so "
        "nothing contributes; give images that they respond to, or rank by the score 'weights'"
    )
    assert "all scores are 0; choose another" in ended(model, "fc:0", score=no_score)
    with torch.no_grad():
        model.module.high.weight[3] = 0  # type: ignore[index, union-attr]
    assert "all kernels are 0; choose other gates" in ended(model, "relu#1:3", sites=["relu#0"])
    with torch.no_grad():
        model.module.low.bias.fill_(-1e6)  # type: ignore[operator, union-attr]
        model.module.high.bias.fill_(1)  # type: ignore[operator, union-attr]
    assert "what they read is silent on all 4 images" in ended(
        model, "relu#1:0", score="contribution", sites=["relu#0"]
    )


def no_score(weights: WeightMap) -> torch.Tensor:
    return weight_score(weights) * 0


def test_a_graph_that_ends_early_says_where_and_why() -> None:
    model = classifier()
    graph = build_graph(model, "fc:0", depth=3, sites=["hidden", "pool"], score=only_the_nearest)
    assert graph.sites == ("hidden", "fc")
    assert graph.meta["ended"].startswith("no inputs from pool to hidden:")


def only_the_nearest(weights: WeightMap) -> torch.Tensor:
    return weight_score(weights) * (weights.source == "hidden")


def test_a_score_that_is_kept_gives_the_same_graph_and_is_of_one_network() -> None:
    model, images = classifier(), torch.rand(4, 3, 16, 16)
    kept = ContributionScore(model, images)
    for unit in ("relu#1:0", "logits:1"):
        again = build_graph(model, unit, score=kept, images=images)
        assert again == build_graph(model, unit, score="contribution", images=images)
    with pytest.raises(CircuitError, match="another network than"):
        build_graph(classifier(), "logits:1", score=kept)


def test_a_graph_runs_the_network_a_few_times_whatever_its_width(
    curves: Model, arcs: torch.Tensor
) -> None:
    calls: list[int] = []
    handle = curves.module.register_forward_pre_hook(lambda _m, args: calls.append(len(args[0])))
    try:
        build_graph(curves, "arcs:6", depth=4, images=arcs, score="contribution")
    finally:
        handle.remove()
    # Where the columns are, two passes for what lies between, and one over the images.
    assert calls == [1, 16, 8, 1, 1]


def test_progress_goes_to_stderr_where_it_is_asked_for(
    curves: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    build_graph(curves, "arcs:6", depth=1)
    assert capsys.readouterr() == ("", "")
    build_graph(curves, "arcs:6", depth=1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "artificial_curves arcs:6: 100%" in err
    assert "early_curves early_lines" in err


def test_pearson_meets_its_definition() -> None:
    a, b = torch.rand(20, dtype=torch.float64), torch.rand(20, dtype=torch.float64)
    assert pearson(a, b) == pytest.approx(float(torch.corrcoef(torch.stack([a, b]))[0, 1]))
    assert pearson(a, torch.ones(20)) != pearson(a, torch.ones(20))
