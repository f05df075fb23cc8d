"""Images that somebody gives: one check of them for all that measures, and passes in batches."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from featviz.errors import CircuitError
from featviz.models import Model

BATCH = 16
"""Images that run at once, so that a folder of photographs fits into memory."""

_SLACK = 1e-3
"""How far resampled images may be outside of 0..1 without having been normalised."""


def checked_images(model: Model, images: object, *, name: str = "images") -> Tensor:
    """Return images that a network can be measured on, on its device.

    Args:
        model: The network.
        images: What was given: [n c h w], one image at least, finite, 0..1; -1..1 for a network
            that subtracts no mean.
        name: What to call them in messages.

    Returns:
        The images; half precision as float32, and what was made in inference mode as a copy of
        which gradients can be taken.

    Raises:
        CircuitError: If they are no such images.
    """
    channels = model.spec.channels
    wanted = f"{name} must be a tensor [n {channels} h w] of numbers from 0 to 1"
    if not isinstance(images, Tensor):
        raise CircuitError(
            f"{wanted}; got {type(images).__name__}: convert arrays by torch.from_numpy, and put "
            "channels second"
        )
    shape = tuple(images.shape)
    if images.dim() == 3:
        raise CircuitError(f"{wanted}; got one image of shape {shape}: give it as {name}[None]")
    if images.dim() != 4 or shape[1] != channels:
        raise CircuitError(f"{wanted}; got shape {shape}: {model.name!r} takes {channels} channels")
    if not images.numel():
        raise CircuitError(f"{wanted}; got shape {shape}, no image at all: give one at least")
    if not images.is_floating_point():
        raise CircuitError(f"{wanted}; got {images.dtype}: divide 0..255 by 255 as floats")
    images = images.detach().to(model.device)
    if images.dtype not in (torch.float32, torch.float64):
        images = images.float()
    if not images.isfinite().all():
        raise CircuitError(f"{wanted}; got NaN or infinity: leave out, or repair, such images")
    low, high = (float(end) for end in images.aminmax())
    # A network that subtracts no mean may have been made for signed numbers.
    least = 0.0 if any(model.spec.preprocess.mean) else -1.0
    if low < least - _SLACK or high > 1 + _SLACK:
        raise CircuitError(
            f"{wanted}; got {low:.4g} to {high:.4g}: divide 0..255 by 255, and do not normalise, "
            "which featviz does"
        )
    return images.clone() if images.is_inference() else images


def record_in_batches(model: Model, images: Tensor, sites: Sequence[str]) -> dict[str, Tensor]:
    """Return the activation at each site over all images, without gradients.

    Args:
        model: The network.
        images: [n c h w], 0..1, on its device.
        sites: Names, see featviz.sites.

    Raises:
        ModelError: As `Model.record`.
        SiteError: If a site is unknown.
    """
    with torch.no_grad():
        found = [model.record(batch, sites) for batch in images.split(BATCH)]
    return joined(found)


def check_activations(model: Model, found: Mapping[str, Tensor]) -> None:
    """Check that activations are numbers, and say which weights are to blame if they are not.

    Args:
        model: The network.
        found: Activations by site.

    Raises:
        CircuitError: If one holds NaN or infinity.
    """
    broken = [site for site, activation in found.items() if not activation.isfinite().all()]
    if not broken:
        return
    weights = [
        name
        for name, tensor in model.module.state_dict().items()
        if tensor.is_floating_point() and not tensor.isfinite().all()
    ]
    raise CircuitError(
        f"the activation of {broken[0]!r} in {model.name!r} holds numbers that are not finite (NaN "
        "or infinity), "
        + (
            f"and so do the weights {weights[0]!r}; load intact weights"
            if weights
            else "though all weights are finite: they are too large, or an operation has no value "
            "there; load the weights that belong to this network, or give other images"
        )
    )


def joined(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return what batches gave, one after the other, by name."""
    first, *others = parts
    if not others:
        return first
    return {name: torch.cat([first[name], *(o[name] for o in others)]) for name in first}
