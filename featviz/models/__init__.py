"""Networks: what featviz knows about them, their weights, and loading them.

Importing this registers the models and imports no torch; using `Model` or calling `load` does.
"""

from typing import TYPE_CHECKING, Any

from featviz.models import (  # noqa: F401 - importing a family registers its spec
    efficientnet_lite,
    googlenet_bvlc,
    inception_v1,
    squeezenet,
)
from featviz.models.load import load
from featviz.models.spec import (
    ModelSpec,
    Preprocess,
    SiteAlias,
    WeightsSource,
    get_spec,
    list_models,
    register_model,
)

if TYPE_CHECKING:
    from featviz.models.model import Model

__all__ = [
    "Model",
    "ModelSpec",
    "Preprocess",
    "SiteAlias",
    "WeightsSource",
    "get_spec",
    "list_models",
    "load",
    "register_model",
]


def __getattr__(name: str) -> Any:
    """Import `Model`, and torch with it, on first use."""
    if name == "Model":
        from featviz.models.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
