"""Watch a network run: which modules are called, what they give, what each position sees.

`ActivationWatch` sees every torch function that the network calls, so it finds the input of the
activation function that ends a layer (the pre-activation), and can redirect the gradient of
blocked ReLUs. `trace` runs a network once and keeps what sites.py needs to name its places.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from featviz import receptive_field
from featviz.receptive_field import Field
from featviz.redirected_relu import RELUS, redirect

ACTIVATIONS = RELUS | {
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "elu",
    "elu_",
    "gelu",
    "silu",
    "hardswish",
    "mish",
    "selu",
    "prelu",
    "softplus",
}
_PASS_THROUGH = {"dropout", "dropout2d", "feature_dropout", "contiguous", "to", "clone"}


def first_tensor(output: object) -> Tensor | None:
    """Return the tensor that a module gives, the first one of a tuple, list or mapping."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        for item in output:
            if (found := first_tensor(item)) is not None:
                return found
    return None


class ActivationWatch(TorchFunctionMode):
    """While active, remember the pre-activation of every tensor an activation function gave.

    Attributes:
        asleep: Images whose gradient is redirected where ReLUs block all of it, see
            redirected_relu.py; None for none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asleep: Bool[Tensor, " b"] | None = None
        # Values hold the tensors themselves: an id is unique only while its object lives.
        self._pre: dict[int, tuple[Tensor, int, list[Tensor]]] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one torch function, and remember what went into an activation function."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ACTIVATIONS and args and isinstance(args[0], Tensor):
            before = args[0]
            in_place = name.endswith("_") or kwargs.get("inplace") is True
            kept = before.clone() if in_place else before
            floor, ceiling = _bounds(name, args, kwargs)
            if self.asleep is not None and floor == 0 and torch.is_grad_enabled():
                out = redirect(kept, asleep=self.asleep, ceiling=ceiling)
                if in_place:
                    before.copy_(out)
                    out = before
            else:
                out = func(*args, **kwargs)
            self._keep(out, [kept])
            return out
        out = func(*args, **kwargs)
        if name == "cat":
            self._concatenated(out, args, kwargs)
        elif name in _PASS_THROUGH and args and (parts := self._parts(args[0])):
            self._keep(out, parts)
        return out

    def _keep(self, out: Tensor, parts: list[Tensor]) -> None:
        self._pre[id(out)] = (out, out._version, parts)

    def _parts(self, tensor: object) -> list[Tensor]:
        """Return the pre-activations of a tensor; none if an operation has changed it since."""
        out, version, parts = self._pre.get(id(tensor), (None, 0, []))
        return parts if out is not None and out._version == version else []

    def _concatenated(self, out: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parts = args[0] if args else kwargs.get("tensors", ())
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        found = [self._parts(part) for part in parts]
        if dim in (1, 1 - out.dim()) and all(found):
            self._keep(out, [tensor for inputs in found for tensor in inputs])

    def pre_activation(self, tensor: Tensor) -> Tensor | None:
        """Return what went into the activation function(s) a tensor came out of, if any."""
        parts = self._parts(tensor)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def clear(self) -> None:
        """Forget the tensors of the last pass."""
        self._pre.clear()


def _bounds(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[float | None, float | None]:
    """Return the floor and the ceiling of a clipping activation function; None for no bound."""
    if name in {"hardtanh", "hardtanh_"}:
        floor = kwargs.get("min_val", args[1] if len(args) > 1 else -1.0)
        return floor, kwargs.get("max_val", args[2] if len(args) > 2 else 1.0)
    if name in RELUS:
        return 0.0, 6.0 if name == "relu6" else None
    return None, None


@dataclass(frozen=True)
class Call:
    """One call of one module.

    Attributes:
        path: Dotted module path; empty for the network itself.
        index: How many calls of this module came before.
        shape: Shape of the first tensor it gave, with a batch of 1; empty if it gave none.
        field: What each position of its map sees.
        has_pre: Whether it ends in an activation function, so that its input has a name.
        kind: Class name of the module.
        fresh: Whether this call made the tensor; False where it passes on another module's.
        channels_last: Whether the map is [b h w c], as inside ConvNeXt and Swin blocks.
        dtype: Of that tensor; None if it gave none.
    """

    path: str
    index: int
    shape: tuple[int, ...]
    field: Field
    has_pre: bool
    kind: str
    fresh: bool
    channels_last: bool
    dtype: torch.dtype | None


@dataclass(frozen=True)
class Trace:
    """What one pass through a network showed.

    Attributes:
        calls: Every call in the order in which it ended.
        foldable: Pairs of paths of a convolution and the batch norm that alone reads it.
    """

    calls: tuple[Call, ...]
    foldable: tuple[tuple[str, str], ...]

    def of(self, path: str) -> tuple[Call, ...]:
        """Return the calls of one module in order; empty if it was never called."""
        return tuple(call for call in self.calls if call.path == path)


_TRACING: ContextVar[bool] = ContextVar("_TRACING", default=False)


def is_tracing() -> bool:
    """Tell whether a trace runs: hooks that change activations then leave them alone.

    A trace shows the network itself, and is kept.
    """
    return _TRACING.get()


class _Tracer(ActivationWatch):
    """Follows every tensor that depends on the image."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.known: dict[int, tuple[Tensor, Field]] = {id(image): (image, receptive_field.IMAGE)}
        self.readers: Counter[int] = Counter()
        self.convolved: dict[int, str] = {}
        self.normalised: list[tuple[int, str]] = []
        self.runs: Counter[str] = Counter()
        self.turned: set[int] = set()
        # Functions see parameters, not modules: know each module by a tensor of its own.
        self._owners: dict[int, list[str]] = {}
        for path, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                self._owners.setdefault(id(module.weight), []).append(path)
            elif isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                self._owners.setdefault(id(module.running_mean), []).append(path)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one torch function and work out the receptive field of what it gives."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        tensors = list(_tensors_in((args, kwargs)))
        sources = [t for t in tensors if id(t) in self.known]
        inputs = [(self.known[id(t)][1], tuple(t.shape)) for t in sources]
        out = super().__torch_function__(func, types, args, kwargs)
        outputs = list(_tensors_in((out,)))
        if not sources or not outputs:
            return out
        for source in sources:
            self.readers[id(source)] += 1
        self._follow_layout(name, args, kwargs, sources, outputs)
        for tensor in outputs:
            field = receptive_field.after_call(name, args, kwargs, inputs, tuple(tensor.shape))
            self.known[id(tensor)] = (tensor, field)
        if name in {"conv2d", "batch_norm"}:
            owners = [path for t in tensors for path in self._owners.get(id(t), ())]
            if len(owners) == 1:
                self.runs[owners[0]] += 1
                if name == "conv2d":
                    self.convolved[id(outputs[0])] = owners[0]
                else:
                    self.normalised.append((id(sources[0]), owners[0]))
        return out

    def _follow_layout(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        sources: list[Tensor],
        outputs: list[Tensor],
    ) -> None:
        """Keep track of maps whose channels were moved to the last axis."""
        for out in outputs:
            if name == "permute" and out.dim() == 4:
                order = kwargs.get("dims", args[1:])
                turned = list(order) in ([0, 2, 3, 1], [(0, 2, 3, 1)], [[0, 2, 3, 1]])
            else:
                shapes = [s.shape[1:3] for s in sources if id(s) in self.turned]
                turned = out.dim() == 4 and out.shape[1:3] in shapes
            if turned:
                self.turned.add(id(out))


def _tensors_in(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors_in(value)
        elif isinstance(value, dict):
            yield from _tensors_in(value.values())


def trace(network: nn.Module, network_input: Float[Tensor, "1 c h w"]) -> Trace:
    """Run a network once without gradients and tell what it called.

    The caller sees to eval mode. Hooks are removed before this returns, also after an error.

    Args:
        network: The module itself, without preprocessing.
        network_input: One preprocessed image.
    """
    calls: list[Call] = []
    counts: Counter[str] = Counter()
    made: set[tuple[int, int]] = set()
    tracer = _Tracer(network, network_input)

    def hook_for(path: str, module: nn.Module) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            key = id(tensor)
            # An in-place activation function returns the tensor it was given, in a new version.
            version = (key, tensor._version if tensor is not None else 0)
            field = tracer.known[key][1] if key in tracer.known else receptive_field.UNKNOWN
            calls.append(
                Call(
                    path=path,
                    index=counts[path],
                    shape=tuple(tensor.shape) if tensor is not None else (),
                    field=field,
                    has_pre=tensor is not None and tracer.pre_activation(tensor) is not None,
                    kind=type(module).__name__,
                    fresh=version not in made,
                    channels_last=key in tracer.turned,
                    dtype=tensor.dtype if tensor is not None else None,
                )
            )
            made.add(version)
            counts[path] += 1

        return hook

    handles = []
    token = _TRACING.set(True)
    try:
        for path, module in network.named_modules():
            handles.append(module.register_forward_hook(hook_for(path, module)))
        with torch.no_grad(), tracer, warnings.catch_warnings():
            network(network_input)
    finally:
        _TRACING.reset(token)
        for handle in handles:
            handle.remove()
    return Trace(tuple(calls), _foldable(tracer))


def _foldable(tracer: _Tracer) -> tuple[tuple[str, str], ...]:
    """Pair each convolution with the batch norm that is the only reader of its output."""
    return tuple(
        (tracer.convolved[source], norm)
        for source, norm in tracer.normalised
        if source in tracer.convolved
        and tracer.readers[source] == 1
        and tracer.runs[tracer.convolved[source]] == tracer.runs[norm] == 1
    )
