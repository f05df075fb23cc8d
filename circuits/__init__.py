"""How the features of a vision CNN are built from features, with proof.

    import circuits

    weights = circuits.expand(model, "fire3", "fire4", gates="positive_top")
    weights.kernel  # [o i kh kw]

Weights between two sites become kernels, kernels become families and graphs, and every picture
can be checked by ablation. featviz imports nothing from here. Names load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuits.agreement import GateReport, compare_gates
    from circuits.banding import BandingScore, banding_score
    from circuits.circuit_check import CheckRow, CircuitCheck, check_circuit, probe_images
    from circuits.draw import graph_to_svg
    from circuits.draw_png import graph_picture
    from circuits.edge_scores import ContributionScore
    from circuits.enrichment import Enrichment, branch_enrichment, enrichment_of
    from circuits.equivariance import (
        EquivarianceScore,
        HarmonicScore,
        angles_by_rotation,
        equivariance_score,
        harmonic_test,
    )
    from circuits.expansion import expand
    from circuits.factor import factorise, factorise_each, factorise_weights
    from circuits.factorisation import Factorisation, matched
    from circuits.families import (
        Family,
        check_partition,
        parse_families,
        read_families,
        write_families,
    )
    from circuits.family_map import FamilyMap, map_families
    from circuits.graph import CircuitGraph, Edge, Node, Tuning
    from circuits.graph_building import build_graph
    from circuits.graph_features import with_images, with_tuning
    from circuits.graph_page import write_graph_page
    from circuits.grouping import Grouping, group
    from circuits.keeping import keep_only
    from circuits.preservation import (
        Faithfulness,
        PreservationPoint,
        Probe,
        measure_faithfulness,
        preservation_curve,
    )
    from circuits.superposition import Superposition, superposition_score
    from circuits.symmetry import Symmetry, rotation
    from circuits.tuning import TuningConfig, measure_responses, measure_tuning
    from circuits.tuning_controls import shuffled
    from circuits.tuning_curve import TuningCurve
    from circuits.turned_pictures import JointTuning, joint_tuning
    from circuits.weight_map import WeightMap
    from circuits.weights import raw_weights

_HOMES = {
    "BandingScore": "banding",
    "CheckRow": "circuit_check",
    "CircuitCheck": "circuit_check",
    "CircuitGraph": "graph",
    "ContributionScore": "edge_scores",
    "Edge": "graph",
    "Enrichment": "enrichment",
    "EquivarianceScore": "equivariance",
    "Factorisation": "factorisation",
    "Faithfulness": "preservation",
    "Family": "families",
    "FamilyMap": "family_map",
    "GateReport": "agreement",
    "Grouping": "grouping",
    "HarmonicScore": "equivariance",
    "JointTuning": "turned_pictures",
    "Node": "graph",
    "PreservationPoint": "preservation",
    "Probe": "preservation",
    "Superposition": "superposition",
    "Symmetry": "symmetry",
    "Tuning": "graph",
    "TuningConfig": "tuning",
    "TuningCurve": "tuning_curve",
    "WeightMap": "weight_map",
    "angles_by_rotation": "equivariance",
    "banding_score": "banding",
    "branch_enrichment": "enrichment",
    "build_graph": "graph_building",
    "check_circuit": "circuit_check",
    "check_partition": "families",
    "compare_gates": "agreement",
    "enrichment_of": "enrichment",
    "equivariance_score": "equivariance",
    "expand": "expansion",
    "factorise": "factor",
    "factorise_each": "factor",
    "factorise_weights": "factor",
    "graph_picture": "draw_png",
    "graph_to_svg": "draw",
    "group": "grouping",
    "harmonic_test": "equivariance",
    "joint_tuning": "turned_pictures",
    "keep_only": "keeping",
    "map_families": "family_map",
    "matched": "factorisation",
    "measure_faithfulness": "preservation",
    "measure_responses": "tuning",
    "measure_tuning": "tuning",
    "parse_families": "families",
    "preservation_curve": "preservation",
    "probe_images": "circuit_check",
    "raw_weights": "weights",
    "read_families": "families",
    "rotation": "symmetry",
    "shuffled": "tuning_controls",
    "superposition_score": "superposition",
    "with_images": "graph_features",
    "with_tuning": "graph_features",
    "write_families": "families",
    "write_graph_page": "graph_page",
}

__all__ = [
    "BandingScore",
    "CheckRow",
    "CircuitCheck",
    "CircuitGraph",
    "ContributionScore",
    "Edge",
    "Enrichment",
    "EquivarianceScore",
    "Factorisation",
    "Faithfulness",
    "Family",
    "FamilyMap",
    "GateReport",
    "Grouping",
    "HarmonicScore",
    "JointTuning",
    "Node",
    "PreservationPoint",
    "Probe",
    "Superposition",
    "Symmetry",
    "Tuning",
    "TuningConfig",
    "TuningCurve",
    "WeightMap",
    "angles_by_rotation",
    "banding_score",
    "branch_enrichment",
    "build_graph",
    "check_circuit",
    "check_partition",
    "compare_gates",
    "enrichment_of",
    "equivariance_score",
    "expand",
    "factorise",
    "factorise_each",
    "factorise_weights",
    "graph_picture",
    "graph_to_svg",
    "group",
    "harmonic_test",
    "joint_tuning",
    "keep_only",
    "map_families",
    "matched",
    "measure_faithfulness",
    "measure_responses",
    "measure_tuning",
    "parse_families",
    "preservation_curve",
    "probe_images",
    "raw_weights",
    "read_families",
    "rotation",
    "shuffled",
    "superposition_score",
    "with_images",
    "with_tuning",
    "write_families",
    "write_graph_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"circuits.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
