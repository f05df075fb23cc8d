import io

import pytest
from PIL import Image

from app.circuit_graphs import (
    Options,
    circuit,
    edits_of,
    silence,
    stimuli_for,
    thinned,
    with_pictures,
)
from app.networks import network
from circuits.ablation.editing import edited
from circuits.graphs.graph import CircuitGraph, Edge, Node
from circuits.graphs.probe import Probe


def node(name: str) -> Node:
    site, _, channel = name.rpartition(":")
    return Node(name, site, (int(channel),))


def graph() -> CircuitGraph:
    return CircuitGraph(
        nodes=tuple(map(node, ("a:0", "a:1", "b:0", "b:1", "c:0"))),
        edges=(
            Edge("b:0", "c:0", 10.0),
            Edge("b:1", "c:0", -4.0),
            Edge("a:0", "b:0", 1.0),
            Edge("a:1", "b:0", 0.2),
            Edge("a:1", "b:1", 3.0),
        ),
    )


def ids(found: CircuitGraph) -> list[str]:
    return [one.id for one in found.nodes]


def test_nothing_is_left_out_at_a_threshold_of_zero() -> None:
    assert thinned(graph(), 0.0) == graph()


def test_edges_are_measured_by_the_strongest_into_the_same_node() -> None:
    found = thinned(graph(), 0.3)
    assert [(e.source, e.target) for e in found.edges] == [
        ("b:0", "c:0"),
        ("b:1", "c:0"),
        ("a:0", "b:0"),
        ("a:1", "b:1"),
    ]
    assert ids(found) == ids(graph())


def test_nodes_that_no_longer_lead_to_the_target_go_with_their_edges() -> None:
    found = thinned(graph(), 0.5)
    assert ids(found) == ["a:0", "b:0", "c:0"]
    assert len(found.edges) == 2


def test_pinned_nodes_stay_with_the_edges_between_them() -> None:
    found = thinned(graph(), 0.5, pinned=("a:1", "b:1"))
    assert ids(found) == ids(graph())
    assert ("a:1", "b:1") in [(e.source, e.target) for e in found.edges]
    assert ("b:1", "c:0") not in [(e.source, e.target) for e in found.edges]


def test_pictures_of_any_kind_become_png() -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "WEBP")
    found = with_pictures(graph(), {"b:0": file.getvalue()})
    image = found.node("b:0").image
    assert image is not None
    with Image.open(io.BytesIO(image)) as picture:
        assert (picture.format, picture.size) == ("PNG", (8, 8))
    assert found.node("b:1").image is None


def test_parts_that_are_silenced_become_edits_and_others_are_passed_over() -> None:
    found = edits_of(graph(), ["a:0", "b:1>c:0", "z:9", "a:0>z:9"])
    assert list(map(str, found)) == ["units a:0", "edge b:1->c:0 x0"]


OPTIONS = Options(depth=1, keep=4)


def test_what_is_left_without_a_part_is_what_the_edited_network_shows() -> None:
    found = silence("artificial_curves", "arcs:6", OPTIONS, "", ("early_curves:6",), 0)
    assert found is not None
    assert found.chance is None
    model = network("artificial_curves")
    probe = Probe(model, "arcs:6", stimuli_for("artificial_curves", "arcs").checking, region="mean")
    before = probe.response().mean()
    with edited(
        model, edits_of(circuit("artificial_curves", "arcs:6", OPTIONS, ""), ["early_curves:6"])
    ):
        after = probe.response().mean()
    assert found.left == pytest.approx(float(after / before), rel=1e-5)
    assert found.left < 0.9


def test_parts_that_the_circuit_lacks_silence_nothing() -> None:
    assert silence("artificial_curves", "arcs:6", OPTIONS, "", ("gabors:3",), 0) is None
