"""See what any unit of a vision CNN looks for.

    import featviz

    model = featviz.load("squeezenet1_1")
    result = featviz.render(model, "fire4:128", steps=256, size=128, seed=0)
    result.save("out/")

Names load on first use, so that `featviz --help` need not import torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featviz.config import RenderConfig
    from featviz.errors import FeatvizError
    from featviz.models import Model, ModelSpec, Preprocess, list_models, register_model
    from featviz.models.load import load
    from featviz.objectives import (
        Objective,
        channel,
        class_logit,
        direction,
        neuron,
        objective,
    )
    from featviz.params import Cppn, Fourier, Maco, Pixels, Pyramid, Shared
    from featviz.record import read_record
    from featviz.rendering import render
    from featviz.result import RenderResult

__version__ = version("featviz")

_HOMES = {
    "Cppn": "params",
    "FeatvizError": "errors",
    "Fourier": "params",
    "Maco": "params",
    "Model": "models",
    "ModelSpec": "models",
    "Objective": "objectives",
    "Pixels": "params",
    "Preprocess": "models",
    "Pyramid": "params",
    "RenderConfig": "config",
    "RenderResult": "result",
    "Shared": "params",
    "channel": "objectives",
    "class_logit": "objectives",
    "direction": "objectives",
    "list_models": "models",
    "load": "models.load",
    "neuron": "objectives",
    "objective": "objectives",
    "read_record": "record",
    "register_model": "models",
    "render": "rendering",
}

__all__ = [
    "Cppn",
    "FeatvizError",
    "Fourier",
    "Maco",
    "Model",
    "ModelSpec",
    "Objective",
    "Pixels",
    "Preprocess",
    "Pyramid",
    "RenderConfig",
    "RenderResult",
    "Shared",
    "channel",
    "class_logit",
    "direction",
    "list_models",
    "load",
    "neuron",
    "objective",
    "read_record",
    "register_model",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featviz' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"featviz.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
