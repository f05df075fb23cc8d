"""Run a network with only some units of some sites, the others silenced.

The one place through which checks of circuits cut units off; hooks last as long as the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.ablation.activation_hooks import Change, changed_sites, editable_site
from featviz.errors import CircuitError, did_you_mean
from featviz.models import Model

ABLATIONS = ("zero", "mean")


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
    """Return the mean activation of each channel of sites, over images and positions."""
    with torch.no_grad():
        found = model.record(images.to(model.device), list(sites))
    return {site: value.transpose(0, 1).flatten(1).mean(1) for site, value in found.items()}


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
    """
    changes: dict[str, Change] = {}
    for name, channels in kept.items():
        count = editable_site(model, name).channels
        mask = torch.zeros(count, dtype=torch.bool)
        mask[list(channels)] = True
        values = torch.zeros(count) if fill is None else fill[name]
        changes[name] = partial(_silenced, mask, values)
    with changed_sites(model, changes):
        yield


def _silenced(
    mask: Bool[Tensor, " c"], values: Float[Tensor, " c"], activation: Float[Tensor, "b c ..."]
) -> Float[Tensor, "b c ..."]:
    """Return an activation in which only the channels of a mask are left, the others replaced."""
    shape = (1, -1, *(1 for _ in activation.shape[2:]))
    return torch.where(
        mask.to(activation.device).view(shape), activation, values.to(activation).view(shape)
    )
