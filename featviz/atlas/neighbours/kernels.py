"""Which kernel each unit of a site has, and how alike the kernels are."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from featviz.borrowing import borrowed, own_settings
from featviz.models.model import Model
from featviz.sites import Site
from featviz.tracing import ACTIVATIONS, first_tensor

_OTHERS = """
    sigmoid sigmoid_ hardsigmoid logsigmoid tanh tanh_ softsign
    dropout dropout2d feature_dropout contiguous clone
"""
_SAME_CHANNELS = ACTIVATIONS | set(_OTHERS.split())


@dataclass(frozen=True)
class Kernel:
    """The incoming weights of one unit.

    Attributes:
        weight: [i kh kw]; turned over where a norm behind it has a negative weight.
        reads: What it reads and how it steps: kernels with the same can be compared.
    """

    weight: Float64[np.ndarray, "i kh kw"]
    reads: tuple[object, ...]


class _Follower(TorchFunctionMode):
    """Knows of each tensor which kernels made its channels, up to functions of one channel."""

    def __init__(self) -> None:
        super().__init__()
        # Values hold the tensors themselves: an id is unique only while its object lives.
        self.made: dict[int, tuple[Tensor, list[Kernel]]] = {}
        self._read: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one torch function and note which kernels its output has."""
        del types
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        source = args[0] if args else kwargs.get("input")
        kernels = self._kernels(name, source, args, kwargs)
        out = func(*args, **kwargs)
        if isinstance(out, Tensor):
            self.made.pop(id(out), None)
            if kernels is not None and out.dim() >= 2 and out.shape[1] == len(kernels):
                self.made[id(out)] = (out, kernels)
        return out

    def of(self, tensor: object) -> list[Kernel] | None:
        """Return the kernels of a tensor's channels; None if it has none."""
        found = self.made.get(id(tensor))
        return None if found is None else found[1]

    def _kernels(
        self, name: str, source: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Kernel] | None:
        def argument(position: int, key: str, default: Any) -> Any:
            return kwargs.get(key, args[position] if len(args) > position else default)

        if name in {"conv2d", "linear"} and isinstance(source, Tensor):
            weight = argument(1, "weight", None).detach().double().cpu().numpy()
            self._read[id(source)] = source
            if name == "linear":
                return [Kernel(row[:, None, None], (id(source),)) for row in weight]
            steps = str((argument(3, "stride", 1), argument(5, "dilation", 1)))
            groups = argument(6, "groups", 1)
            each = len(weight) // groups
            return [
                Kernel(row, (id(source), source._version, steps, k // each))
                for k, row in enumerate(weight)
            ]
        if name in _SAME_CHANNELS:
            return self.of(source)
        if name == "batch_norm" and (found := self.of(source)) is not None:
            scale = argument(3, "weight", None)
            signs = np.ones(len(found)) if scale is None else np.sign(scale.detach().cpu().numpy())
            return [
                replace(kernel, weight=kernel.weight * float(sign))
                for kernel, sign in zip(found, signs, strict=True)
            ]
        if name == "cat" and argument(1, "dim", 0) in (1, -3):
            parts = [self.of(part) for part in source]
            return None if None in parts else [k for part in parts if part for k in part]
        return None


def incoming_kernels(model: Model, site: Site) -> list[Kernel] | None:
    """Return the kernel of each unit of a site, followed back through norms and activations.

    Args:
        model: The network; it stays as it is.
        site: Resolved at its own size.

    Returns:
        One a channel; None where a channel is a sum or a pool of several, as behind a residual
        block.
    """
    follower, counts = _Follower(), Counter[str]()
    found: dict[tuple[str, int], list[Kernel] | None] = {}

    def hook_for(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            found[path, counts[path]] = follower.of(first_tensor(output))
            counts[path] += 1

        return hook

    h, w = model.spec.size
    with own_settings(), borrowed(model.module), torch.no_grad():
        handles = [
            model.module.get_submodule(path).register_forward_hook(hook_for(path))
            for path in {part.path for part in site.parts}
        ]
        try:
            ramp = torch.linspace(0, 1, h * w, device=model.device).view(1, 1, h, w)
            images = model.network_input(ramp.expand(1, model.spec.channels, h, w).contiguous())
            with follower:
                model.module(images)
        finally:
            for handle in handles:
                handle.remove()
    parts = [found.get((part.path, part.index)) for part in site.parts]
    if None in parts:
        return None
    return [kernel for part in parts if part for kernel in part][slice(*site.span)]


def kernel_cosines(
    kernels: list[Kernel], *, seed: int = 0
) -> tuple[Float64[np.ndarray, "u u"], Float64[np.ndarray, "u u"]]:
    """Return the cosine of each pair of kernels, and that of each with the others shuffled.

    Kernels of several sizes that read the same map are laid on each other's centres.

    Args:
        kernels: From `incoming_kernels`.
        seed: Of the shuffles: all numbers of a kernel change places.

    Returns:
        Cosines and those by chance; not-a-number for pairs that read different things, and for
        kernels of zeros.
    """
    count = len(kernels)
    cosines, chance = np.full((count, count), np.nan), np.full((count, count), np.nan)
    generator = np.random.Generator(np.random.PCG64(seed))
    sets: dict[tuple[object, ...], list[int]] = {}
    for k, kernel in enumerate(kernels):
        sets.setdefault(_comparable(kernel), []).append(k)
    for members in sets.values():
        largest = [max(kernels[k].weight.shape[axis] for k in members) for axis in (1, 2)]
        rows = np.stack([_centred(kernels[k].weight, largest).ravel() for k in members])
        shuffled = np.stack(
            [_centred(_shuffled(kernels[k].weight, generator), largest).ravel() for k in members]
        )
        place = np.ix_(members, members)
        norms = np.linalg.norm(rows, axis=1)
        norms[norms == 0] = np.nan
        cosines[place] = np.clip(rows @ rows.T / np.outer(norms, norms), -1, 1)
        chance[place] = np.clip(rows @ shuffled.T / np.outer(norms, norms), -1, 1)
    return cosines, chance


def cosines_with(kernels: list[Kernel], unit: int) -> Float64[np.ndarray, " u"]:
    """Return the cosine of each kernel with one of them: a row of `kernel_cosines`.

    Args:
        kernels: From `incoming_kernels`.
        unit: Which of them.

    Returns:
        Not-a-number where two read different things, and for kernels of zeros.
    """
    kind = _comparable(kernels[unit])
    members = [k for k, kernel in enumerate(kernels) if _comparable(kernel) == kind]
    largest = [max(kernels[k].weight.shape[axis] for k in members) for axis in (1, 2)]
    own = _centred(kernels[unit].weight, largest).ravel()
    found = np.full(len(kernels), np.nan)
    for k in members:  # one at a time: all together may be large
        other = _centred(kernels[k].weight, largest).ravel()
        norm = np.linalg.norm(own) * np.linalg.norm(other)
        if norm:
            found[k] = np.clip(own @ other / norm, -1, 1)
    return found


def _comparable(kernel: Kernel) -> tuple[object, ...]:
    """Return what is the same for kernels that can be compared."""
    i, h, w = kernel.weight.shape
    return (*kernel.reads, i, h % 2, w % 2)


def _centred(weight: Float64[np.ndarray, "i kh kw"], size: list[int]) -> np.ndarray:
    y, x = ((whole - own) // 2 for whole, own in zip(size, weight.shape[1:], strict=True))
    return np.pad(weight, ((0, 0), (y, y), (x, x)))


def _shuffled(weight: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.permutation(weight.ravel()).reshape(weight.shape)
