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
from circuits.expansion.live import run_live
from circuits.tracing.given_images import BATCH, checked_images
from circuits.tracing.opgraph import OpGraph, record_between
from circuits.tracing.unit_reading import (
    Where,
    as_channels,
    check_number,
    places_of,
    pre_site,
    read_at,
)
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model
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


@own_settings()
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
        CircuitError: If sites are in the wrong order, there are no edges or too many, the
            corrupted images do not fit, or the images are none, see `checked_images`.
        SiteError: If a site is unknown.
        UnitError: If there is no such channel.
    """
    images = checked_images(model, images)
    plan = _plan(model, source, target, metric, (images.shape[2], images.shape[3]), where)
    chosen_u, chosen_v = _edges(model, plan, sources, targets)
    starts = images.new_zeros(len(images), 0) if corrupted is None else corrupted
    if corrupted is not None:
        starts = checked_images(model, corrupted, name="corrupted images")
        if starts.shape != images.shape:
            raise CircuitError(
                f"corrupted images must have the shape {tuple(images.shape)} of the images, got "
                f"{tuple(starts.shape)}"
            )
    patched = torch.zeros(len(chosen_u), len(chosen_v), dtype=torch.float64)
    linear = torch.zeros_like(patched)
    for batch, start in zip(images.split(BATCH), starts.split(BATCH), strict=True):
        run = _Run(plan, batch, None if corrupted is None else start)
        share = len(batch) / len(images)
        gradient = run.gradient()
        for row, u in enumerate(chosen_u):
            found = run.with_source_unit(u)
            change = (found[plan.before] - run.clean[plan.before]) * gradient
            for column, v in enumerate(chosen_v):
                linear[row, column] += share * float(
                    change[:, v].reshape(len(batch), -1).sum(1).mean()
                )
                patched[row, column] += share * run.effect(v, found)
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


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is patched and read, whatever the images."""

    model: Model
    source: str
    target: str
    before: str
    metric: Unit
    where: Where
    ways: OpGraph | None
    """From the target's pre-activation to the metric; None if that is read itself."""

    @property
    def ends_here(self) -> bool:
        """Whether the metric is a unit of the target."""
        return self.metric.site in (self.target, self.before)

    @property
    def sites(self) -> list[str]:
        """All that is recorded, each once."""
        return list(dict.fromkeys([self.source, self.before, self.target, self.metric.site]))


def _plan(
    model: Model, source: str, target: str, metric: Unit, size: tuple[int, int], where: Where
) -> _Plan:
    """Check that the sites stand in order, and that they can be patched."""
    record_between(model, source, target, size=size)
    editable_site(model, source)
    editable_site(model, target)
    before, site = pre_site(model, target, size), metric.site
    if site not in (target, before):
        record_between(model, target, site, size=size)
    ways = None if site == before else record_between(model, before, site, size=size)
    return _Plan(model, source, target, before, metric, where, ways)


def _edges(
    model: Model, plan: _Plan, sources: Sequence[int] | None, targets: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the units of both ends, checked."""
    table = model.site_table()
    counts = [table.resolve(site).channels for site in (plan.source, plan.target)]
    everything = (plan.metric.channel,) if plan.ends_here else range(counts[1])
    chosen_u = as_channels(range(counts[0]) if sources is None else sources)
    chosen_v = as_channels(everything if targets is None else targets)
    for channels, count in zip((chosen_u, chosen_v), counts, strict=True):
        for channel in channels:
            check_number(channel, count)
    check_number(plan.metric.channel, table.resolve(plan.metric.site).channels)
    count = len(chosen_u) * len(chosen_v)
    if not count:
        raise CircuitError("no edges to score; name one source and one target at least")
    if count > _MOST_EDGES:
        raise CircuitError(
            f"{len(chosen_u)} x {len(chosen_v)} edges are more than {_MOST_EDGES}; name fewer units"
        )
    return chosen_u, chosen_v


class _Run:
    """The passes behind edge scores, at fixed images."""

    def __init__(self, plan: _Plan, images: Tensor, corrupted: Tensor | None) -> None:
        self._plan, self._images = plan, images
        self.clean = self._record(plan.sites, {})
        read = self.clean[plan.metric.site]
        self._places = places_of(read, plan.metric.channel, plan.where)
        self._start = self.read(read)
        self._corrupted = torch.zeros_like(self.clean[plan.source])
        if corrupted is not None:
            with torch.no_grad():
                self._corrupted = plan.model.record(corrupted, [plan.source])[plan.source]

    @torch.no_grad()
    def _record(self, sites: list[str], changes: dict[str, Change]) -> dict[str, Tensor]:
        with changed_sites(self._plan.model, changes):
            return self._plan.model.record(self._images, sites)

    def read(self, activation: Tensor) -> Tensor:
        """Return the metric on each image."""
        return read_at(activation, self._plan.metric.channel, self._places)

    def gradient(self) -> Tensor:
        """Return d metric / d pre-activation of the target."""
        graph = self._plan.ways
        if graph is None:
            leaf = torch.zeros_like(self.clean[self._plan.before]).requires_grad_()
            return torch.autograd.grad(self.read(leaf).sum(), leaf)[0]
        live = run_live(self._plan.model, self._images, graph, surrogate=None)
        found = live.gradient(self.read(live.target).sum())
        first = graph.source.span[0]
        return found[:, first : first + graph.source.channels]

    def with_source_unit(self, u: int) -> dict[str, Tensor]:
        """Return what all sites give when one source unit is corrupted."""

        def change(activation: Tensor) -> Tensor:
            changed = activation.clone()
            changed[:, u] = self._corrupted[:, u]
            return changed

        return self._record(self._plan.sites, {self._plan.source: change})

    def effect(self, v: int, found: dict[str, Tensor]) -> float:
        """Return the change of the metric when one target unit sees the corrupted source."""
        site, target = self._plan.metric.site, self._plan.target
        if self._plan.ends_here:
            if v != self._plan.metric.channel:
                return 0.0
            end = found[site]
        else:

            def change(activation: Tensor) -> Tensor:
                changed = activation.clone()
                changed[:, v] = found[target][:, v]
                return changed

            end = self._record([site], {target: change})[site]
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
