"""Run a network with only some units of some sites, the others silenced.

The one place through which checks of circuits cut units off; hooks last as long as the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.activation_hooks import Change, changed_sites, constant, editable_site
from featviz.errors import CircuitError, UnitError, did_you_mean
from featviz.models import Model

ABLATIONS = ("zero", "mean")
_BATCH = 16


def check_ablation(name: str) -> str:
    """Return the name of a way to silence units if there is one.

    Raises:
        CircuitError: If there is none.
    """
    if name not in ABLATIONS:
        raise CircuitError(
            f"unknown ablation {name!r}{did_you_mean(name, ABLATIONS)} choose one of "
            f"{', '.join(ABLATIONS)}"
        )
    return name


def channel_means(
    model: Model, images: Float[Tensor, "n c h w"], sites: Sequence[str]
) -> dict[str, Float[Tensor, " k"]]:
    """Return the mean activation of each channel of sites, over images and positions.

    Args:
        model: The network.
        images: RGB (or the network's own channels), 0..1; run a few at a time.
        sites: Names.

    Raises:
        CircuitError: If there are no images.
        SiteError: If a site is unknown.
    """
    if not len(images):
        raise CircuitError("no images to take a mean over; give one at least")
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for batch in images.split(_BATCH):
            for site, value in model.record(batch.to(model.device), list(sites)).items():
                mean = value.transpose(0, 1).flatten(1).mean(1) * (len(batch) / len(images))
                sums[site] = sums[site] + mean if site in sums else mean
    return sums


@contextmanager
def keep_only(
    model: Model,
    kept: Mapping[str, Sequence[int]],
    *,
    fill: Mapping[str, Float[Tensor, " k"]] | None = None,
) -> Iterator[None]:
    """Silence all units of some sites but those named, while the block lasts.

    Args:
        model: The network.
        kept: Channels by site; sites that are not named are left alone.
        fill: What silenced channels become, by site; None: 0.

    Raises:
        CircuitError: If a site is a pre-activation, which hooks cannot reach.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    changes: dict[str, Change] = {}
    for name, channels in kept.items():
        count = editable_site(model, name).channels
        wrong = [k for k in channels if not 0 <= k < count]
        if wrong:
            raise UnitError(
                f"channel {wrong[0]} is out of range: {name!r} has {count} channels, 0 to "
                f"{count - 1}"
            )
        gone = sorted(set(range(count)) - set(channels))
        values = torch.zeros(count) if fill is None else fill[name]
        changes[name] = constant(gone, values[gone])
    with changed_sites(model, changes):
        yield
