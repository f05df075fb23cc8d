"""Run a network so that gradients between two sites can be taken, with true or surrogate gates.

Independent of the recorded graph: the network itself runs, under autograd. vjp.py and observed.py
use it. Values stay true; only gradients are changed, so that what is linearised is linearised
where the network really is.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from circuits.expansion.adjoints import Passage
from circuits.tracing.operations import ACTIVATIONS
from circuits.tracing.opgraph import OpGraph
from featviz.borrowing import borrowed
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.models.local_response_norm import LocalResponseNorm
from featviz.sites import Part, Site
from featviz.tracing import ActivationWatch, first_tensor

_NAMES = {name.strip("_").removesuffix("_kernel") for name in ACTIVATIONS} | {
    "relu6",
    "selu",
    "celu",
}
_POOLS = {"max_pool2d", "max_pool2d_with_indices", "boolean_dispatch"}


@dataclass(frozen=True, eq=False)
class Live:
    """Activations that still know how they came about.

    Attributes:
        sources: One tensor for each value of the source.
        target: The target's whole map, [n c h w] or [n c].
    """

    sources: tuple[Tensor, ...]
    target: Tensor

    def gradient(self, scores: Tensor) -> Tensor:
        """Return d scores / d source, all channels of the source's values one after the other.

        Raises:
            CircuitError: If the target has no gradient.
        """
        if not scores.requires_grad:
            raise CircuitError(
                "the target has no gradient: an operation on the way gives whole numbers, or cuts "
                "the gradient off; choose a target before it"
            )
        found = torch.autograd.grad(
            scores, self.sources, retain_graph=True, materialize_grads=True, allow_unused=True
        )
        return torch.cat(found, 1)

    @property
    def source(self) -> Tensor:
        """The source's activation, all channels of its values."""
        return torch.cat([tensor.detach() for tensor in self.sources], 1)


def run_live(
    model: Model,
    images: Float[Tensor, "n c h w"],
    graph: OpGraph,
    *,
    surrogate: Passage | None,
) -> Live:
    """Run a model up to the target and keep what gradients need.

    Args:
        model: The model; nothing of it is changed.
        images: RGB (or the network's own channels), 0..1.
        graph: Says which sites.
        surrogate: What gradients pass instead of the true slopes; None for the true ones.

    Raises:
        CircuitError: If the pass did not reach a site, or activation functions cannot be matched
            with those of the graph.
    """
    ends = (graph.source, graph.target)
    pass_ = _Pass(ends, surrogate, graph)
    images = images.to(model.device, torch.get_default_dtype())
    with borrowed(model.module), torch.enable_grad(), ExitStack() as stack:
        for path, module in model.module.named_modules():
            for handle in pass_.hooks(path, module):
                stack.callback(handle.remove)
        stack.enter_context(pass_.watch)
        with suppress(_TargetReachedError):
            model.module(model.network_input(images).detach().requires_grad_())
    return pass_.result()


class _TargetReachedError(BaseException):
    """Ends the forward pass; not an Exception, so that no network can swallow it."""


def _with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """Return the numbers of one tensor with the gradient of another."""
    return value.detach() + (surrogate - surrogate.detach())


class _Watch(ActivationWatch):
    """Follows pre-activations, and changes gradients where a passage says so."""

    def __init__(self, surrogate: Passage | None, graph: OpGraph) -> None:
        super().__init__()
        self._surrogate = surrogate
        self.seen: Counter[str] = Counter()
        self.order = graph.order

    def parts_of(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return what went into the activation function(s) a tensor came out of."""
        return tuple(self._parts(tensor))

    def check_matched(self) -> None:
        """See to it that each factor met its own activation function."""
        surrogate = self._surrogate
        if surrogate is None:
            return
        for kind, used in (("activation", surrogate.factors), ("norm", surrogate.mixing)):
            if used and self.seen[kind] != len(self.order[kind]):
                raise CircuitError(
                    f"the network calls {self.seen[kind]} functions of kind {kind!r} and runs "
                    f"{len(self.order[kind])}: they cannot be matched; use method='compose'"
                )

    def index(self, kind: str) -> int | None:
        """Return the number of the operation that runs now, by its turn among its kind."""
        turn = self.seen[kind]
        self.seen[kind] += 1
        order = self.order[kind]
        return order[turn] if turn < len(order) else None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name.rstrip("_") in _NAMES and args and isinstance(args[0], Tensor):
            return self._activation(func, name, args, kwargs)
        if self._surrogate is not None and name in _POOLS:
            return self._max_pool(func, args, kwargs)
        if func is functional.local_response_norm and self._surrogate is not None:
            return self.norm(args[0], func(*args, **kwargs))
        return super().__torch_function__(func, types, args, kwargs)

    def _activation(self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any) -> Any:
        before = args[0]
        in_place = name.endswith("_") or kwargs.get("inplace") is True
        # In place, the tensor that went in must stay on the way to the target.
        kept = before.clone() if in_place else before
        out = func(kept.clone() if in_place else kept, *args[1:], **kwargs)
        index = self.index("activation")
        if self._surrogate is not None:
            factor = None if index is None else self._surrogate.factors.get(index)
            slope = kept if factor is None else kept * _as_channels(factor, kept)
            out = _with_gradient_of(out, slope)
        if in_place:
            before.copy_(out)
            out = before
        self._keep(out, [kept])
        return out

    def _max_pool(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        names = ("input", "kernel_size", "stride", "padding", "dilation")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        x = given["input"]
        taps = _pair(given["kernel_size"])
        stride = _pair(given.get("stride") or taps)
        pad, dilation = _pair(given.get("padding", 0)), _pair(given.get("dilation", 1))
        value = out[0] if isinstance(out, tuple) else out
        sides = [
            (pad[k], (value.shape[2 + k] - 1) * stride[k] + dilation[k] * (taps[k] - 1) + 1)
            for k in (0, 1)
        ]
        # Windows of a rounded-up map reach over its end, those of a rounded-down one fall short.
        (top, high), (left, wide) = sides
        padded = functional.pad(x, (left, wide - left - x.shape[3], top, high - top - x.shape[2]))
        cells = taps[0] * taps[1]
        power = {"average": -1.0, "keep_l2": -0.5, "keep_max": 0.0}
        weight = cells ** power[self._surrogate.pool if self._surrogate else "average"]
        kernel = x.new_full((x.shape[1], 1, *taps), weight)
        mean = functional.conv2d(
            padded, kernel, stride=stride, dilation=dilation, groups=x.shape[1]
        )
        changed = _with_gradient_of(value, mean)
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    def norm(self, x: Tensor, out: Tensor) -> Tensor:
        """Return a norm's output with the gradient that the passage gives it."""
        index = self.index("norm")
        mixing = (
            self._surrogate.mixing.get(index) if self._surrogate and index is not None else None
        )
        if mixing is None:
            return out
        mixing = mixing.to(x)
        if mixing.dim() == 1:
            return _with_gradient_of(out, x * mixing.view(1, -1, 1, 1))
        return _with_gradient_of(out, torch.einsum("nihw,oi->nohw", x, mixing))


def _pair(value: Any) -> tuple[int, int]:
    items = tuple(value) if isinstance(value, tuple | list) else (value,)
    return (int(items[0]), int(items[-1]))


def _as_channels(factor: Tensor, x: Tensor) -> Tensor:
    channels = x.shape[1:-2] if x.dim() >= 4 else x.shape[1:]
    space = (1, 1) if x.dim() >= 4 else ()
    return factor.to(x).view(1, *channels, *space)


class _Pass:
    """Hooks of one pass."""

    def __init__(self, ends: tuple[Site, Site], surrogate: Passage | None, graph: OpGraph) -> None:
        self.watch = _Watch(surrogate, graph)
        self._ends = ends
        self._graph = graph
        self._surrogate = surrogate
        self._found: dict[Part, tuple[Tensor, ...]] = {}
        self._wanted = {part for site in ends for part in site.parts}

    def hooks(self, path: str, module: nn.Module) -> list[Any]:
        """Hang the hooks of one module up."""
        handles: list[Any] = []
        if isinstance(module, LocalResponseNorm) and self._surrogate is not None:
            handles.append(
                module.register_forward_hook(lambda _m, args, out: self.watch.norm(args[0], out))
            )
        parts = [part for part in self._wanted if part.path == path]
        if not parts:
            return handles
        counts: Counter[str] = Counter()

        def hook(_module: nn.Module, _args: object, output: object) -> object:
            here = [part for part in parts if part.index == counts[path]]
            counts[path] += 1
            tensor = first_tensor(output)
            for part in here:
                before = self.watch.pre_activation(tensor) if tensor is not None else None
                if tensor is None or (part.pre and before is None):
                    raise CircuitError(f"{path!r} gave no tensor in this pass")
                self._found[part] = self.watch.parts_of(tensor) if part.pre else (tensor,)
            if self._found.keys() == self._wanted:
                raise _TargetReachedError
            # A later operation in place must not reach what was kept.
            kept = isinstance(output, Tensor) and any(not part.pre for part in here)
            return output.clone() if kept and isinstance(output, Tensor) else None

        return [*handles, module.register_forward_hook(hook)]

    def result(self) -> Live:
        """Return the tensors, and forget them."""
        if self._found.keys() != self._wanted:
            raise CircuitError("the pass did not reach both sites; it chose another way")
        self.watch.check_matched()
        source, target = ([self._found[p] for p in site.parts] for site in self._ends)
        whole = torch.cat([tensor for tensors in target for tensor in tensors], 1)
        self.watch.clear()
        return Live(
            sources=tuple(tensor for tensors in source for tensor in tensors),
            target=whole[:, slice(*self._graph.target.span)],
        )
