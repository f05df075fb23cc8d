"""Change what sites of a network give, by hooks that nothing is left of.

editing.py, keeping.py and the attributions put these up. The hooks see the calls of the network in
order; a trace is left alone, because it shows the network itself and is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Site
from featviz.tracing import is_tracing

Change = Callable[[Tensor], Tensor]
"""Takes the channels of a site and returns what stands in their place."""

_ASLEEP = ContextVar("_ASLEEP", default=False)


class Follower(Protocol):
    """A second module that runs beside a network, and whose sites change with those of it."""

    twin: nn.Module

    def put_last(self) -> None:
        """Let the follower's own hooks run after all others."""


FOLLOWERS: WeakKeyDictionary[nn.Module, list[Follower]] = WeakKeyDictionary()
"""Those of each network, while they are there."""


@contextmanager
def hooks_asleep() -> Iterator[None]:
    """Let networks run in a `with` block as if no site of them were changed: to look into them."""
    token = _ASLEEP.set(True)
    try:
        yield
    finally:
        _ASLEEP.reset(token)


def are_asleep() -> bool:
    """Tell whether hooks that change sites leave them alone: in a trace, or in `hooks_asleep`."""
    return is_tracing() or _ASLEEP.get()


def constant(channels: Sequence[int], values: Float[Tensor, " k"]) -> Change:
    """Return the change that gives some channels constants, everywhere on their map.

    Args:
        channels: Which.
        values: What each becomes.
    """
    return partial(_filled, tuple(channels), values)


def scaled(factors: Mapping[int, float]) -> Change:
    """Return the change that multiplies some channels.

    Args:
        factors: By channel.
    """
    return partial(_multiplied, dict(factors))


def _filled(channels: tuple[int, ...], values: Tensor, activation: Tensor) -> Tensor:
    index = torch.tensor(channels, dtype=torch.long, device=activation.device)
    shape = (len(activation), len(channels), *activation.shape[2:])
    filled = values.to(activation).view(1, -1, *[1] * (activation.dim() - 2)).expand(shape)
    return activation.index_copy(1, index, filled)


def _multiplied(factors: Mapping[int, float], activation: Tensor) -> Tensor:
    scale = torch.ones(activation.shape[1]).to(activation)
    for channel, factor in factors.items():
        scale[channel] = factor
    return activation * scale.view(1, -1, *[1] * (activation.dim() - 2))


def editable_site(model: Model, name: str) -> Site:
    """Return a site whose activation can be replaced.

    Raises:
        CircuitError: If it is a pre-activation.
        SiteError: If it is unknown.
    """
    site = model.site_table().resolve(name)
    if any(part.pre for part in site.parts):
        raise CircuitError(
            f"{name!r} in {model.name!r} is a pre-activation, whose units cannot be silenced and "
            "cannot be replaced; edit what comes out of it, without '.pre', or weights"
        )
    return site


@contextmanager
def changed_sites(model: Model, changes: Mapping[str, Change]) -> Iterator[None]:
    """Let sites of a network give something else inside a `with` block.

    Args:
        model: The network; restored afterwards, also after an exception.
        changes: Site name -> change of all its channels, [b c h w] or [b c]; shapes must stay.

    Raises:
        CircuitError: If a site is a pre-activation, or a module on it gives no single tensor.
        SiteError: If a site is unknown.
    """
    assembled = assemble(model, changes)
    followers = FOLLOWERS.get(model.module, [])
    with ExitStack() as stack:
        for module in (model.module, *(follower.twin for follower in followers)):
            for handle in place_hooks(module, assembled):
                stack.callback(_take_away, model.module, handle)
        for follower in followers:
            follower.put_last()
        yield


def assemble(model: Model, changes: Mapping[str, Change]) -> "list[Assembled]":
    """Look sites up in a network, for `place_hooks`.

    Args:
        model: The network.
        changes: See `changed_sites`.

    Raises:
        CircuitError: As `changed_sites`.
        SiteError: If a site is unknown.
    """
    sites = [(editable_site(model, name), change) for name, change in changes.items()]
    return [Assembled(site, _widths(model, site), change) for site, change in sites]


def place_hooks(network: nn.Module, assembled: "Sequence[Assembled]") -> list[RemovableHandle]:
    """Hook a network, or a copy of the one that was looked into, and return what takes it back.

    Args:
        network: The module.
        assembled: From `assemble`.
    """
    handles = []
    for each in assembled:
        for path in dict.fromkeys(part.path for part in each.site.parts):
            hook = _PartHook(path, each)
            handles.append(network.register_forward_pre_hook(hook.restart))
            handles.append(network.get_submodule(path).register_forward_hook(hook))
    return handles


def _take_away(network: nn.Module, handle: RemovableHandle) -> None:
    """Remove a hook, and its copies: a follower may have come while it was there."""
    handle.remove()
    for follower in FOLLOWERS.get(network, []):
        for module in follower.twin.modules():
            module._forward_hooks.pop(handle.id, None)
            module._forward_pre_hooks.pop(handle.id, None)


def _widths(model: Model, site: Site) -> tuple[int, ...]:
    trace = model.trace()
    return tuple(trace.of(part.path)[part.index].shape[1] for part in site.parts)


class Assembled:
    """A site as several parts: which channels of it each part gives."""

    def __init__(self, site: Site, widths: tuple[int, ...], change: Change) -> None:
        self.site, self.change = site, change
        self._firsts = [sum(widths[:k]) for k in range(len(widths))]
        self._widths = widths

    def changed(self, number: int, tensor: Tensor) -> Tensor:
        """Return what one part gives, given what it would have given."""
        first, width = self._firsts[number], self._widths[number]
        start, stop = (min(max(end - first, 0), width) for end in self.site.span)
        if start >= stop:
            return tensor
        if len(self._widths) > 1 or (start, stop) != (0, width):
            # Changes know the channels of the site: give them a part in its place, cut it out.
            offset = first + start - self.site.span[0]
            return _with_channels(tensor, start, stop, offset, self.site.channels, self.change)
        return self.change(tensor)


def _with_channels(
    tensor: Tensor, start: int, stop: int, offset: int, channels: int, change: Change
) -> Tensor:
    whole = tensor.new_zeros(len(tensor), channels, *tensor.shape[2:])
    mine = slice(offset, offset + stop - start)
    whole = whole.index_copy(1, _range(tensor, mine), tensor[:, start:stop])
    return tensor.index_copy(1, _range(tensor, slice(start, stop)), change(whole)[:, mine])


def _range(tensor: Tensor, part: slice) -> Tensor:
    return torch.arange(part.start, part.stop, device=tensor.device)


class _PartHook:
    """Hook of one module; an object, so that copies of a network count for themselves."""

    def __init__(self, path: str, assembled: Assembled) -> None:
        self._path, self._assembled = path, assembled
        self._calls = 0

    def restart(self, _module: nn.Module, _inputs: object) -> None:
        """Count calls from the start of each pass; a pass may end early."""
        self._calls = 0

    def __call__(self, module: nn.Module, inputs: object, output: object) -> object:
        """Return the changed output, or None to leave it."""
        del module, inputs
        index = self._calls
        self._calls += 1
        if are_asleep():
            return None
        for number, part in enumerate(self._assembled.site.parts):
            if (part.path, part.index) == (self._path, index):
                if not isinstance(output, Tensor):
                    raise CircuitError(
                        f"{self._path!r} gives {type(output).__name__}, not one tensor, and cannot "
                        "be edited; choose a site inside it"
                    )
                return self._assembled.changed(number, output)
        return None
