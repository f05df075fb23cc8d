import io
import itertools
from dataclasses import replace

import pytest
import torch
from circuit_graphs import png
from PIL import Image

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.expansion.raw_weights import raw_weights
from circuits.families.family import Family, parse_families
from circuits.graphs.building import build_graph
from circuits.graphs.check import check_circuit, probe_images
from circuits.graphs.check_report import check_text
from circuits.graphs.family_nodes import LISTED, with_families
from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.units import Unit


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def graph(curves: Model) -> CircuitGraph:
    return build_graph(curves, "arcs:0-5", depth=2, keep=4, width=10)


def meant(
    graph: CircuitGraph, sources: list[str], targets: list[str]
) -> tuple[float, torch.Tensor | None]:
    """The definition, pair by pair: a pair without an edge counts as 0."""
    edges = {(edge.source, edge.target): edge for edge in graph.edges}
    weight, kernel = 0.0, None
    for target in targets:
        for source in sources:
            edge = edges.get((source, target))
            if edge is not None:
                weight += edge.weight / len(targets)
                cells = torch.tensor(edge.kernel, dtype=torch.float64) / len(targets)
                kernel = cells if kernel is None else kernel + cells
    return weight, kernel


def test_edges_of_families_meet_their_definition(graph: CircuitGraph) -> None:
    families = parse_families(
        "near=arcs:0-2; far=arcs:3-5; low=early_curves:0-3; high=early_curves:4-23"
    )
    found = with_families(graph, families)
    members = {node.id: [f"{node.site}:{unit}" for unit in node.units] for node in found.nodes}
    assert {"near", "far", "low", "high"} <= members.keys()
    assert sorted(itertools.chain(*members.values())) == sorted(node.id for node in graph.nodes)
    seen = 0
    drawn = {(edge.source, edge.target): edge for edge in found.edges}
    for source, target in itertools.permutations(members, 2):
        weight, kernel = meant(graph, members[source], members[target])
        if kernel is None:
            assert (source, target) not in drawn
            continue
        edge = drawn[source, target]
        seen += 1
        assert edge.weight == pytest.approx(weight)
        assert torch.tensor(edge.kernel, dtype=torch.float64) == pytest.approx(kernel)
        assert edge.color_scale >= float(kernel.abs().max()) * (1 - 1e-9)
    assert seen == len(found.edges) > 4
    for target in members:
        assert len({edge.scale for edge in found.inputs(target)}) <= 1
    for node in found.nodes:
        own = sum(graph.node(name).score for name in members[node.id])
        assert node.score == pytest.approx(own)
    assert found.sites == graph.sites
    assert CircuitGraph.from_json(found.to_json()) == found
    assert "near: arcs:0-2" in found.meta["families"].splitlines()


def test_the_family_of_the_ground_truth_is_the_mean_of_its_weights(curves: Model) -> None:
    whole = build_graph(curves, "arcs:*", depth=1, keep=42, width=42)
    found = with_families(whole, parse_families("all=arcs:0-23; early=early_curves:0-23"))
    weights = raw_weights(curves, "early_curves", "arcs").kernel.double()
    edge = next(edge for edge in found.edges if edge.source == "early")
    assert torch.tensor(edge.kernel, dtype=torch.float64) == pytest.approx(weights.sum((0, 1)) / 24)
    assert found.node("early").units == tuple(range(24))
    assert found.node("all").score == pytest.approx(1)


def test_what_no_family_touches_stays_as_it_is(graph: CircuitGraph) -> None:
    found = with_families(graph, [Family.of("pair", "arcs", (0, 1))])
    kept = [edge for edge in graph.edges if edge.target not in ("arcs:0", "arcs:1")]
    assert [edge for edge in found.edges if edge.target != "pair"] == kept
    assert [n for n in found.nodes if n.id != "pair"] == [
        n for n in graph.nodes if n.id not in ("arcs:0", "arcs:1")
    ]


def test_families_of_families_are_those_of_their_units(graph: CircuitGraph) -> None:
    at_once = with_families(graph, parse_families("a=arcs:0-2; e=early_curves:0-23"))
    first = with_families(graph, parse_families("p=arcs:0-1; e=early_curves:0-23"))
    then = with_families(first, parse_families("a=arcs:0-2"))
    assert then.node("a").units == (0, 1, 2)
    for one, other in zip(at_once.inputs("a"), then.inputs("a"), strict=True):
        assert other.source == one.source
        assert other.weight == pytest.approx(one.weight)
        assert torch.tensor(other.kernel) == pytest.approx(torch.tensor(one.kernel))
    assert then.node("a").score == pytest.approx(at_once.node("a").score)


def plain(*nodes: Node, edges: tuple[Edge, ...] = ()) -> CircuitGraph:
    end = Node("end:0", "end", (0,))
    links = edges or tuple(Edge(node.id, "end:0", 1.0) for node in nodes)
    return CircuitGraph((*nodes, end), links)


def units(count: int) -> list[Node]:
    return [Node(f"a:{k}", "a", (k,), score=k / 10) for k in range(count)]


def test_the_label_says_how_many_units() -> None:
    graph = plain(*units(8))
    labels = {
        "2 units: 0, 1": Family.of("f", "a", (0, 1)),
        "2 of 3 units: 0, 1": Family.of("f", "a", (0, 1, 90)),
        "1 unit: 5": Family.of("f", "a", (5,)),
        "8 units: 0, 1, 2, 3, 4, 5, ...": Family.of("f", "a", tuple(range(8))),
    }
    assert LISTED == 6
    for label, family in labels.items():
        node = with_families(graph, [family]).node("f")
        assert node.label == label
        assert node.is_family == (len(node.units) > 1)


def test_a_family_of_two_sites_is_a_node_in_each() -> None:
    edges = (Edge("a:0", "b:0", 1.0), Edge("a:1", "b:0", 2.0), Edge("b:0", "end:0", 1.0))
    graph = plain(*units(2), Node("b:0", "b", (0,)), edges=edges)
    family = Family("f", (Unit("a", 0), Unit("a", 1), Unit("b", 0), Unit("b", 7)))
    found = with_families(graph, [family])
    assert [(node.id, node.label) for node in found.nodes[:2]] == [
        ("f a", "2 units: 0, 1"), ("f b", "1 of 2 units: 0"),
    ]  # fmt: skip
    assert [(edge.source, edge.target, edge.weight) for edge in found.edges] == [
        ("f a", "f b", 3.0), ("f b", "end:0", 1.0),
    ]  # fmt: skip
    assert found.edges[0].kernel is None


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data))


def test_images_are_one_sheet_in_the_order_of_the_score() -> None:
    colors = ["#ff0000", "#00ff00", "#0000ff", "#ffff00", "#ff00ff"]
    nodes = [replace(node, image=png(color)) for node, color in zip(units(5), colors, strict=True)]
    sheet = opened(with_families(plain(*nodes), [Family.of("f", "a", range(5))]).node("f").image)
    side = 8 + 4 + 8
    assert sheet.size == (side, side)
    places = [(3, 3), (15, 3), (3, 15), (15, 15)]
    best = [(255, 0, 255), (255, 255, 0), (0, 0, 255), (0, 255, 0)]
    assert [sheet.getpixel(place) for place in places] == [(*color, 255) for color in best]
    pair = opened(with_families(plain(*nodes), [Family.of("f", "a", (0, 1))]).node("f").image)
    assert [pair.getpixel((x, 10))[:2] for x in (3, 15)] == [(0, 255), (255, 0)]  # type: ignore[index]
    assert pair.getpixel((3, 1)) == (0, 0, 0, 0)  # clear where no image is
    alone = [nodes[0], *units(3)[1:]]
    assert with_families(plain(*alone), [Family.of("f", "a", (0, 1))]).node("f").image == png(
        "#ff0000"
    )
    assert with_families(plain(*units(3)), [Family.of("f", "a", (0, 1))]).node("f").image is None


def test_tunings_are_joined_only_if_they_are_alike() -> None:
    one, other = Tuning("curve", 360, (1.0, 0.0, 3.0)), Tuning("curve", 360, (0.0, 1.0, 1.0))
    bare = units(2)

    def joint(*tunings: Tuning | None) -> Tuning | None:
        nodes = [replace(n, tuning=t) for n, t in zip(bare, tunings, strict=True)]
        return with_families(plain(*nodes), [Family.of("f", "a", (0, 1))]).node("f").tuning

    assert joint(one, other) == Tuning("curve", 360, (0.5, 0.5, 2.0))
    assert joint(one, None) is None
    assert joint(one, Tuning("line", 180, (0.0, 1.0, 1.0))) is None
    assert joint(one, Tuning("curve", 360, (0.0, 1.0))) is None


def test_kernels_that_do_not_lie_on_each_other_are_left_out() -> None:
    nodes = units(2)
    edges = (Edge("a:0", "end:0", 1.0, ((1.0, 2.0),)), Edge("a:1", "end:0", -3.0, ((1.0,),)))
    edge = with_families(plain(*nodes, edges=edges), [Family.of("f", "a", (0, 1))]).edges[0]
    assert (edge.weight, edge.kernel) == (-2.0, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there are no families; give some"),
        ("f=b:0", "'f' names b:0, and the graph does not run through 'b'.*runs through a, end"),
        ("f=a:0-1; g=a:1-2", "a:1 is in two families, 'f' and 'g'; leave it in one"),
        ("f=a:7", r"holds no unit of 'f'; it holds a:0-2, end:0"),
        ("f=end:0; g=a:0; h=a:1", "doubled"),
    ],
)
def test_families_that_do_not_fit_are_refused(text: str, said: str) -> None:
    families = parse_families(text)
    if said == "doubled":
        families = [replace(family, name="f") for family in families]
        said = "two families have the name 'f'; rename one"
    with pytest.raises(CircuitError, match=said):
        with_families(plain(*units(3)), families)


def test_what_cannot_be_merged_is_refused(graph: CircuitGraph, curves: Model) -> None:
    families = parse_families("f=early_curves:24")
    with pytest.raises(CircuitError, match="units that do not exist: early_curves:24; 'early_cur"):
        with_families(graph, families, model=curves)
    merged = with_families(graph, parse_families("f=arcs:0-2"))
    with pytest.raises(CircuitError, match="'g' has some units of the node 'f' and not all"):
        with_families(merged, parse_families("g=arcs:2-3"))
    chain = CircuitGraph(tuple(units(2)), (Edge("a:0", "a:1", 1.0),))
    with pytest.raises(CircuitError, match="a:0 and a:1 are both in the family 'f', and one reads"):
        with_families(chain, parse_families("f=a:0-1"))
    edges = (Edge("a:0", "end:0", 1.0), Edge("a:1", "end:0", 1.0, score_name="other"))
    with pytest.raises(CircuitError, match="scored by other, weights, which do not add up"):
        with_families(plain(*units(2), edges=edges), parse_families("f=a:0-1"))
    with pytest.raises(CircuitError, match="nodes are there twice: a:0"):
        with_families(plain(*units(3)), parse_families("a:0=a:1-2"))


def test_families_without_units_in_the_graph_are_named(graph: CircuitGraph) -> None:
    found = with_families(graph, parse_families("f=arcs:0-2; gone=arcs:20-21"))
    assert found.meta["families"].splitlines() == ["f: arcs:0-2", "no unit in this graph: gone"]


def test_a_family_at_the_end_is_checked_as_its_units_are(curves: Model) -> None:
    images = probe_images(curves, "arcs")[::8]

    def build(model: Model, units: str) -> CircuitGraph:
        return build_graph(model, units, depth=1, keep=6, score="contribution", images=images)

    alone = build(curves, "arcs:0-2")
    merged = with_families(alone, parse_families("right=arcs:0-2; early=early_curves:0-23"))
    one, other = (
        check_circuit(curves, each, images, region="center", draws=2, rebuild=build)
        for each in (alone, merged)
    )
    assert one == other
    assert other.target == "arcs:0-2"
    assert "the 3 units arcs:0-2 with themselves" in check_text(other)
