"""What units give to others over several layers, scaled: those others live in a second pass.

A target unit takes what it gives in a pass in which its sources are scaled; all ways between them
are scaled at once, and nothing else reads the scaled source. With several such edges, a pass in
which some sources are scaled still takes the targets of the other edges from passes in which theirs
are scaled as well. What comes out does not depend on the order of the edges.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from circuits.ablation.activation_hooks import (
    FOLLOWERS,
    are_asleep,
    assemble,
    place_hooks,
    scaled,
)
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.recording import Recorder
from featviz.sites import Site

_MOST_PASSES = 32

World = frozenset[int]
"""Numbers of the edges whose sources are scaled in one pass; of the network's own, none."""


@dataclass(frozen=True)
class DistantEdge:
    """What some units give to others, scaled.

    Attributes:
        source: Site, no pre-activation.
        sources: Its units.
        target: A later site, no pre-activation.
        targets: Its units.
        factor: 0 removes the edge.
    """

    source: str
    sources: tuple[int, ...]
    target: str
    targets: tuple[int, ...]
    factor: float


@contextmanager
def scaled_edges(model: Model, edges: Sequence[DistantEdge]) -> Iterator[None]:
    """Scale edges inside a `with` block, through second passes of a copy that shares its weights.

    Weights may be swapped and sites changed before it and within it: the second passes follow.

    Args:
        model: The network.
        edges: Any number, in any order.

    Raises:
        CircuitError: If they need too many passes, or a site cannot be edited.
        SiteError: If a site is unknown.
    """
    if not edges:
        yield
        return
    passes = _SecondPasses(model, edges)
    followers = FOLLOWERS.setdefault(model.module, [])
    followers.append(passes)
    try:
        passes.put_last()
        yield
    finally:
        passes.take_down()
        followers.remove(passes)


class _SecondPasses:
    """Runs a twin as often as is needed before each pass of a network.

    Args:
        model: The network.
        edges: See `scaled_edges`.

    Attributes:
        twin: A copy of the network; a copy, so that hooks that somebody else put up see one pass.
    """

    def __init__(self, model: Model, edges: Sequence[DistantEdge]) -> None:
        self._edges = tuple(edges)
        table = model.site_table()
        self._sites: dict[str, Site] = {e.target: table.resolve(e.target) for e in edges}
        # Unit of a target -> the edges that lead to it.
        self._into: dict[str, dict[int, World]] = {}
        for number, edge in enumerate(edges):
            units = self._into.setdefault(edge.target, {})
            for unit in edge.targets:
                units[unit] = units.get(unit, frozenset()) | {number}
        self._plan = self._needed()
        self._world: World = frozenset()
        self._seen: dict[tuple[World, str], Tensor] = {}
        self._scales = assemble(model, {e.source: partial(self._scale, e.source) for e in edges})
        self._takes = assemble(model, {name: partial(self._take, name) for name in self._into})
        # Parameters are shared, so that weights swapped later are those of the twin too.
        shared = {id(p): p for p in model.module.parameters()}
        self.twin: nn.Module = copy.deepcopy(model.module, dict[int, Any](shared))
        self._network = model.module
        self._handles: list[RemovableHandle] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "_SecondPasses":
        """Copy it along with the network, with weights of its own: the copy may be folded."""
        other = object.__new__(_SecondPasses)
        memo[id(self)] = other
        own: dict[int, Any] = {id(self): other}
        for name, value in vars(self).items():
            if name in ("_handles", "_seen"):
                value = type(value)()
            elif name == "_network":
                value = memo.get(id(value))
            else:
                value = copy.deepcopy(value, own if name == "twin" else memo)
            setattr(other, name, value)
        return other

    def _needed(self) -> list[tuple[World, tuple[str, ...]]]:
        """Return each pass and the sites it is read at, those with most scaled sources first."""
        found: dict[World, set[str]] = {}
        left: list[tuple[World, int]] = [
            (frozenset(), max(s.order for s in self._sites.values()) + 1)
        ]
        done: set[tuple[World, int]] = set()
        while left:
            world, stop = left.pop()
            if (world, stop) in done:
                continue
            done.add((world, stop))
            for name, units in self._into.items():
                # A pass ends where it is read, and needs nothing that comes later.
                if self._sites[name].order >= stop:
                    continue
                for into in units.values():
                    if not into <= world:
                        found.setdefault(world | into, set()).add(name)
                        left.append((world | into, self._sites[name].order))
        if len(found) > _MOST_PASSES:
            raise CircuitError(
                f"{len(self._edges)} edges over several layers need {len(found)} passes at once, "
                f"more than {_MOST_PASSES}; scale fewer of them together"
            )
        order = sorted(found, key=lambda world: (-len(world), sorted(world)))
        return [(world, tuple(sorted(found[world]))) for world in order]

    def put_last(self) -> None:
        """Hook the network and the twin, behind all hooks that are there."""
        self.take_down()
        # A target that is a source too is scaled in the pass that it is taken from.
        placed = (
            [self._network.register_forward_pre_hook(self)],
            place_hooks(self.twin, self._scales),
            place_hooks(self.twin, self._takes),
            place_hooks(self._network, self._takes),
        )
        self._handles = list(chain.from_iterable(placed))

    def take_down(self) -> None:
        """Remove all hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._seen = [], {}

    def _scale(self, source: str, activation: Tensor) -> Tensor:
        factors: dict[int, list[float]] = {}
        for number in self._world:
            edge = self._edges[number]
            for unit in edge.sources if edge.source == source else ():
                factors.setdefault(unit, []).append(edge.factor)
        products = {unit: math.prod(sorted(each)) for unit, each in factors.items()}
        return scaled(products)(activation) if products else activation

    def _take(self, target: str, activation: Tensor) -> Tensor:
        taken: dict[World, list[int]] = {}
        for unit, into in self._into[target].items():
            # What a pass is read at last, it is read at for other units: `_needed` left this out.
            if not into <= self._world and (self._world | into, target) in self._seen:
                taken.setdefault(self._world | into, []).append(unit)
        for world, units in taken.items():
            index = activation.new_tensor(units).long()
            other = self._seen[world, target].index_select(1, index)
            activation = activation.index_copy(1, index, other)
        return activation

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Run the twin on the same input, in the same mode."""
        if are_asleep():
            return
        modes = {(name, type(own)): own.training for name, own in module.named_modules()}
        for name, mine in self.twin.named_modules():
            # What a folded network has put in the place of a norm says nothing of the norm.
            mine.training = modes.get((name, type(mine)), module.training)
        self._seen = {}
        try:
            for world, names in self._plan:
                self._world = world
                with Recorder(self.twin, [self._sites[name] for name in names]) as recorder:
                    for name, value in recorder(inputs[0]).items():
                        self._seen[world, name] = value
        finally:
            self._world = frozenset()
