"""Responses of a unit with only some units of the same few sites on, for many selections.

    silencing = Silencing(probe, ["early_curves", "lines"])
    silencing({"early_curves": [6, 18]})  # all others of both sites silenced

The same as `Probe.response`, in less time: what comes before the sites is run once, and no
selection twice, so that many random ones can stand beside a circuit.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.keeping import channel_means, keep_only
from circuits.ablation.replay import Replay
from circuits.graphs.probe import BATCH, Probe
from circuits.tuning.measuring import read_map
from featviz.errors import CircuitError
from featviz.models import Model

_TRIED = 3
_BATCH = 96
_MOST_BYTES = 2**30


class Silencing:
    """Responses of a probe with only some units of some sites on.

    Args:
        probe: The unit or units, and the images.
        sites: Whose units are silenced, all but those kept.
        on_run: Called after each selection that was run.

    Raises:
        SiteError: If a site is unknown.
    """

    def __init__(
        self, probe: Probe, sites: Sequence[str], *, on_run: Callable[[], None] = lambda: None
    ) -> None:
        self.probe, self._on_run = probe, on_run
        self.sites = tuple(dict.fromkeys(sites))
        self._known: dict[object, Tensor] = {}
        self._fill = None
        if probe.ablation == "mean":
            self._fill = channel_means(probe.model, probe.images, self.sites)

    @cached_property
    def full(self) -> Float[Tensor, " responses"]:
        """The response of the whole network."""
        return self.probe.response()

    def __call__(self, kept: Mapping[str, Sequence[int]]) -> Float[Tensor, " responses"]:
        """Return what `Probe.response` does, all sites named.

        Args:
            kept: Channels left on, by site; none of a site that is not named.

        Raises:
            CircuitError: As `keep_only`.
            UnitError: If there is no such channel.
        """
        assert set(kept) <= set(self.sites)
        key = tuple((site, tuple(sorted(kept.get(site, ())))) for site in self.sites)
        if key not in self._known:
            start = self._start  # Recorded before anything is silenced.
            with torch.no_grad(), keep_only(self.probe.model, dict(key), fill=self._fill):
                self._known[key] = self._response(start)
            self._on_run()
        return self._known[key]

    def _response(self, start: "tuple[Replay, list[Tensor]] | None") -> Float[Tensor, " responses"]:
        if start is None:
            return self.probe.response()
        replay, batches = start
        channels = list(self.probe.channels)
        maps = (replay(batch) for batch in batches)
        found = [read_map(each, self.probe.region)[:, channels].cpu() for each in maps]
        return torch.cat(found).T.flatten()

    @cached_property
    def _start(self) -> "tuple[Replay, list[Tensor]] | None":
        """What to go on from, and its activations; None if nothing near is all that is read."""
        probe = self.probe
        height, width = probe.images.shape[2:]
        for site in _starts(probe.model, self.sites):
            try:
                replay = Replay(probe.model, site, probe.site, size=(height, width))
            except CircuitError:
                # A way leads round it: an earlier one may do, and else the image.
                continue
            return _recorded(probe, replay, site)
        return None


def _starts(model: Model, sites: Sequence[str]) -> list[str]:
    """Return sites that a replay may begin at, nearest first: nothing is silenced before."""
    table = model.site_table()
    orders = {name: table.resolve(name).order for name in (*sites, *table.names())}
    first = min(orders[site] for site in sites)
    before = sorted((n for n in orders if orders[n] < first), key=lambda n: -orders[n])
    return [*(site for site in sites if orders[site] == first), *before[:_TRIED]]


def _recorded(probe: Probe, replay: Replay, site: str) -> tuple[Replay, list[Tensor]] | None:
    """Return the site's activations on all images by batch, where memory has room for them."""
    batches: list[Tensor] = []
    with torch.no_grad():
        for images in probe.images.split(BATCH):
            batches.append(probe.model.record(images.to(probe.model.device), [site])[site])
            bytes_each = batches[0].element_size() * batches[0][0].numel()
            if bytes_each * len(probe.images) > _MOST_BYTES:
                return None
    # Larger batches than of images: what follows has smaller maps.
    return replay, list(torch.cat(batches).split(_BATCH))
