"""Pass kernels from the target back to the source, over a whole graph: the exact composition.

The cost is that of one pass per target over kernels, not over images. First the same walk is made
on shapes alone, which says where the result lies, how large it is, and how many targets fit into
memory together.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

import circuits.expansion.adjoint_shapes  # noqa: F401 - its rules enter the table
from circuits.expansion.adjoints import Passage, Step, pass_back
from circuits.expansion.canvas import Bank, NotComposableError, Pair
from circuits.tracing.opgraph import End, OpGraph
from circuits.tracing.unit_reading import as_channels
from featviz.errors import CircuitError

MAX_BYTES = 2**31
_WORKING_BYTES = 3 * 2**28
_Banks = dict[int, dict[bool, Bank]]


@dataclass(frozen=True)
class Reach:
    """Where a position of the target reads the source.

    Attributes:
        extent: Rows and columns of the kernels.
        offset: Place of their first cell for target position (0, 0), (y, x).
        stride: Steps in the source for one step of the target, (y, x).
        pinned: Whether the target has one position only, so that the kernels end where the source's
            map ends.
        working: Numbers that one target needs at the widest place on the way.
    """

    extent: Pair
    offset: Pair
    stride: Pair
    pinned: bool
    working: int


def reach(graph: OpGraph) -> Reach:
    """Return where one position of the target reads the source, without computing weights.

    Raises:
        NotComposableError: If an operation on the way cannot be composed.
    """
    widest = 0
    parts = []
    for number, end in enumerate(graph.targets):
        start = torch.zeros(1, end.channels, 1, 1, device="meta")
        banks: _Banks = {}
        _put(banks, end.value, Bank(start, torch.zeros(1, dtype=torch.long)))
        mixing = {op.index: torch.empty(1, device="meta") for op in graph.operations}
        found, size = _walk(graph, banks, replace(Passage(), mixing=mixing))
        widest = max(widest, size)
        parts += [(number, bank) for bank in found.values()]
    if not parts:
        raise CircuitError("the target does not read the source")  # the graph holds ways only
    shapes = [replace(bank, kernel=bank.kernel[:, :1]) for _, bank in parts]
    whole = shapes[0]
    for bank in shapes[1:]:
        whole = whole + bank
    return Reach(whole.extent, whole.offset, whole.jump, whole.pinned, widest)


def compose(
    graph: OpGraph,
    channels: tuple[int, ...],
    passage: Passage,
    *,
    dtype: torch.dtype,
    device: torch.device,
    where: Reach | None = None,
) -> Float[Tensor, "o i kh kw"]:
    """Return the kernels from all channels of the source to some of the target, on the CPU.

    Args:
        graph: What lies between.
        channels: Of the target.
        passage: What nonlinearities let through.
        dtype: Precision of the kernels.
        device: Where to compute.
        where: From `reach`; None: worked out here.

    Raises:
        NotComposableError: If an operation on the way cannot be composed.
    """
    where = where or reach(graph)
    total = graph.source.channels
    result = torch.zeros(len(channels), total, *where.extent, dtype=dtype)
    size = torch.empty(0, dtype=dtype).element_size()
    # Both ends of a step are held at once, and a third while it runs.
    batch = max(1, _WORKING_BYTES // (3 * size * max(1, where.working)))
    for first in range(0, len(channels), batch):
        chosen = channels[first : first + batch]
        banks = _starts(graph, chosen, dtype=dtype, device=device)
        found, _ = _walk(graph, banks, passage)
        for end in graph.sources:
            if end.value in found:
                _store(result[first : first + batch], found[end.value], end, graph, where)
    return result


def pick_channels(graph: OpGraph, units: Iterable[SupportsIndex] | None) -> tuple[int, ...]:
    """Return the channels of the target that are asked for, each once; None asks for all.

    Raises:
        CircuitError: If there is no such channel, one is no whole number, or none is asked for.
    """
    count = graph.target.channels
    channels = tuple(dict.fromkeys(as_channels(range(count) if units is None else units)))
    wrong = [c for c in channels if not 0 <= c < count]
    if wrong or not channels:
        raise CircuitError(
            f"no channel {wrong[0] if wrong else 'at all'} in {graph.target.name!r}, which has "
            f"{count}, 0 to {count - 1}; give units=[...] or None for all"
        )
    return channels


def check_size(graph: OpGraph, channels: tuple[int, ...], where: Reach) -> None:
    """Refuse weights that would not fit into memory with what is made of them.

    Raises:
        CircuitError: If they take more than `MAX_BYTES`.
    """
    itemsize = torch.empty(0, dtype=kernel_dtype(graph)).element_size()
    h, w = where.extent
    count = len(channels) * graph.source.channels * h * w
    if count * itemsize > MAX_BYTES:
        fit = MAX_BYTES // (graph.source.channels * h * w * itemsize)
        raise CircuitError(
            f"the weights {graph.source.name} -> {graph.target.name} would be {len(channels)} x "
            f"{graph.source.channels} kernels of {h}x{w}, {count * itemsize / 2**30:.1f} GiB; "
            + (
                f"ask for {fit} units at a time with units=[...]"
                if fit
                else "choose a source nearer to the target"
            )
        )


def kernel_dtype(graph: OpGraph) -> torch.dtype:
    """Return float64 for a network of float64, else float32."""
    return torch.float64 if graph.dtype == torch.float64 else torch.float32


def _starts(
    graph: OpGraph, channels: tuple[int, ...], *, dtype: torch.dtype, device: torch.device
) -> _Banks:
    """Return weight 1 at each target itself."""
    banks: _Banks = {}
    for end in graph.targets:
        own = [c + graph.target.span[0] - end.first for c in channels]
        rows = [row for row, c in enumerate(own) if 0 <= c < end.channels]
        if not rows:
            continue
        kernel = torch.zeros(len(rows), end.channels, 1, 1, dtype=dtype, device=device)
        kernel[range(len(rows)), [own[row] for row in rows]] = 1
        _put(banks, end.value, Bank(kernel, torch.tensor(rows, device=device)))
    return banks


def _walk(graph: OpGraph, banks: _Banks, passage: Passage) -> tuple[dict[int, Bank], int]:
    """Pass banks back through all operations; return those at the sources, and the largest size."""
    between = graph.between
    kept = {end.value for end in graph.sources}
    widest = 0
    for operation in reversed(graph.operations):
        for slot, value in enumerate(operation.outputs):
            if value is None:
                continue
            here = banks.get(value, {}) if value in kept else banks.pop(value, {})
            for bank in here.values():
                step = Step(operation, slot, bank, graph.shapes, passage)
                for before, passed in pass_back(step):
                    if passed.pinned and len(graph.shapes[before]) == 4:
                        passed = passed.cropped(graph.shapes[before][2:])  # type: ignore[arg-type]
                    widest = max(widest, math.prod(passed.kernel.shape[1:]))
                    if before in between:
                        _put(banks, before, passed)
    found = {}
    for value in kept & banks.keys():
        first, *others = banks[value].values()
        found[value] = sum(others, start=first)
    return found, widest


def _put(banks: _Banks, value: int, bank: Bank) -> None:
    # Banks that have not passed a linear layer stay apart: a policy may treat that layer otherwise.
    here = banks.setdefault(value, {})
    here[bank.fresh] = here[bank.fresh] + bank if bank.fresh in here else bank


def _store(result: Tensor, bank: Bank, end: End, graph: OpGraph, where: Reach) -> None:
    """Write one part of the source into the result."""
    a, b = graph.source.span
    first, stop = max(a, end.first), min(b, end.first + end.channels)
    if first >= stop:
        return
    y, x = (bank.offset[k] - where.offset[k] for k in (0, 1))
    if bank.jump != where.stride:
        raise NotComposableError(
            f"the parts of {graph.source.name!r} are read in steps of {bank.jump} and "
            f"{where.stride}; choose one of them"
        )
    kernel = bank.kernel[:, first - end.first : stop - end.first].to(result.device)
    place = result[:, first - a : stop - a, y : y + bank.extent[0], x : x + bank.extent[1]]
    place.index_copy_(0, bank.rows.to(result.device), kernel)
