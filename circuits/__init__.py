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
    from circuits.ablation.editing import edited
    from circuits.ablation.edits import (
        DropWeights,
        Edit,
        ScaleEdge,
        SelectInputs,
        SetUnits,
        parse_edit,
    )
    from circuits.ablation.effects import (
        ClassEffect,
        TuningEffect,
        UnitEffect,
        class_effects,
        tuning_effects,
        unit_effects,
    )
    from circuits.ablation.input_ablation import InputAblation, ablate_inputs
    from circuits.ablation.keeping import keep_only
    from circuits.ablation.random_edits import edited_at_random
    from circuits.ablation.replay import Replay
    from circuits.attribution.contributions import (
        Attribution,
        contributions,
        gradient_times_activation,
        integrated_gradients,
    )
    from circuits.attribution.edge_patching import EdgeScores, edge_scores
    from circuits.attribution.kernel_scores import (
        PruningCurve,
        activation_scores,
        pruning_curve,
        weight_scores,
    )
    from circuits.attribution.relevance import Relevance, conditional_relevance
    from circuits.controls import shuffled, with_random_weights
    from circuits.expansion.agreement import GateReport, compare_gates
    from circuits.expansion.expand import expand
    from circuits.expansion.kernel_sides import side_sums
    from circuits.expansion.raw_weights import raw_weights
    from circuits.expansion.weight_map import WeightMap
    from circuits.factoring.banding import BandingScore, banding_score
    from circuits.factoring.factor import factorise, factorise_each, factorise_weights
    from circuits.factoring.factorisation import Factorisation, matched
    from circuits.factoring.superposition import Superposition, superposition_score
    from circuits.families.enrichment import Enrichment, branch_enrichment, enrichment_of
    from circuits.families.equivariance import (
        EquivarianceScore,
        HarmonicScore,
        angles_by_rotation,
        equivariance_score,
        harmonic_test,
    )
    from circuits.families.family import (
        Family,
        check_partition,
        parse_families,
        read_families,
        write_families,
    )
    from circuits.families.family_map import FamilyMap, map_families
    from circuits.families.grouping import Grouping, group
    from circuits.families.selection import Thresholds, tuned_curves, tuned_family
    from circuits.families.symmetry import Symmetry, rotation
    from circuits.graphs.building import build_graph
    from circuits.graphs.check import CheckRow, CircuitCheck, check_circuit, probe_images
    from circuits.graphs.draw import graph_to_svg
    from circuits.graphs.draw_png import graph_picture
    from circuits.graphs.family_nodes import with_families
    from circuits.graphs.features import with_images, with_tuning
    from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning
    from circuits.graphs.input_scores import ContributionScore
    from circuits.graphs.page import write_graph_page
    from circuits.graphs.preservation import (
        Faithfulness,
        PreservationPoint,
        measure_faithfulness,
        preservation_curve,
    )
    from circuits.graphs.probe import Probe
    from circuits.kinds.network_map import NetworkMap, map_network
    from circuits.kinds.photographed import PhotographEvidence, photograph_evidence
    from circuits.kinds.probes import Probed, probe_site
    from circuits.kinds.rules import KindRules, UnitKind, unit_kinds
    from circuits.pictures.family_matrix import family_matrix
    from circuits.tuning.angle_profiles import AngleProfile, angle_profile
    from circuits.tuning.curve import TuningCurve
    from circuits.tuning.measuring import TuningConfig, measure_responses, measure_tuning
    from circuits.tuning.turned_pictures import JointTuning, joint_tuning

_HOMES = {
    "AngleProfile": "tuning.angle_profiles",
    "Attribution": "attribution.contributions",
    "BandingScore": "factoring.banding",
    "CheckRow": "graphs.check",
    "CircuitCheck": "graphs.check",
    "CircuitGraph": "graphs.graph",
    "ClassEffect": "ablation.effects",
    "ContributionScore": "graphs.input_scores",
    "DropWeights": "ablation.edits",
    "Edge": "graphs.graph",
    "EdgeScores": "attribution.edge_patching",
    "Edit": "ablation.edits",
    "Enrichment": "families.enrichment",
    "EquivarianceScore": "families.equivariance",
    "Factorisation": "factoring.factorisation",
    "Faithfulness": "graphs.preservation",
    "Family": "families.family",
    "FamilyMap": "families.family_map",
    "GateReport": "expansion.agreement",
    "Grouping": "families.grouping",
    "HarmonicScore": "families.equivariance",
    "InputAblation": "ablation.input_ablation",
    "JointTuning": "tuning.turned_pictures",
    "KindRules": "kinds.rules",
    "NetworkMap": "kinds.network_map",
    "Node": "graphs.graph",
    "PhotographEvidence": "kinds.photographed",
    "PreservationPoint": "graphs.preservation",
    "Probe": "graphs.probe",
    "Probed": "kinds.probes",
    "PruningCurve": "attribution.kernel_scores",
    "Relevance": "attribution.relevance",
    "Replay": "ablation.replay",
    "ScaleEdge": "ablation.edits",
    "SelectInputs": "ablation.edits",
    "SetUnits": "ablation.edits",
    "Superposition": "factoring.superposition",
    "Symmetry": "families.symmetry",
    "Thresholds": "families.selection",
    "Tuning": "graphs.graph",
    "TuningConfig": "tuning.measuring",
    "TuningCurve": "tuning.curve",
    "TuningEffect": "ablation.effects",
    "UnitEffect": "ablation.effects",
    "UnitKind": "kinds.rules",
    "WeightMap": "expansion.weight_map",
    "ablate_inputs": "ablation.input_ablation",
    "activation_scores": "attribution.kernel_scores",
    "angle_profile": "tuning.angle_profiles",
    "angles_by_rotation": "families.equivariance",
    "banding_score": "factoring.banding",
    "branch_enrichment": "families.enrichment",
    "build_graph": "graphs.building",
    "check_circuit": "graphs.check",
    "check_partition": "families.family",
    "class_effects": "ablation.effects",
    "compare_gates": "expansion.agreement",
    "conditional_relevance": "attribution.relevance",
    "contributions": "attribution.contributions",
    "edge_scores": "attribution.edge_patching",
    "edited": "ablation.editing",
    "edited_at_random": "ablation.random_edits",
    "enrichment_of": "families.enrichment",
    "equivariance_score": "families.equivariance",
    "expand": "expansion.expand",
    "factorise": "factoring.factor",
    "factorise_each": "factoring.factor",
    "factorise_weights": "factoring.factor",
    "family_matrix": "pictures.family_matrix",
    "gradient_times_activation": "attribution.contributions",
    "graph_picture": "graphs.draw_png",
    "graph_to_svg": "graphs.draw",
    "group": "families.grouping",
    "harmonic_test": "families.equivariance",
    "integrated_gradients": "attribution.contributions",
    "joint_tuning": "tuning.turned_pictures",
    "keep_only": "ablation.keeping",
    "map_families": "families.family_map",
    "map_network": "kinds.network_map",
    "matched": "factoring.factorisation",
    "measure_faithfulness": "graphs.preservation",
    "measure_responses": "tuning.measuring",
    "measure_tuning": "tuning.measuring",
    "parse_edit": "ablation.edits",
    "parse_families": "families.family",
    "photograph_evidence": "kinds.photographed",
    "preservation_curve": "graphs.preservation",
    "probe_images": "graphs.check",
    "probe_site": "kinds.probes",
    "pruning_curve": "attribution.kernel_scores",
    "raw_weights": "expansion.raw_weights",
    "read_families": "families.family",
    "rotation": "families.symmetry",
    "shuffled": "controls",
    "side_sums": "expansion.kernel_sides",
    "superposition_score": "factoring.superposition",
    "tuned_curves": "families.selection",
    "tuned_family": "families.selection",
    "tuning_effects": "ablation.effects",
    "unit_effects": "ablation.effects",
    "unit_kinds": "kinds.rules",
    "weight_scores": "attribution.kernel_scores",
    "with_families": "graphs.family_nodes",
    "with_images": "graphs.features",
    "with_random_weights": "controls",
    "with_tuning": "graphs.features",
    "write_families": "families.family",
    "write_graph_page": "graphs.page",
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
    "with_families",
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
