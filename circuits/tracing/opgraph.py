"""What a network does between two sites, as a graph of ATen operations.

Recorded once by running the network (tape.py) on two images: where they take different ways, there
are no weights between the sites. adjoints.py passes weights back through the operations, gates.py
says what each nonlinearity lets through.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuits.tracing.operations import ACTIVATIONS, LRN, Operation, Tape, is_tensor, leaves_of
from circuits.tracing.tape import write_tape
from featviz.borrowing import borrowed
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Site

_TAKES_OUT = frozenset({"_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal"})


@dataclass(frozen=True)
class End:
    """A value that belongs to a site.

    Attributes:
        value: Its number.
        first: Channel of the site, before its slice, that is channel 0 of the value.
        channels: Number of channels.
    """

    value: int
    first: int
    channels: int


@dataclass(frozen=True, eq=False)
class OpGraph:
    """All operations on the ways from one site to another.

    Attributes:
        source: The site that is read.
        target: The site that is built.
        sources: Its values; several where the site is a concatenation.
        targets: Likewise.
        operations: On the ways between, in order of execution.
        shapes: Shape of each value at the traced image size, batch 1.
        order: Numbers of all activation functions (`activation`) and local response norms
            (`norm`) of the pass, by which those of another pass are matched.
        size: The image size, height and width in px.
        dtype: Of the network.
    """

    source: Site
    target: Site
    sources: tuple[End, ...]
    targets: tuple[End, ...]
    operations: tuple[Operation, ...]
    shapes: tuple[tuple[int, ...], ...]
    order: dict[str, tuple[int, ...]]
    size: tuple[int, int]
    dtype: torch.dtype

    @property
    def between(self) -> frozenset[int]:
        """Numbers of the values on the ways: the sources and what depends on them."""
        made = {v for op in self.operations for v in op.outputs if v is not None}
        return frozenset(made | {end.value for end in self.sources})


def record_between(
    model: Model, source: str, target: str, *, size: tuple[int, int] | None = None
) -> OpGraph:
    """Return the operations between two sites.

    Args:
        model: Any model that runs eagerly.
        source: Site that is read, see featviz.sites.
        target: Site that is built.
        size: Image size to run at, height and width in px; None for the model's own. It matters
            only where the network averages or flattens a whole map.

    Raises:
        CircuitError: If the target comes before the source, does not depend on it, or the
            operations between them depend on the image; if a weight is no finite number.
        SiteError: If a site is unknown.
        ModelError: If the network cannot run.
    """
    return Tracing(model, (source, target), size=size).between(source, target)


def way_between(
    model: Model,
    source: str,
    target: str,
    *,
    size: tuple[int, int] | None = None,
    traced: OpGraph | None = None,
) -> OpGraph:
    """Return the operations between two sites: those recorded already if there are any.

    Args:
        model: See `record_between`.
        source: See `record_between`.
        target: See `record_between`.
        size: See `record_between`.
        traced: Of this network and these sites; None: they are recorded.

    Raises:
        CircuitError: If what was recorded is of other sites or of another size, or as for
            `record_between`.
        SiteError: If a site is unknown.
        ModelError: If the network cannot run.
    """
    if traced is None:
        return record_between(model, source, target, size=size)
    own = (traced.source.name, traced.target.name)
    if own != (source, target) or size not in (None, traced.size):
        raise CircuitError(
            f"what was traced lies between {own[0]!r} and {own[1]!r} at {traced.size[0]}x"
            f"{traced.size[1]} px, and {source!r} to {target!r} is asked for"
            + ("" if size is None else f" at {size[0]}x{size[1]} px")
            + "; give the same sites and no size, or leave traced out"
        )
    return traced


class Tracing:
    """What a network does up to the last of some sites, to ask for the ways between pairs of them.

    Args:
        model: Any model that runs eagerly.
        sites: Names, each once.
        size: Image size to run at, height and width in px; None for the model's own.

    Raises:
        CircuitError: If a pass does not reach a site.
        SiteError: If a site is unknown.
        ModelError: If the network cannot run.
    """

    def __init__(
        self, model: Model, sites: Iterable[str], *, size: tuple[int, int] | None = None
    ) -> None:
        self._model, self._size = model, size or model.spec.size
        table = model.site_table(self._size)
        self._sites = {name: table.resolve(name) for name in sites}
        images = _two_images(model.spec.channels, self._size)
        self._tapes = [run_tape(model, image, tuple(self._sites.values())) for image in images]

    def between(self, source: str, target: str) -> OpGraph:
        """Return the operations between two of the sites, as `record_between` does.

        Raises:
            CircuitError: If the target comes before the source, does not depend on it, or the
                operations between them depend on the image; if a weight is no finite number.
        """
        ends = (self._sites[source], self._sites[target])
        parts = [part for site in ends for part in site.parts]
        first, second = (
            _cut(self._model, tape.until(parts), ends, self._size) for tape in self._tapes
        )
        _check_static(self._model.name, first, second)
        _check_finite(self._model.name, first)
        return first

    def reads(self, source: str, target: str) -> bool:
        """Tell whether a site depends on another, over however many layers."""
        tape = self._tapes[0]
        starts, stops = (
            {value for part in self._sites[name].parts for value in tape.parts[part]}
            for name in (source, target)
        )
        return starts != stops and bool(tape.descendants(starts) & stops)


def run_tape(
    model: Model, images: Tensor, ends: tuple[Site, ...], *, keep: frozenset[int] = frozenset()
) -> Tape:
    """Run a model up to some sites and return what it did; nothing of the model is changed.

    Args:
        model: The model.
        images: RGB (or the network's own channels), 0..1, on any device.
        ends: Source and target, perhaps more.
        keep: Operations whose first input is copied.

    Raises:
        CircuitError: If the pass did not reach a site.
    """
    parts = [part for site in ends for part in site.parts]
    images = images.to(model.device, torch.get_default_dtype())
    with borrowed(model.module):
        return write_tape(model.module, model.network_input(images), parts, keep=keep)


def _two_images(channels: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    ramp = torch.linspace(0, 1, size[0] * size[1]).view(1, 1, *size).expand(1, channels, *size)
    noise = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    return ramp, noise


def _ends(tape: Tape, site: Site) -> tuple[End, ...]:
    found, first = [], 0
    for part in site.parts:
        for value in tape.parts[part]:
            channels = tape.shapes[value][1]
            found.append(End(value, first, channels))
            first += channels
    return tuple(found)


def _cut(model: Model, tape: Tape, ends: tuple[Site, Site], size: tuple[int, int]) -> OpGraph:
    """Keep the operations that depend on the source and that the target depends on."""
    source, target = ends
    sources, targets = _ends(tape, source), _ends(tape, target)
    starts, stops = {end.value for end in sources}, {end.value for end in targets}
    after = tape.descendants(starts)
    if starts == stops:
        raise CircuitError(
            f"{source.name!r} and {target.name!r} in {model.name!r} are the same place; give two"
        )
    if not after & stops:
        if tape.descendants(stops) & starts:
            raise CircuitError(
                f"{source.name!r} comes after {target.name!r} in {model.name!r}; give the earlier "
                f"site first: {target.name!r}, then {source.name!r}"
            )
        raise CircuitError(
            f"no path leads from {source.name!r} to {target.name!r} in {model.name!r}; "
            "choose sites of which one reads the other, perhaps over several layers"
        )
    _check_numbers_stay_in(model.name, tape, after, ends)
    needed = set(stops)
    kept: list[Operation] = []
    for operation in reversed(tape.operations):
        made = {v for v in operation.outputs if v is not None}
        if made & needed and made & after and set(operation.inputs) & after:
            kept.append(operation)
            needed.update(operation.inputs)
    dtype = next((p.dtype for p in model.module.parameters()), torch.get_default_dtype())
    return OpGraph(
        source=source,
        target=target,
        sources=sources,
        targets=targets,
        operations=tuple(reversed(kept)),
        shapes=tuple(tape.shapes),
        order={
            "activation": tuple(op.index for op in tape.operations if op.name in ACTIVATIONS),
            "norm": tuple(op.index for op in tape.operations if op.name == LRN),
        },
        size=size,
        dtype=dtype,
    )


def _check_numbers_stay_in(name: str, tape: Tape, after: set[int], ends: tuple[Site, Site]) -> None:
    """Refuse networks that take numbers out of activations, to branch or to compute with them."""
    for operation in tape.operations:
        if operation.name in _TAKES_OUT and after & set(operation.inputs):
            raise CircuitError(
                f"{name!r} takes a number out of its activations behind {ends[0].name!r} "
                f"({operation}), so what it does depends on the image and has no weights; choose "
                "sites that this does not lie between"
            )


def _check_static(name: str, one: OpGraph, other: OpGraph) -> None:
    for a, b in zip(one.operations, other.operations, strict=False):
        if a.signature() != b.signature():
            raise CircuitError(
                f"{name!r} does not do the same for every image between {one.source.name!r} and "
                f"{one.target.name!r}: {a} for one, {b} for another; such control flow, or numbers "
                "taken out of the activations, has no weights; choose other sites"
            )
    if len(one.operations) != len(other.operations):
        raise CircuitError(
            f"{name!r} does not do the same for every image between {one.source.name!r} and "
            f"{one.target.name!r}: {len(one.operations)} operations for one, "
            f"{len(other.operations)} for another; choose sites before the fork"
        )


def _check_finite(name: str, graph: OpGraph) -> None:
    for operation in graph.operations:
        for tensor in (x for x in leaves_of((operation.args, operation.kwargs)) if is_tensor(x)):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise CircuitError(
                    f"the weights of {operation} of {name!r} hold numbers that are not finite "
                    "(NaN or infinity); load intact weights"
                )
