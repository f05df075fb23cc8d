"""What a check of a circuit reads: one unit, or several of one site, on images.

    probe = Probe(model, "arcs:6", probe_images(model, "arcs"), region="center")
    probe.response({"early_curves": [6, 18]})

`control_probes` says the same of other networks, where there is no circuit to be found.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.keeping import channel_means, check_ablation, keep_only
from circuits.controls import shuffled, with_random_weights
from circuits.tracing.given_images import check_activations
from circuits.tuning.measuring import read_map
from featviz.errors import CircuitError, UnitError
from featviz.models import Model
from featviz.units import parse_units

BATCH = 32
_CONTROLS = 3
_TRIED = 24


@dataclass(frozen=True)
class Probe:
    """One unit or several of one site, and what their activation is read on.

    Attributes:
        model: The network.
        unit: `SITE:CHANNELS`.
        images: RGB (or the network's own channels), 0..1.
        region: Where the map is read: `center`, `map` or `mean`, see tuning/measuring.py.
        ablation: What silenced units become: `zero`, or the `mean` of their channel over the
            images.
    """

    model: Model
    unit: str
    images: Float[Tensor, "n c h w"]
    region: str = "map"
    ablation: str = "zero"

    def __post_init__(self) -> None:
        """Check the way of ablation and the units."""
        check_ablation(self.ablation)
        if parse_units(self.unit).position is not None:
            raise UnitError(
                f"{self.unit!r} names a position; a check reads the map as its region says: leave "
                "the position out"
            )
        _ = self.channels

    @property
    def site(self) -> str:
        """Name of the units' site."""
        return parse_units(self.unit).site

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the units, in the order named."""
        parsed = parse_units(self.unit)
        width = self.model.site_table().resolve(parsed.site).channels
        return tuple(unit.channel for unit in parsed.expand(width))

    def response(
        self, kept: Mapping[str, Sequence[int]] | None = None
    ) -> Float[Tensor, " responses"]:
        """Return the activation on each image, at least 0; all of one unit, then of the next.

        Args:
            kept: Channels left on, by site; None: the whole network.
        """
        kept = kept or {}
        fill = None
        if self.ablation == "mean" and kept:
            fill = channel_means(self.model, self.images, list(kept))
        site, channels = self.site, list(self.channels)
        found = []
        with torch.no_grad(), keep_only(self.model, kept, fill=fill):
            for batch in self.images.split(BATCH):
                maps = self.model.record(batch.to(self.model.device), [site])[site]
                found.append(read_map(maps, self.region)[:, channels].cpu())
        return torch.cat(found).T.flatten()


def check_draws(draws: object) -> None:
    """Check a number of random selections: without any, a circuit is compared with nothing.

    Raises:
        CircuitError: If it is no whole number, or below 1.
    """
    if not isinstance(draws, SupportsIndex) or isinstance(draws, bool) or int(draws) < 1:
        raise CircuitError(f"draws must be a whole number, 1 or more, got {draws!r}")


def pearson(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> float:
    """Return the correlation of two series; not-a-number where one does not vary."""
    a, b = (x.double() - x.double().mean() for x in (one, other))
    scale = float(a.norm() * b.norm())
    # Sums that should be 0 leave rounding behind.
    least = 1e-12 * float(one.double().norm() * other.double().norm())
    return float(a @ b) / scale if scale > least else math.nan


def varying_response(probe: Probe) -> Float[Tensor, " responses"]:
    """Return the response of the whole network.

    Raises:
        CircuitError: If it is the same on all images, or no number.
    """
    full = probe.response()
    check_activations(probe.model, {probe.site: full})
    if not _varies(full, len(probe.images)):
        raise CircuitError(
            f"{probe.unit} in {probe.model.name!r} responds alike to all {len(probe.images)} "
            "images, so nothing can be checked on them; give images that it responds to"
        )
    return full


def _varies(response: Float[Tensor, " responses"], images: int) -> bool:
    """Tell whether one unit at least does; that units differ from each other is not enough."""
    return any(not math.isnan(pearson(row, row)) for row in response.view(-1, images))


@dataclass(frozen=True)
class ControlProbe:
    """Units of a network without learnt order that vary over the images.

    Attributes:
        probe: The units, as many as in the network.
        full: Their response there.
    """

    probe: Probe
    full: Float[Tensor, " responses"]


def control_probes(probe: Probe, seed: int) -> dict[str, list[ControlProbe]]:
    """Return what stands beside a check: the same units of networks without learnt order.

    Of each network three sets of units: those of the probe if they vary there, and the next ones
    of their site that do. Fewer if no others vary.

    Args:
        probe: Of the network.
        seed: Of the networks.

    Returns:
        By kind of network, `shuffled` and `random_weights`, see controls.py.
    """
    return {
        "shuffled": _varying(probe, shuffled(probe.model, seed=seed)),
        "random_weights": _varying(probe, with_random_weights(probe.model, seed=seed)),
    }


def _varying(probe: Probe, network: Model) -> list[ControlProbe]:
    found: list[ControlProbe] = []
    for unit in _others(probe):
        other = replace(probe, model=network, unit=unit)
        full = other.response()
        if _varies(full, len(probe.images)):
            found.append(ControlProbe(other, full))
        if len(found) == _CONTROLS:
            break
    return found


def _others(probe: Probe) -> Iterator[str]:
    """Yield the units of a probe, then those that lie one, two ... channels further."""
    width = probe.model.site_table().resolve(probe.site).channels
    seen: set[tuple[int, ...]] = set()
    for step in range(min(width, _TRIED)):
        moved = tuple(sorted((channel + step) % width for channel in probe.channels))
        if moved not in seen:
            seen.add(moved)
            yield units_text(probe.site, moved)


def units_text(site: str, channels: Sequence[int]) -> str:
    """Return `SITE:CHANNELS` with neighbours as ranges, ascending."""
    spans: list[list[int]] = []
    for channel in sorted(channels):
        if spans and channel == spans[-1][1] + 1:
            spans[-1][1] = channel
        else:
            spans.append([channel, channel])
    texts = (str(first) if first == last else f"{first}-{last}" for first, last in spans)
    return f"{site}:{','.join(texts)}"


def count_units(text: str) -> int:
    """Return how many units a text of `units_text` names."""
    spans = parse_units(text).spans or ()
    return sum(last - first + 1 for first, last in spans)
