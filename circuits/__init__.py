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
    from circuits.ablation.chance import Chance, compare_with_chance
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
    from circuits.ablation.random_edits import RandomEdits, edited_at_random
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
    from circuits.graphs.faithfulness import Faithfulness, measure_faithfulness
    from circuits.graphs.family_nodes import with_families
    from circuits.graphs.features import with_images, with_tuning
    from circuits.graphs.gate_agreement import GateAgreement, GateRow, gate_agreement
    from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning
    from circuits.graphs.held_out import HeldOut, hold_out
    from circuits.graphs.input_scores import ContributionScore
    from circuits.graphs.page import write_graph_page
    from circuits.graphs.preservation import PreservationPoint, preservation_curve
    from circuits.graphs.probe import Probe
    from circuits.graphs.verdict import Verdict
    from circuits.kinds.network_map import NetworkMap, map_network
    from circuits.kinds.photographed import PhotographEvidence, photograph_evidence
    from circuits.kinds.probes import Probed, probe_site
    from circuits.kinds.rules import KindRules, UnitKind, unit_kinds
    from circuits.pictures.family_matrix import family_matrix
    from circuits.tuning.angle_profiles import AngleProfile, angle_profile
    from circuits.tuning.curve import TuningCurve
    from circuits.tuning.measuring import TuningConfig, measure_responses, measure_tuning
    from circuits.tuning.turned_pictures import JointTuning, joint_tuning

_NAMES = {
    "ablation.chance": ("Chance", "compare_with_chance"),
    "ablation.editing": ("edited",),
    "ablation.edits": (
        "DropWeights",
        "Edit",
        "ScaleEdge",
        "SelectInputs",
        "SetUnits",
        "parse_edit",
    ),
    "ablation.effects": (
        "ClassEffect",
        "TuningEffect",
        "UnitEffect",
        "class_effects",
        "tuning_effects",
        "unit_effects",
    ),
    "ablation.input_ablation": ("InputAblation", "ablate_inputs"),
    "ablation.keeping": ("keep_only",),
    "ablation.random_edits": ("RandomEdits", "edited_at_random"),
    "ablation.replay": ("Replay",),
    "attribution.contributions": (
        "Attribution",
        "contributions",
        "gradient_times_activation",
        "integrated_gradients",
    ),
    "attribution.edge_patching": ("EdgeScores", "edge_scores"),
    "attribution.kernel_scores": (
        "PruningCurve",
        "activation_scores",
        "pruning_curve",
        "weight_scores",
    ),
    "attribution.relevance": ("Relevance", "conditional_relevance"),
    "controls": ("shuffled", "with_random_weights"),
    "expansion.agreement": ("GateReport", "compare_gates"),
    "expansion.expand": ("expand",),
    "expansion.kernel_sides": ("side_sums",),
    "expansion.raw_weights": ("raw_weights",),
    "expansion.weight_map": ("WeightMap",),
    "factoring.banding": ("BandingScore", "banding_score"),
    "factoring.factor": ("factorise", "factorise_each", "factorise_weights"),
    "factoring.factorisation": ("Factorisation", "matched"),
    "factoring.superposition": ("Superposition", "superposition_score"),
    "families.enrichment": ("Enrichment", "branch_enrichment", "enrichment_of"),
    "families.equivariance": (
        "EquivarianceScore",
        "HarmonicScore",
        "HeldOut",
        "angles_by_rotation",
        "equivariance_score",
        "harmonic_test",
    ),
    "families.family": (
        "Family",
        "check_partition",
        "parse_families",
        "read_families",
        "write_families",
    ),
    "families.family_map": ("FamilyMap", "map_families"),
    "families.grouping": ("Grouping", "group"),
    "families.selection": ("Thresholds", "tuned_curves", "tuned_family"),
    "families.symmetry": ("Symmetry", "rotation"),
    "graphs.building": ("build_graph",),
    "graphs.check": ("CheckRow", "CircuitCheck", "check_circuit", "probe_images"),
    "graphs.draw": ("graph_to_svg",),
    "graphs.draw_png": ("graph_picture",),
    "graphs.faithfulness": ("Faithfulness", "measure_faithfulness"),
    "graphs.family_nodes": ("with_families",),
    "graphs.features": ("with_images", "with_tuning"),
    "graphs.gate_agreement": ("GateAgreement", "GateRow", "gate_agreement"),
    "graphs.graph": ("CircuitGraph", "Edge", "Node", "Tuning"),
    "graphs.held_out": ("HeldOut", "hold_out"),
    "graphs.input_scores": ("ContributionScore",),
    "graphs.page": ("write_graph_page",),
    "graphs.preservation": ("PreservationPoint", "preservation_curve"),
    "graphs.probe": ("Probe",),
    "graphs.verdict": ("Verdict",),
    "kinds.network_map": ("NetworkMap", "map_network"),
    "kinds.photographed": ("PhotographEvidence", "photograph_evidence"),
    "kinds.probes": ("Probed", "probe_site"),
    "kinds.rules": ("KindRules", "UnitKind", "unit_kinds"),
    "pictures.family_matrix": ("family_matrix",),
    "tuning.angle_profiles": ("AngleProfile", "angle_profile"),
    "tuning.curve": ("TuningCurve",),
    "tuning.measuring": ("TuningConfig", "measure_responses", "measure_tuning"),
    "tuning.turned_pictures": ("JointTuning", "joint_tuning"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [
    "AngleProfile",
    "Attribution",
    "BandingScore",
    "Chance",
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
    "GateAgreement",
    "GateReport",
    "GateRow",
    "Grouping",
    "HarmonicScore",
    "HeldOut",
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
    "RandomEdits",
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
    "Verdict",
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
    "compare_with_chance",
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
    "gate_agreement",
    "gradient_times_activation",
    "graph_picture",
    "graph_to_svg",
    "group",
    "harmonic_test",
    "hold_out",
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
