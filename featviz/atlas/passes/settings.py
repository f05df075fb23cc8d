"""How a pass over images runs, what decides its numbers, and how it went."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int64

from featviz.atlas.passes.picture_sources import ImageSource
from featviz.atlas.passes.skips import Skips
from featviz.errors import ConfigError
from featviz.models.model import Model
from featviz.sites import Site


@dataclass(frozen=True)
class PassSettings:
    """How a pass runs.

    Attributes:
        batch: Images at a time. Kernels may round differently for another one, so that values
            differ by some 1e-6 of themselves; nothing else depends on it.
        seed: Of the order of the images.
        every: Images between two saved states.
        loaders: Threads that read; None for what the source takes, one a core for a folder.
    """

    batch: int = 32
    seed: int = 0
    every: int = 2000
    loaders: int | None = None

    def __post_init__(self) -> None:
        """Check each part."""
        for name, least in (("batch", 1), ("seed", 0), ("every", 1), ("loaders", 1)):
            value = getattr(self, name)
            if name == "loaders" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
                raise ConfigError(f"{name} must be a whole number from {least}, got {value!r}")


@dataclass
class PassReport:
    """How a pass went.

    Attributes:
        used: Images that went through the network.
        skipped: Those that could not be read.
    """

    used: int = 0
    skipped: Skips = field(default_factory=Skips)


def visiting_order(count: int, seed: int) -> Int64[np.ndarray, " n"]:
    """Return numbers 0 to count - 1 in a random order, the same for ever.

    References:
        Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 17:
        numbers are sorted by their SplitMix64.
    """
    with np.errstate(over="ignore"):
        start = np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        x = (np.arange(1, count + 1, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(x ^ (x >> np.uint64(31)), kind="stable")


def unit_slices(sites: Sequence[Site]) -> dict[str, slice]:
    """Return where the units of each site lie among all of them."""
    begins = np.cumsum([0, *(site.channels for site in sites)])
    return {
        site.name: slice(int(begin), int(begin) + site.channels)
        for site, begin in zip(sites, begins, strict=False)
    }


def pass_about(
    model: Model, sites: Sequence[Site], source: ImageSource, settings: PassSettings, weights: str
) -> dict[str, Any]:
    """Return all that decides the numbers of a pass, as JSON.

    Args:
        model: The network.
        sites: In their order.
        source: The images.
        settings: How it runs.
        weights: SHA-256 of its weights.
    """
    pre = model.spec.preprocess
    return {
        "model": model.name,
        "weights": weights,
        "preprocess": [list(pre.mean), list(pre.std), pre.scale, pre.channel_order],
        "size": list(model.spec.size),
        "channels": model.spec.channels,
        "sites": [[site.name, list(site.span)] for site in sites],
        "images": [len(source), source.fingerprint()],
        "batch": settings.batch,
        "seed": settings.seed,
        "device": model.device.type,
    }
