"""Run a network with only some units of some sites, the others silenced.

The one place through which checks of circuits cut units off; hooks last as long as the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.errors import CircuitError, did_you_mean
from featviz.models import Model
from featviz.sites import Part

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
    table = model.site_table()
    cuts: dict[Part, tuple[Tensor, Tensor]] = {}
    for name, channels in kept.items():
        site = table.resolve(name)
        mask = torch.zeros(site.channels, dtype=torch.bool)
        mask[list(channels)] = True
        values = torch.zeros(site.channels) if fill is None else fill[name].cpu()
        first = 0
        for part in site.parts:
            if part.pre:
                raise CircuitError(
                    f"{name!r} is a pre-activation, whose units cannot be silenced; use "
                    f"{name.replace('.pre', '')!r}"
                )
            width = table.resolve(f"{part.path}#{part.index}").channels
            low, high = max(site.span[0] - first, 0), min(site.span[1] - first, width)
            if low < high:
                whole, new = torch.ones(width, dtype=torch.bool), torch.zeros(width)
                own = slice(low + first - site.span[0], high + first - site.span[0])
                whole[low:high], new[low:high] = mask[own], values[own]
                cuts[part] = _joined(cuts.get(part), whole, new)
            first += width
    handles = _hooks(model, cuts)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _joined(
    before: tuple[Tensor, Tensor] | None, mask: Tensor, values: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the cut of two slices of one place."""
    if before is None:
        return mask, values
    return before[0] & mask, torch.where(before[0], values, before[1])


def _hooks(model: Model, cuts: Mapping[Part, tuple[Tensor, Tensor]]) -> list[Any]:
    counts: dict[str, int] = {}

    def begin(_module: object, _args: object) -> None:
        counts.clear()

    def cut(path: str, output: Tensor) -> Tensor | None:
        index = counts.get(path, 0)
        counts[path] = index + 1
        found = cuts.get(Part(path, index))
        if found is None:
            return None
        shape = (1, -1, *(1 for _ in output.shape[2:]))
        mask, values = (tensor.to(output.device).view(shape) for tensor in found)
        return torch.where(mask, output, values.to(output.dtype))

    handles: list[Any] = [model.module.register_forward_pre_hook(begin)]
    for path in {part.path for part in cuts}:
        module = model.module.get_submodule(path)
        handles.append(
            module.register_forward_hook(lambda _m, _a, output, path=path: cut(path, output))
        )
    return handles
