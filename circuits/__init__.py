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
    from circuits.expansion import expand
    from circuits.weight_map import WeightMap
    from circuits.weights import raw_weights

_HOMES = {
    "GateReport": "agreement",
    "WeightMap": "weight_map",
    "compare_gates": "agreement",
    "expand": "expansion",
    "raw_weights": "weights",
}

__all__ = [
    "GateReport",
    "WeightMap",
    "compare_gates",
    "expand",
    "raw_weights",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'circuits' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"circuits.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
