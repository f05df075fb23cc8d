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
    from circuits.kind_rules import KindRules, UnitKind, unit_kinds
    from circuits.network_map import NetworkMap, map_network
    from circuits.photographed import PhotographEvidence, photograph_evidence
    from circuits.probes import Probed, probe_site
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
    "Enrichment": "enrichment",
    "EquivarianceScore": "equivariance",
    "Factorisation": "factorisation",
    "Family": "families",
    "FamilyMap": "family_map",
    "GateReport": "agreement",
    "Grouping": "grouping",
    "HarmonicScore": "equivariance",
    "JointTuning": "turned_pictures",
    "KindRules": "kind_rules",
    "NetworkMap": "network_map",
    "PhotographEvidence": "photographed",
    "Probed": "probes",
    "Superposition": "superposition",
    "Symmetry": "symmetry",
    "TuningConfig": "tuning",
    "TuningCurve": "tuning_curve",
    "UnitKind": "kind_rules",
    "WeightMap": "weight_map",
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
    "group": "grouping",
    "harmonic_test": "equivariance",
    "joint_tuning": "turned_pictures",
    "map_families": "family_map",
    "map_network": "network_map",
    "matched": "factorisation",
    "measure_responses": "tuning",
    "measure_tuning": "tuning",
    "parse_families": "families",
    "photograph_evidence": "photographed",
    "probe_site": "probes",
    "raw_weights": "weights",
    "read_families": "families",
    "rotation": "symmetry",
    "shuffled": "tuning_controls",
    "superposition_score": "superposition",
    "unit_kinds": "kind_rules",
    "write_families": "families",
}

__all__ = [
    "BandingScore",
    "Enrichment",
    "EquivarianceScore",
    "Factorisation",
    "Family",
    "FamilyMap",
    "GateReport",
    "Grouping",
    "HarmonicScore",
    "JointTuning",
    "KindRules",
    "NetworkMap",
    "PhotographEvidence",
    "Probed",
    "Superposition",
    "Symmetry",
    "TuningConfig",
    "TuningCurve",
    "UnitKind",
    "WeightMap",
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
    "group",
    "harmonic_test",
    "joint_tuning",
    "map_families",
    "map_network",
    "matched",
    "measure_responses",
    "measure_tuning",
    "parse_families",
    "photograph_evidence",
    "probe_site",
    "raw_weights",
    "read_families",
    "rotation",
    "shuffled",
    "superposition_score",
    "unit_kinds",
    "write_families",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"circuits.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
