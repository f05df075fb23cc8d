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
    from circuits.angle_profiles import AngleProfile, angle_profile
    from circuits.banding import BandingScore, banding_score
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
    from circuits.grouping import Grouping, group
    from circuits.input_ablation import InputAblation, ablate_inputs
    from circuits.kernel_sides import side_sums
    from circuits.matrix_picture import family_matrix
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
    "BandingScore": "banding",
    "Enrichment": "enrichment",
    "EquivarianceScore": "equivariance",
    "Factorisation": "factorisation",
    "Family": "families",
    "FamilyMap": "family_map",
    "GateReport": "agreement",
    "Grouping": "grouping",
    "HarmonicScore": "equivariance",
    "InputAblation": "input_ablation",
    "JointTuning": "turned_pictures",
    "Replay": "replay",
    "Superposition": "superposition",
    "Symmetry": "symmetry",
    "Thresholds": "selection",
    "TuningConfig": "tuning",
    "TuningCurve": "tuning_curve",
    "WeightMap": "weight_map",
    "ablate_inputs": "input_ablation",
    "angle_profile": "angle_profiles",
    "angles_by_rotation": "equivariance",
    "banding_score": "banding",
    "branch_enrichment": "enrichment",
    "check_partition": "families",
    "compare_gates": "agreement",
    "enrichment_of": "enrichment",
    "equivariance_score": "equivariance",
    "expand": "expansion",
    "factorise": "factor",
    "factorise_each": "factor",
    "factorise_weights": "factor",
    "family_matrix": "matrix_picture",
    "group": "grouping",
    "harmonic_test": "equivariance",
    "joint_tuning": "turned_pictures",
    "map_families": "family_map",
    "matched": "factorisation",
    "measure_responses": "tuning",
    "measure_tuning": "tuning",
    "parse_families": "families",
    "raw_weights": "weights",
    "read_families": "families",
    "rotation": "symmetry",
    "shuffled": "tuning_controls",
    "side_sums": "kernel_sides",
    "superposition_score": "superposition",
    "tuned_curves": "selection",
    "tuned_family": "selection",
    "write_families": "families",
}

__all__ = [
    "AngleProfile",
    "BandingScore",
    "Enrichment",
    "EquivarianceScore",
    "Factorisation",
    "Family",
    "FamilyMap",
    "GateReport",
    "Grouping",
    "HarmonicScore",
    "InputAblation",
    "JointTuning",
    "Replay",
    "Superposition",
    "Symmetry",
    "Thresholds",
    "TuningConfig",
    "TuningCurve",
    "WeightMap",
    "ablate_inputs",
    "angle_profile",
    "angles_by_rotation",
    "banding_score",
    "branch_enrichment",
    "check_partition",
    "compare_gates",
    "enrichment_of",
    "equivariance_score",
    "expand",
    "factorise",
    "factorise_each",
    "factorise_weights",
    "family_matrix",
    "group",
    "harmonic_test",
    "joint_tuning",
    "map_families",
    "matched",
    "measure_responses",
    "measure_tuning",
    "parse_families",
    "raw_weights",
    "read_families",
    "rotation",
    "shuffled",
    "side_sums",
    "superposition_score",
    "tuned_curves",
    "tuned_family",
    "write_families",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"circuits.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
