"""Write down each ATen operation of one forward pass, and which values it reads and makes.

opgraph.py cuts what lies between two sites out of the tape. ATen is what every torch function
comes down to, so a few dozen names cover all networks. Operations in place make a new value, as
if they were not. Local response norm, a chain of operations in ATen, is caught above it and
written as one.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from circuits.tracing.operations import (
    LRN,
    THROUGH_A_VIEW,
    Operation,
    Ref,
    Tape,
    is_tensor,
    leaves_of,
    mapped,
    refs_in,
)
from featviz.errors import CircuitError
from featviz.models.local_response_norm import LocalResponseNorm
from featviz.sites import Part
from featviz.tracing import first_tensor


class _Writer(TorchDispatchMode):
    """Sees ATen operations while active and writes them on a tape."""

    def __init__(self, tape: Tape, keep: frozenset[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = tape
        self.paths: list[str] = []
        self._keep = keep
        self._silent = 0
        # The tensors themselves are held: an id is unique only while its object lives.
        self._known: dict[int, tuple[Tensor, int, int]] = {}
        # Storage -> when it was last written in place, and the value that was written.
        self._written: dict[int, tuple[int, int]] = {}

    def value_of(self, tensor: Tensor) -> int | None:
        """Return the number of the value that a tensor holds now; None if it has none."""
        known = self._known.get(id(tensor))
        written = self._written.get(tensor.untyped_storage()._cdata)
        if written and (known is None or known[2] < written[0]):
            inputs = tuple(
                Ref(v) for v in (known[1] if known else None, written[1]) if v is not None
            )
            return self._write(THROUGH_A_VIEW, inputs, {}, (tensor,))[0]
        return known[1] if known else None

    def add(self, tensor: Tensor) -> int:
        """Give a tensor a new value and return its number."""
        self.tape.shapes.append(tuple(tensor.shape))
        value = len(self.tape.shapes) - 1
        self._known[id(tensor)] = (tensor, value, len(self.tape.operations))
        return value

    def _write(
        self, name: str, args: Any, kwargs: Any, outputs: Iterable[object]
    ) -> tuple[int | None, ...]:
        index = len(self.tape.operations)
        values = tuple(self.add(out) if isinstance(out, Tensor) else None for out in outputs)
        path = self.paths[-1] if self.paths else ""
        self.tape.write(Operation(index, name, args, kwargs, values, path))
        return values

    def _refs(self, value: Any) -> Any:
        def change(tensor: Tensor) -> Any:
            number = self.value_of(tensor)
            return tensor if number is None else Ref(number)

        return mapped(value, change)

    def _keep_input(self, value: Any) -> None:
        index = len(self.tape.operations)
        if index in self._keep:
            first = next(x for x in leaves_of(value) if is_tensor(x) and id(x) in self._known)
            self.tape.kept[index] = first.detach().clone()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and write it down if it depends on the image."""
        del types
        kwargs = kwargs or {}
        if self._silent:
            return func(*args, **kwargs)
        found = self._refs((args, kwargs))
        if not any(True for _ in refs_in(found)):
            return func(*args, **kwargs)
        self._keep_input((args, kwargs))
        out = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        outputs = out if isinstance(out, tuple | list) else (out,)
        in_place = name.endswith("_") and func._schema.is_mutable
        short = name.removesuffix("_") if in_place else name
        values = self._write(short, found[0], found[1], outputs)
        if in_place and values[0] is not None:
            storage = args[0].untyped_storage()._cdata
            self._written[storage] = (self._known[id(args[0])][2], values[0])
        return out

    def start_step(self, tensor: Tensor) -> int | None:
        """Write nothing until `end_step`; return the value of its input."""
        value = None if self._silent else self.value_of(tensor)
        self._silent += 1
        if value is not None:
            self._keep_input(tensor)
        return value

    def end_step(self, name: str, value: int | None, settings: tuple[Any, ...], out: Any) -> None:
        """Write all since `start_step` as one operation."""
        self._silent -= 1
        if value is not None:
            self._write(name, (Ref(value), *settings), {}, (out,))


class _Norms(TorchFunctionMode):
    """Catches `torch.nn.functional.local_response_norm` before it falls apart into ATen."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__()
        self._writer = writer

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if func is not functional.local_response_norm:
            return func(*args, **kwargs)
        names = ("input", "size", "alpha", "beta", "k")
        given = {"alpha": 1e-4, "beta": 0.75, "k": 1.0, **dict(zip(names, args, strict=False))}
        given.update(kwargs)
        settings = tuple(given[name] for name in names[1:])
        value = self._writer.start_step(given["input"])
        out = func(*args, **kwargs)
        self._writer.end_step(LRN, value, settings, out)
        return out


class _AllPartsReachedError(BaseException):
    """Ends the forward pass; not an Exception, so that no network can swallow it."""


def write_tape(
    network: nn.Module,
    network_input: Tensor,
    parts: Iterable[Part],
    *,
    keep: frozenset[int] = frozenset(),
) -> Tape:
    """Run a network up to the last of some parts and return what it did.

    The caller sees to eval mode and frozen parameters; hooks are removed also after an error.

    Args:
        network: The module itself, without preprocessing.
        network_input: Preprocessed images.
        parts: Where to stop, and whose values to note.
        keep: Operations whose first input is copied.

    Raises:
        CircuitError: If the pass did not reach one of the parts.
    """
    wanted = frozenset(parts)
    tape = Tape()
    writer = _Writer(tape, keep)
    writer.add(network_input)
    with ExitStack() as stack:
        for path, module in network.named_modules():
            for handle in _hooks(writer, path, module, wanted):
                stack.callback(handle.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(_Norms(writer))
        stack.enter_context(writer)
        with suppress(_AllPartsReachedError):
            network(network_input)
    if missing := sorted(f"{p.path}#{p.index}" for p in wanted - tape.parts.keys()):
        raise CircuitError(
            f"the network did not reach {', '.join(missing)} in this pass: the way it takes "
            "depends on the image, so there are no weights between sites; choose sites before "
            "the fork"
        )
    return tape


def _hooks(writer: _Writer, path: str, module: nn.Module, wanted: frozenset[Part]) -> list[Any]:
    counts: Counter[str] = Counter()
    tape = writer.tape

    def enter(_module: nn.Module, _args: object) -> None:
        writer.paths.append(path)

    def leave(_module: nn.Module, _args: object, output: object) -> None:
        writer.paths.pop()
        index = counts[path]
        counts[path] += 1
        for part in (p for p in wanted if p.path == path and p.index == index):
            tensor = first_tensor(output)
            value = None if tensor is None else writer.value_of(tensor)
            values: tuple[int, ...] = () if value is None else (value,)
            if part.pre and value is not None:
                values = tape.before_activation(value)
            if not values:
                raise CircuitError(
                    f"{path!r} gives a tensor that does not depend on the image; choose another"
                )
            tape.parts[part] = values
            tape.reached[part] = len(tape.operations)
        if tape.parts.keys() == wanted:
            raise _AllPartsReachedError

    handles = [module.register_forward_pre_hook(enter)]
    if isinstance(module, LocalResponseNorm):
        handles += _norm_hooks(writer, module)
    return [*handles, module.register_forward_hook(leave)]


def _norm_hooks(writer: _Writer, module: LocalResponseNorm) -> list[Any]:
    """Write a norm of our own, an autograd function that no function mode sees, as one step."""
    settings = (module.size, module.alpha, module.beta, module.k)
    values: list[int | None] = []

    def enter(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        values.append(writer.start_step(args[0]))

    def leave(_module: nn.Module, _args: object, output: Tensor) -> None:
        writer.end_step(LRN, values.pop(), settings, output)

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
