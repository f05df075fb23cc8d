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
    from circuits.ablation import edited
    from circuits.ablation_effects import (
        ClassEffect,
        TuningEffect,
        UnitEffect,
        class_effects,
        tuning_effects,
        unit_effects,
    )
    from circuits.agreement import GateReport, compare_gates
    from circuits.angle_profiles import AngleProfile, angle_profile
    from circuits.attribution import (
        Attribution,
        contributions,
        gradient_times_activation,
        integrated_gradients,
    )
    from circuits.banding import BandingScore, banding_score
    from circuits.circuit_check import CheckRow, CircuitCheck, check_circuit, probe_images
    from circuits.draw import graph_to_svg
    from circuits.draw_png import graph_picture
    from circuits.edge_patching import EdgeScores, edge_scores
    from circuits.edits import DropWeights, Edit, ScaleEdge, SelectInputs, SetUnits, parse_edit
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
    from circuits.input_ablation import InputAblation, ablate_inputs
    from circuits.input_scores import ContributionScore
    from circuits.keeping import keep_only
    from circuits.kernel_scores import PruningCurve, activation_scores, pruning_curve, weight_scores
    from circuits.kernel_sides import side_sums
    from circuits.kind_rules import KindRules, UnitKind, unit_kinds
    from circuits.matrix_picture import family_matrix
    from circuits.network_map import NetworkMap, map_network
    from circuits.photographed import PhotographEvidence, photograph_evidence
    from circuits.preservation import (
        Faithfulness,
        PreservationPoint,
        Probe,
        measure_faithfulness,
        preservation_curve,
    )
    from circuits.probes import Probed, probe_site
    from circuits.random_edits import edited_at_random
    from circuits.random_network import with_random_weights
    from circuits.relevance import Relevance, conditional_relevance
    from circuits.replay import Replay
    from circuits.selection import Thresholds, tuned_curves, tuned_family
    from circuits.superposition import Superposition, superposition_score
    from circuits.symmetry import Symmetry, rotation
    from circuits.tuning import TuningConfig, measure_responses, measure_tuning
    from circuits.tuning_controls import shuffled
    from circuits.tuning_curve import TuningCurve
    from circuits.turned_pictures import JointTuning, joint_tuning
    from circuits.weight_map import WeightMap
    from circuits.weights import raw_weights

_HOMES = {
    "AngleProfile": "angle_profiles",
    "Attribution": "attribution",
    "BandingScore": "banding",
    "CheckRow": "circuit_check",
    "CircuitCheck": "circuit_check",
    "CircuitGraph": "graph",
    "ClassEffect": "ablation_effects",
    "ContributionScore": "input_scores",
    "DropWeights": "edits",
    "Edge": "graph",
    "EdgeScores": "edge_patching",
    "Edit": "edits",
    "Enrichment": "enrichment",
    "EquivarianceScore": "equivariance",
    "Factorisation": "factorisation",
    "Faithfulness": "preservation",
    "Family": "families",
    "FamilyMap": "family_map",
    "GateReport": "agreement",
    "Grouping": "grouping",
    "HarmonicScore": "equivariance",
    "InputAblation": "input_ablation",
    "JointTuning": "turned_pictures",
    "KindRules": "kind_rules",
    "NetworkMap": "network_map",
    "Node": "graph",
    "PhotographEvidence": "photographed",
    "PreservationPoint": "preservation",
    "Probe": "preservation",
    "Probed": "probes",
    "PruningCurve": "kernel_scores",
    "Relevance": "relevance",
    "Replay": "replay",
    "ScaleEdge": "edits",
    "SelectInputs": "edits",
    "SetUnits": "edits",
    "Superposition": "superposition",
    "Symmetry": "symmetry",
    "Thresholds": "selection",
    "Tuning": "graph",
    "TuningConfig": "tuning",
    "TuningCurve": "tuning_curve",
    "TuningEffect": "ablation_effects",
    "UnitEffect": "ablation_effects",
    "UnitKind": "kind_rules",
    "WeightMap": "weight_map",
    "ablate_inputs": "input_ablation",
    "activation_scores": "kernel_scores",
    "angle_profile": "angle_profiles",
    "angles_by_rotation": "equivariance",
    "banding_score": "banding",
    "branch_enrichment": "enrichment",
    "build_graph": "graph_building",
    "check_circuit": "circuit_check",
    "check_partition": "families",
    "class_effects": "ablation_effects",
    "compare_gates": "agreement",
    "conditional_relevance": "relevance",
    "contributions": "attribution",
    "edge_scores": "edge_patching",
    "edited": "ablation",
    "edited_at_random": "random_edits",
    "enrichment_of": "enrichment",
    "equivariance_score": "equivariance",
    "expand": "expansion",
    "factorise": "factor",
    "factorise_each": "factor",
    "factorise_weights": "factor",
    "family_matrix": "matrix_picture",
    "gradient_times_activation": "attribution",
    "graph_picture": "draw_png",
    "graph_to_svg": "draw",
    "group": "grouping",
    "harmonic_test": "equivariance",
    "integrated_gradients": "attribution",
    "joint_tuning": "turned_pictures",
    "keep_only": "keeping",
    "map_families": "family_map",
    "map_network": "network_map",
    "matched": "factorisation",
    "measure_faithfulness": "preservation",
    "measure_responses": "tuning",
    "measure_tuning": "tuning",
    "parse_edit": "edits",
    "parse_families": "families",
    "photograph_evidence": "photographed",
    "preservation_curve": "preservation",
    "probe_images": "circuit_check",
    "probe_site": "probes",
    "pruning_curve": "kernel_scores",
    "raw_weights": "weights",
    "read_families": "families",
    "rotation": "symmetry",
    "shuffled": "tuning_controls",
    "side_sums": "kernel_sides",
    "superposition_score": "superposition",
    "tuned_curves": "selection",
    "tuned_family": "selection",
    "tuning_effects": "ablation_effects",
    "unit_effects": "ablation_effects",
    "unit_kinds": "kind_rules",
    "weight_scores": "kernel_scores",
    "with_images": "graph_features",
    "with_random_weights": "random_network",
    "with_tuning": "graph_features",
    "write_families": "families",
    "write_graph_page": "graph_page",
}

__all__ = [
    "AngleProfile",
    "Attribution",
    "BandingScore",
    "CheckRow",
    "CircuitCheck",
    "CircuitGraph",
    "ClassEffect",
    "ContributionScore",
    "DropWeights",
    "Edge",
    "EdgeScores",
    "Edit",
    "Enrichment",
    "EquivarianceScore",
    "Factorisation",
    "Faithfulness",
    "Family",
    "FamilyMap",
    "GateReport",
    "Grouping",
    "HarmonicScore",
    "InputAblation",
    "JointTuning",
    "KindRules",
    "NetworkMap",
    "Node",
    "PhotographEvidence",
    "PreservationPoint",
    "Probe",
    "Probed",
    "PruningCurve",
    "Relevance",
    "Replay",
    "ScaleEdge",
    "SelectInputs",
    "SetUnits",
    "Superposition",
    "Symmetry",
    "Thresholds",
    "Tuning",
    "TuningConfig",
    "TuningCurve",
    "TuningEffect",
    "UnitEffect",
    "UnitKind",
    "WeightMap",
    "ablate_inputs",
    "activation_scores",
    "angle_profile",
    "angles_by_rotation",
    "banding_score",
    "branch_enrichment",
    "build_graph",
    "check_circuit",
    "check_partition",
    "class_effects",
    "compare_gates",
    "conditional_relevance",
    "contributions",
    "edge_scores",
    "edited",
    "edited_at_random",
    "enrichment_of",
    "equivariance_score",
    "expand",
    "factorise",
    "factorise_each",
    "factorise_weights",
    "family_matrix",
    "gradient_times_activation",
    "graph_picture",
    "graph_to_svg",
    "group",
    "harmonic_test",
    "integrated_gradients",
    "joint_tuning",
    "keep_only",
    "map_families",
    "map_network",
    "matched",
    "measure_faithfulness",
    "measure_responses",
    "measure_tuning",
    "parse_edit",
    "parse_families",
    "photograph_evidence",
    "preservation_curve",
    "probe_images",
    "probe_site",
    "pruning_curve",
    "raw_weights",
    "read_families",
    "rotation",
    "shuffled",
    "side_sums",
    "superposition_score",
    "tuned_curves",
    "tuned_family",
    "tuning_effects",
    "unit_effects",
    "unit_kinds",
    "weight_scores",
    "with_images",
    "with_random_weights",
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
