"""Change what sites of a network give, by hooks that nothing is left of.

ablation.py, attribution.py and edge_patching.py put these up. The hooks see the calls of the
network in order; a trace is left alone, because it shows the network itself and is kept.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from jaxtyping import Float
from torch import Tensor, nn

from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Recorder, Site
from featviz.tracing import is_tracing

Change = Callable[[Tensor], Tensor]
"""Takes the channels of a site and returns what stands in their place."""


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
    sites = [(editable_site(model, name), change) for name, change in changes.items()]
    with ExitStack() as stack:
        for site, change in sites:
            assembled = _Assembled(site, _widths(model, site), change)
            for path in dict.fromkeys(part.path for part in site.parts):
                hook = _PartHook(path, assembled)
                module = model.module.get_submodule(path)
                stack.callback(model.module.register_forward_pre_hook(hook.restart).remove)
                stack.callback(module.register_forward_hook(hook).remove)
        yield


def _widths(model: Model, site: Site) -> tuple[int, ...]:
    trace = model.trace()
    return tuple(trace.of(part.path)[part.index].shape[1] for part in site.parts)


class _Assembled:
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
    import torch

    return torch.arange(part.start, part.stop, device=tensor.device)


class _PartHook:
    """Hook of one module; an object, so that copies of a network count for themselves."""

    def __init__(self, path: str, assembled: _Assembled) -> None:
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
        if is_tracing():
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


@contextmanager
def patched_from_twin(
    model: Model,
    target: str,
    channels: list[int],
    changes: Mapping[str, Change],
) -> Iterator[None]:
    """Let units of a site give what they give in a second pass in which other sites are changed.

    Args:
        model: The network.
        target: Site of the units.
        channels: Its units.
        changes: See `changed_sites`; they hold in the second pass only.

    Raises:
        CircuitError: As `changed_sites`.
        SiteError: If a site is unknown.
    """
    site = editable_site(model, target)
    # A copy, so that hooks on the network that somebody else put up see one pass, not two.
    twin = Model(copy.deepcopy(model.module), model.spec, weights_origin=model.weights_origin)
    seen = _SecondPass(twin, site)

    def change(activation: Float[Tensor, "b c *map"]) -> Tensor:
        index = activation.new_tensor(channels).long()
        return activation.index_copy(1, index, seen.activation.index_select(1, index))

    with changed_sites(twin, changes), changed_sites(model, {target: change}):
        handle = model.module.register_forward_pre_hook(seen)
        try:
            yield
        finally:
            handle.remove()


class _SecondPass:
    """Runs a twin before each pass of a network and keeps what a site of it gave."""

    def __init__(self, twin: Model, site: Site) -> None:
        self._twin, self._site = twin, site
        self.activation: Tensor

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Run the twin on the same input, in the same mode."""
        if is_tracing():
            return
        for mine, own in zip(self._twin.module.modules(), module.modules(), strict=True):
            mine.training = own.training
        with Recorder(self._twin.module, [self._site]) as recorder:
            self.activation = recorder(inputs[0])[self._site.name]
