"""Which edges carry a unit's activation: each is patched, and compared with its linear estimate.

An edge leads from a source unit to a target unit. Patching lets the target unit alone see the
source unit corrupted and reads a later unit, the metric; this costs a pass an edge. The estimate
(attribution patching) is `sum_xy (change of the target's pre-activation) . d metric / d it`; it is
exact where the metric is linear in the target, and how far it agrees is always part of the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.activation_hooks import Change, changed_sites, editable_site
from circuits.ablation.effects import correlation
from circuits.attribution.unit_reading import Where, check_channel, places_of, read_unit
from circuits.expansion.live import run_live
from circuits.tracing.opgraph import record_between
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import pre_activation_name
from featviz.units import Unit

_MOST_EDGES = 20_000
_CHANCE_DRAWS = 20


@dataclass(frozen=True, eq=False)
class EdgeScores:
    """What each edge does to the metric: its value with the edge corrupted, less that without.

    Negative scores are edges that excite the metric. Means over images.

    Attributes:
        source: Site.
        target: Site.
        sources: Its units.
        targets: Its units.
        patched: [source unit, target unit], by patching.
        linear: The same by the linear estimate.
        correlation: Pearson's, of the two over all edges; not a number if either is constant.
        rank_correlation: Spearman's.
        chance_correlation: Mean magnitude of Pearson's after the edges of one were shuffled.
    """

    source: str
    target: str
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    patched: Float[Tensor, "u v"]
    linear: Float[Tensor, "u v"]
    correlation: float
    rank_correlation: float
    chance_correlation: float

    def ranked(self) -> list[tuple[int, int, float]]:
        """Return the edges (source, target, patched score), largest magnitude first."""
        flat = self.patched.flatten()
        order = torch.argsort(flat.abs(), descending=True, stable=True).tolist()
        width = len(self.targets)
        return [(self.sources[k // width], self.targets[k % width], float(flat[k])) for k in order]


def edge_scores(
    model: Model,
    source: str,
    target: str,
    metric: Unit,
    images: Float[Tensor, "n c h w"],
    *,
    sources: Sequence[int] | None = None,
    targets: Sequence[int] | None = None,
    corrupted: Float[Tensor, "m c h w"] | None = None,
    where: Where = "peak",
) -> EdgeScores:
    """Score every edge between units of two sites.

    Args:
        model: The network.
        source: Site, no pre-activation.
        target: A later site, no pre-activation.
        metric: Unit that is read: of the target, its pre-activation, or a later site.
        images: RGB (or the network's own channels), 0..1.
        sources: Units of the source; None: all.
        targets: Units of the target; None: all, or that of the metric if it is of the target.
        corrupted: Images that give the corrupted activation of the source, as many; None: zero.
        where: Which number of the metric's map; `peak` is that of the unedited network.

    Raises:
        CircuitError: If sites are in the wrong order, there are too many edges, or the corrupted
            images do not fit.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    run = _Run(model, source, target, metric, images, corrupted, where)
    chosen_u = tuple(range(run.clean[source].shape[1])) if sources is None else tuple(sources)
    everything = (metric.channel,) if run.ends_here else range(run.clean[target].shape[1])
    chosen_v = tuple(everything) if targets is None else tuple(targets)
    for channels, site in ((chosen_u, source), (chosen_v, target)):
        for channel in channels:
            check_channel(run.clean[site], channel)
    if len(chosen_u) * len(chosen_v) > _MOST_EDGES:
        raise CircuitError(
            f"{len(chosen_u)} x {len(chosen_v)} edges are more than {_MOST_EDGES}; name fewer units"
        )
    patched = torch.zeros(len(chosen_u), len(chosen_v), dtype=torch.float64)
    linear = torch.zeros_like(patched)
    gradient = run.gradient()
    for row, u in enumerate(chosen_u):
        found = run.with_source_unit(u)
        change = (found[run.before] - run.clean[run.before]) * gradient
        for column, v in enumerate(chosen_v):
            linear[row, column] = float(change[:, v].flatten(1).sum(1).mean())
            patched[row, column] = run.effect(v, found)
    return EdgeScores(
        source=source,
        target=target,
        sources=chosen_u,
        targets=chosen_v,
        patched=patched,
        linear=linear,
        correlation=correlation(patched, linear),
        rank_correlation=correlation(_ranks(patched), _ranks(linear)),
        chance_correlation=_by_chance(patched, linear),
    )


class _Run:
    """The passes behind edge scores, at fixed images."""

    def __init__(
        self,
        model: Model,
        source: str,
        target: str,
        metric: Unit,
        images: Tensor,
        corrupted: Tensor | None,
        where: Where,
    ) -> None:
        size = (images.shape[2], images.shape[3])
        record_between(model, source, target, size=size)
        editable_site(model, source)
        has_pre = editable_site(model, target).has_pre
        self.before = pre_activation_name(target) if has_pre else target
        self.ends_here = metric.site in (target, self.before)
        if not self.ends_here:
            record_between(model, target, metric.site, size=size)
        self._model, self._source, self._target, self._metric = model, source, target, metric
        self._images, self._size = images.to(model.device), size
        self._sites = list(dict.fromkeys([source, self.before, target, metric.site]))
        self.clean = self._record(self._sites, {})
        check_channel(self.clean[metric.site], metric.channel)
        self._where = where
        self._places = (
            None if where == "sum" else places_of(self.clean[metric.site], metric.channel, where)
        )
        self._start = self.read(self.clean[metric.site])
        self._corrupted = torch.zeros_like(self.clean[source])
        if corrupted is not None:
            if corrupted.shape != images.shape:
                raise CircuitError(
                    f"corrupted images must have the shape {tuple(images.shape)} of the images, "
                    f"got {tuple(corrupted.shape)}"
                )
            with torch.no_grad():
                found = model.record(corrupted.to(model.device), [source])
            self._corrupted = found[source]

    @torch.no_grad()
    def _record(self, sites: list[str], changes: dict[str, Change]) -> dict[str, Tensor]:
        with changed_sites(self._model, changes):
            return self._model.record(self._images, sites)

    def read(self, activation: Tensor) -> Tensor:
        """Return the metric on each image."""
        if self._places is None:
            return read_unit(activation, self._metric.channel, self._where)
        flat = activation[:, self._metric.channel].flatten(1)
        return flat.gather(1, self._places[:, None])[:, 0]

    def gradient(self) -> Tensor:
        """Return d metric / d pre-activation of the target."""
        if self._metric.site == self.before:
            leaf = torch.zeros_like(self.clean[self.before]).requires_grad_()
            with own_settings():
                return torch.autograd.grad(self.read(leaf).sum(), leaf)[0]
        graph = record_between(self._model, self.before, self._metric.site, size=self._size)
        with own_settings():
            live = run_live(self._model, self._images, graph, surrogate=None)
            found = live.gradient(self.read(live.target).sum())
        first = graph.source.span[0]
        return found[:, first : first + graph.source.channels]

    def with_source_unit(self, u: int) -> dict[str, Tensor]:
        """Return what all sites give when one source unit is corrupted."""

        def change(activation: Tensor) -> Tensor:
            changed = activation.clone()
            changed[:, u] = self._corrupted[:, u]
            return changed

        return self._record(self._sites, {self._source: change})

    def effect(self, v: int, found: dict[str, Tensor]) -> float:
        """Return the change of the metric when one target unit sees the corrupted source."""
        if self.ends_here:
            if v != self._metric.channel:
                return 0.0
            end = found[self._metric.site]
        else:

            def change(activation: Tensor) -> Tensor:
                changed = activation.clone()
                changed[:, v] = found[self._target][:, v]
                return changed

            end = self._record([self._metric.site], {self._target: change})[self._metric.site]
        return float((self.read(end) - self._start).mean())


def _ranks(x: Tensor) -> Tensor:
    """Return mean ranks: ties share theirs."""
    flat = x.flatten()
    _, group, count = flat.unique(sorted=True, return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    ranks: Tensor = (last - (count.double() - 1) / 2)[group]
    return ranks


def _by_chance(a: Tensor, b: Tensor) -> float:
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(_CHANCE_DRAWS):
        order = torch.randperm(a.numel(), generator=generator)
        found.append(abs(correlation(a, b.flatten()[order].view_as(b))))
    return sum(found) / len(found)
