import math
from dataclasses import replace

import pytest
import torch
from circuit_graphs import small_graph

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli.graph import _COMPARED
from circuits.expansion.agreement import compare_gates
from circuits.families.family import parse_families
from circuits.graphs import gate_agreement as module
from circuits.graphs.building import build_graph
from circuits.graphs.family_nodes import with_families
from circuits.graphs.gate_agreement import COMPARED, GateAgreement, GateRow, gate_agreement
from circuits.graphs.gate_report import gate_document, gate_heads, gate_rows, gate_text
from circuits.graphs.graph import CircuitGraph
from circuits.stimuli import strokes
from featviz.errors import CircuitError
from featviz.models import Model


@pytest.fixture(scope="module")
def curves() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def arcs() -> torch.Tensor:
    return strokes.arcs(torch.arange(12) * 30.0, size=(48, 48), radius_px=28, half_length_px=28)


@pytest.fixture(scope="module")
def graph(curves: Model) -> CircuitGraph:
    # From lines to arcs there are two layers, with gates between; lines read phases directly.
    return build_graph(curves, "arcs:0,6,12", depth=2, keep=3, sites=["lines", "phases"])


def test_rows_are_those_of_the_policies_compared_unit_by_unit(
    curves: Model, graph: CircuitGraph, arcs: torch.Tensor
) -> None:
    found = gate_agreement(curves, graph, arcs, top=5, seed=3)
    assert found.gates == COMPARED
    assert found.adjacent == (("phases", "lines"),)
    assert found.notes == ()
    assert [row.gates for row in found.rows] == [
        ("identity", "positive_top"), ("identity", "attribution"),
    ]  # fmt: skip
    for row in found.rows:
        assert (row.source, row.target, row.units, row.top) == ("lines", "arcs", (0, 6, 12), 5)
        assert row.chance_overlap == pytest.approx(5 / 18)
        report = compare_gates(
            curves, "lines", "arcs", units=row.units, gates=row.gates, images=arcs, top=5, seed=3
        )
        for number in range(3):
            assert row.correlation[number] == pytest.approx(float(report.correlation[number, 0, 1]))
            assert row.overlap[number] == pytest.approx(float(report.overlap[number, 0, 1]))
            chance = float(report.chance_correlation[number, 0, 1])
            assert row.chance_correlation[number] == pytest.approx(chance)
        kernels = [weights.kernel[0].flatten() for weights in report.maps]
        if kernels[0].shape == kernels[1].shape:
            by_hand = float(torch.corrcoef(torch.stack(kernels))[0, 1])
            assert row.correlation[0] == pytest.approx(by_hand, abs=1e-5)


def test_the_graph_says_which_policy_is_compared(
    curves: Model, graph: CircuitGraph, arcs: torch.Tensor
) -> None:
    other = replace(graph, meta={**graph.meta, "gates": "positive_top"})
    for gates in (COMPARED, ("identity", "attribution")):
        found = gate_agreement(curves, other, arcs, gates=gates)
        assert found.gates == ("positive_top", "identity", "attribution")
    bare = replace(graph, meta={})
    found = gate_agreement(curves, bare, arcs, gates=("data_mean", "identity"))
    assert found.gates == ("data_mean", "identity")


def test_families_count_as_their_units(
    curves: Model, graph: CircuitGraph, arcs: torch.Tensor
) -> None:
    merged = with_families(graph, parse_families("some=arcs:0,6; lines=lines:0-17"))
    gates = ("positive_top",)
    assert gate_agreement(curves, merged, arcs, gates=gates) == gate_agreement(
        curves, graph, arcs, gates=gates
    )


def test_a_policy_that_cannot_be_had_is_named(
    curves: Model, graph: CircuitGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gate_agreement(curves, graph)
    assert [row.gates[1] for row in found.rows] == ["positive_top"]
    assert found.notes == ("lines -> arcs: attribution is not compared: it needs images",)
    real = module.expand

    def failing(*args: object, gates: str, **options: object) -> object:
        if gates == "positive_top":
            raise CircuitError("no rule for a softmax")
        return real(*args, gates=gates, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "expand", failing)
    found = gate_agreement(curves, graph, gates=("positive_top",))
    assert found.rows == ()
    assert found.notes == ("lines -> arcs: positive_top is not compared: no rule for a softmax",)
    assert "depends on what one takes the gates between for" in gate_text(found)


def test_adjacent_columns_need_no_gates(curves: Model) -> None:
    graph = build_graph(curves, "arcs:6", depth=1, keep=3)
    found = gate_agreement(curves, graph)
    assert found.rows == ()
    assert found.adjacent == (("early_curves", "arcs"),)
    assert gate_text(found).startswith("No gate lies between: all columns are adjacent (early_cu")
    alone = replace(graph, nodes=graph.nodes[-1:], edges=())
    assert "no edges" in gate_text(gate_agreement(curves, alone))


def test_a_silent_unit_has_no_agreement(curves: Model, graph: CircuitGraph) -> None:
    blank = torch.ones(2, 3, 48, 48)
    found = gate_agreement(curves, graph, blank, gates=("attribution",))
    row = found.rows[0]
    assert all(map(math.isnan, (*row.correlation, *row.overlap, *row.chance_correlation)))
    assert gate_rows(found)[0][3:6] == ["no weights", "-", "no weights"]
    assert "such as silent ones, do not count" in gate_text(found)
    document = gate_document(found)
    assert document["rows"][0]["correlation"] == [None] * 3  # type: ignore[index]


def test_the_table_gives_mean_and_range_beside_chance() -> None:
    several = GateRow(
        "a", "c", (1, 2, 3), ("identity", "positive_top"), (0.25, 0.75, math.nan),
        (0.125, 0.375, math.nan), (0.5, 1.0, math.nan), 4, 0.125,
    )  # fmt: skip
    one = replace(several, units=(1,), correlation=(0.5,), overlap=(0.25,))
    found = GateAgreement(("identity", "positive_top"), (several, one), (("b", "d"),), ())
    assert gate_heads(found)[5] == "same top 4"
    assert gate_rows(found)[0] == [
        "a -> c", "3", "identity / positive_top", "0.50 (0.25 to 0.75), 1 without", "0.25",
        "0.75 (0.50 to 1.00), 1 without", "0.12",
    ]  # fmt: skip
    assert gate_rows(found)[1][3:6] == ["0.50", "0.25", "0.25"]
    assert "No gate lies between b -> d" in gate_text(found)
    assert gate_document(found)["adjacent"] == [["b", "d"]]


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (("identities",), "unknown gates 'identities'; did you mean 'identity'"),
        (("identity",), "one at least besides 'identity'; got"),
        ((), "one at least besides 'identity'"),
        (("positive_top", "positive_top"), "name each gate policy once"),
    ],
)
def test_wrong_policies_are_refused(
    curves: Model, graph: CircuitGraph, gates: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CircuitError, match=said):
        gate_agreement(curves, graph, gates=gates)


def test_a_graph_of_another_network_is_refused(curves: Model) -> None:
    with pytest.raises(featviz.errors.SiteError, match="unknown site 'mid' in 'artif"):
        gate_agreement(curves, small_graph())


def test_the_command_compares_the_same_policies() -> None:
    assert _COMPARED == COMPARED
