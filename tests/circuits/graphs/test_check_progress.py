"""How far a check says it is, and what is left of it when it is ended."""

import pytest

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.graphs.building import build_graph
from circuits.graphs.check import check_circuit, probe_images
from circuits.graphs.check_progress import CONTROL_PARTS, CheckProgress, count_parts
from circuits.graphs.graph import CircuitGraph
from featviz.models import Model


def test_parts_are_counted_up_to_their_number() -> None:
    told: list[tuple[int, int]] = []
    progress = CheckProgress(10, lambda done, parts: told.append((done, parts)))
    progress.add()
    progress.add(8)
    progress.add(8)
    progress.end()
    assert told == [(1, 10), (9, 10), (10, 10), (10, 10)]
    CheckProgress(1, None).add()


def test_the_same_sites_are_silenced_once() -> None:
    once = count_parts([("a",)], controls=2, draws=5, minimality=0)
    assert once == 2 * CONTROL_PARTS + (1 + 5) + (2 + 5)
    assert count_parts([("a",), ("a",)], controls=2, draws=5, minimality=0) == once
    assert count_parts([("a",), ("a",)], controls=2, draws=5, minimality=7) == once + 7 + 5
    assert count_parts([("a",), ("a", "b")], controls=0, draws=5, minimality=0) == 12 + 7


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.mark.parametrize("minimality", [False, True])
def test_a_check_tells_how_far_it_is(curves: Model, minimality: bool) -> None:
    images = probe_images(curves, "arcs")[::6]

    def build(model: Model, unit: str) -> CircuitGraph:
        return build_graph(model, unit, depth=2, keep=4, score="contribution", images=images)

    told: list[tuple[int, int]] = []
    check_circuit(
        curves,
        build(curves, "arcs:6"),
        images,
        region="center",
        draws=4,
        rebuild=build,
        minimality=minimality,
        on_progress=lambda done, parts: told.append((done, parts)),
    )
    done = [part for part, _ in told]
    (parts,) = {parts for _, parts in told}
    assert done == sorted(done)
    assert done[-1] == parts
    assert parts >= done[-2] >= 0.8 * parts, "what is said to be left is about what is left"
    assert len(set(done)) > 20


def test_a_check_that_is_ended_leaves_the_network_as_it_was(curves: Model) -> None:
    images = probe_images(curves, "arcs")[::6]
    graph = build_graph(curves, "arcs:6", depth=1, keep=4)
    before = curves.record(images, ["arcs"])["arcs"]
    hooks = sum(len(m._forward_hooks) for m in curves.module.modules())

    def stop(done: int, _parts: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_circuit(curves, graph, images, region="center", draws=9, on_progress=stop)
    assert sum(len(m._forward_hooks) for m in curves.module.modules()) == hooks
    assert curves.record(images, ["arcs"])["arcs"].equal(before)
