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
    from circuits.joint_tuning import JointTuning, joint_tuning
    from circuits.tuning import TuningConfig, measure_responses, measure_tuning
    from circuits.tuning_controls import shuffled
    from circuits.tuning_curve import TuningCurve
    from circuits.weight_map import WeightMap

_HOMES = {
    "JointTuning": "joint_tuning",
    "TuningConfig": "tuning",
    "TuningCurve": "tuning_curve",
    "WeightMap": "weight_map",
    "joint_tuning": "joint_tuning",
    "measure_responses": "tuning",
    "measure_tuning": "tuning",
    "shuffled": "tuning_controls",
}

__all__ = [
    "JointTuning",
    "TuningConfig",
    "TuningCurve",
    "WeightMap",
    "joint_tuning",
    "measure_responses",
    "measure_tuning",
    "shuffled",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"circuits.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
