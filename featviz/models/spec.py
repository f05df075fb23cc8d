"""What featviz knows about a network before it builds it: the spec, and the registry of specs.

First stage of the flow: a name becomes a `ModelSpec`, a spec becomes a `Model` (model.py).
Nothing here imports torch at run time, so that listing models stays fast.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from featviz.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Preprocess:
    """How an image in 0..1 becomes the input of a network: `(image * scale - mean) / std`.

    Attributes:
        mean: One number a channel, in the network's channel order and after scaling; one
            number alone serves all channels.
        std: Likewise.
        scale: Factor applied first, 255 for networks that take 0..255.
        channel_order: Order in which the network takes the channels of an RGB image.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    channel_order: Literal["RGB", "BGR"] = "RGB"

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value that the network gets from images in 0..1."""
        ends = [
            (value - mean) / std
            for value in (0.0, self.scale)
            for mean in self.mean
            for std in self.std
        ]
        return min(ends), max(ends)


@dataclass(frozen=True)
class SiteAlias:
    """A short name for a place in a network.

    Attributes:
        name: What users type, `fire4`.
        parts: Sites written with dotted module paths, such as `features.6`; several are
            concatenated along the channels.
        browsable: Whether listings show it.
    """

    name: str
    parts: tuple[str, ...]
    browsable: bool = True


@dataclass(frozen=True)
class WeightsSource:
    r"""Where the weights of a model come from.

    Attributes:
        origin: One line for people: package and version, or address.
        licence: Licence of the weights, SPDX where there is one.
        locate: Returns the file if it is on this machine, else None; downloads nothing.
        load: Reads, verifies and returns the weights as a state dict with the network's keys,
            from a file, or, for None, from the origin (downloading where it must).
        sha256: Digest of the original file, lower-case hex; None where another one serves.
        git_blob: SHA-1 of `blob SIZE\0` + content; None where another digest serves.
    """

    origin: str
    licence: str
    locate: Callable[[], Path | None]
    load: "Callable[[Path | None], dict[str, torch.Tensor]]"
    sha256: str | None = None
    git_blob: str | None = None


@dataclass(frozen=True)
class ModelSpec:
    """A network and all that is needed to use it; see `register_model`.

    Attributes:
        name: What users type.
        build: Makes the module, with weights that mean nothing, without touching the global RNG.
        preprocess: From an image in 0..1 to the network's input.
        size: Height and width in pixels the network was trained at.
        channels: Channels of its images.
        sites: Aliases, browsable ones in network order; empty: featviz lists the modules.
        labels: Makes the class names, in the order of the output; None where unknown.
        unit_labels: Makes names of units, alias of a site -> one name a channel; None where there
            are none.
        weights: Where the weights come from; None for modules handed over ready.
        summary: One line for listings.
    """

    name: str
    build: "Callable[[], nn.Module]"
    preprocess: Preprocess = field(default_factory=Preprocess)
    size: tuple[int, int] = (224, 224)
    channels: int = 3
    sites: tuple[SiteAlias, ...] = ()
    labels: Callable[[], tuple[str, ...]] | None = None
    unit_labels: Callable[[], Mapping[str, tuple[str, ...]]] | None = None
    weights: WeightsSource | None = None
    summary: str = ""


FAMILIES = ("timm", "torchvision")
"""Libraries whose networks are named LIBRARY:NAME; any other prefix is a module of a factory."""

_REGISTRY: dict[str, ModelSpec] = {}


def register_model(spec: ModelSpec) -> ModelSpec:
    """Add a spec to the registry and return it.

    Raises:
        ModelError: If the name is taken.
    """
    if spec.name in _REGISTRY:
        raise ModelError(f"a model named {spec.name!r} is registered already; choose another name")
    _REGISTRY[spec.name] = spec
    return spec


@cache
def _load_plugins() -> None:
    """Import what other packages name in the entry-point group `featviz.models`.

    Each entry is a `ModelSpec`, which its module registers; none may import torch at that.
    """
    for entry in entry_points(group="featviz.models"):
        spec = entry.load()
        if spec.name not in _REGISTRY:
            register_model(spec)


def list_models() -> list[str]:
    """Return the names of the registered models, sorted.

    Any `torchvision:NAME`, `timm:NAME` and `package.module:factory` can be loaded besides.
    """
    _load_plugins()
    return sorted(_REGISTRY)


def get_spec(name: str) -> ModelSpec:
    """Return the registered spec of a name.

    Raises:
        ModelError: If there is none.
    """
    if name not in _REGISTRY:
        _load_plugins()
    try:
        return _REGISTRY[name]
    except KeyError:
        raise ModelError(
            f"unknown model {name!r}{did_you_mean(name, _REGISTRY)} "
            "'featviz models' lists those that featviz knows; torchvision:NAME, timm:NAME and "
            "package.module:factory load others"
        ) from None
