"""Run a network on from the activations of one site: what later units do if these are changed.

    replay = Replay(model, "inception_3a", "inception_3b")
    before = replay(activation)
    activation[:, [12, 40]] = 0
    after = replay(activation)

Changed activations cost a pass from the site on, not one from the image, so that hundreds of random
ablations can be drawn. It holds only where everything the target reads comes through the site,
which is checked once.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.stimuli import Grid
from circuits.tracing.opgraph import OpGraph, record_between
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Part


def middle_maps(
    model: Model, site: str, grid: Grid, *, cells: int = 9, batch: int = 32
) -> Float[Tensor, "a l c h w"]:
    """Return the middle of a site's maps on all stimuli of a grid.

    A replay from these gives a later site's middle positions as the whole pictures do, if all that
    they read lies within.

    Args:
        model: The network.
        site: Its name.
        grid: The stimuli.
        cells: Height and width of what is cut out; odd.
        batch: Pictures at a time.

    Raises:
        CircuitError: If the maps are smaller, or the number of cells is even.
        SiteError: If the site is unknown.
    """
    found = []
    with torch.no_grad():
        for first in range(0, len(grid), batch):
            images = grid.images(slice(first, first + batch), device=model.device)
            maps = model.record(images, [site])[site]
            if cells % 2 == 0 or maps.dim() != 4 or min(maps.shape[2:]) < cells:
                raise CircuitError(
                    f"cannot cut {cells}x{cells} cells around the middle of {site!r}, whose maps "
                    f"are {tuple(maps.shape[2:])}; give an odd number of cells that fits"
                )
            y, x = (side // 2 - cells // 2 for side in maps.shape[2:])
            found.append(maps[:, :, y : y + cells, x : x + cells].cpu())
    whole = torch.cat(found)
    return whole.view(len(grid.angles_deg), len(grid.levels), *whole.shape[1:])


class Replay:
    """What a target gives for activations of a source.

    Args:
        model: Any model that runs eagerly; it is left as it was.
        source: Site whose activations will be given: the whole output of one module.
        target: A later site.
        size: Image size, height and width in px, at which the network is checked; None for the
            model's own.

    Raises:
        CircuitError: If there is no path, the source is not the whole output of one module, or the
            target also reads something that goes round the source.
        SiteError: If a site is unknown.
    """

    def __init__(
        self, model: Model, source: str, target: str, *, size: tuple[int, int] | None = None
    ) -> None:
        graph = record_between(model, source, target, size=size)
        self.model = model
        self.target = target
        self._size = graph.size
        self.source = source
        self._channels = graph.source.channels
        self._part = _one_part(graph)
        _check_no_way_round(graph)

    @torch.no_grad()
    def __call__(self, activation: Float[Tensor, "n c *given"]) -> Float[Tensor, "n o *map"]:
        """Return the target's activation.

        Args:
            activation: Of the source; any number of them, and any map size that the rest of the
                network takes.

        Raises:
            CircuitError: If the number of channels is not that of the source.
        """
        if activation.dim() < 2 or activation.shape[1] != self._channels:
            raise CircuitError(
                f"the source has {self._channels} channels, got activations of shape "
                f"{tuple(activation.shape)}; give [n {self._channels} h w]"
            )
        given = activation.to(self.model.device)
        calls = 0

        def replace(_module: Any, _args: Any, _output: Any) -> Tensor | None:
            nonlocal calls
            calls += 1
            # A copy: a later operation in place must not reach the caller's.
            return given.clone() if calls == self._part.index + 1 else None

        module = self.model.module.get_submodule(self._part.path)
        # What comes before the source runs on one blank image, and nothing reads it.
        blank = torch.zeros(1, self.model.spec.channels, *self._size, device=self.model.device)
        # In front, so that whoever records this module sees what was put in.
        handle = module.register_forward_hook(replace, prepend=True)
        try:
            return self.model.record(blank, [self.target])[self.target]
        finally:
            handle.remove()


def _one_part(graph: OpGraph) -> Part:
    site = graph.source
    whole = site.span == (0, sum(end.channels for end in graph.sources))
    if len(site.parts) != 1 or site.parts[0].pre or not whole:
        raise CircuitError(
            f"{site.name!r} is not the whole output of one module, so it cannot be replaced; "
            "choose the module's own name, without .pre and slices"
        )
    return site.parts[0]


def _check_no_way_round(graph: OpGraph) -> None:
    inside = graph.between
    read = {value for operation in graph.operations for value in operation.inputs}
    if (read | {end.value for end in graph.targets}) - inside:
        raise CircuitError(
            f"{graph.target.name!r} also reads what goes round {graph.source.name!r}, such as a "
            "residual connection, so its activations do not decide the target; choose a source "
            "behind which the ways have met"
        )
