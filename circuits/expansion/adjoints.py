"""How kernels pass back through each ATen operation.

A rule takes the bank of an operation's output and gives the banks of its inputs. Rules are exact
for linear operations away from the edges of the maps; what nonlinear ones let through is said by
the passage (gates.py). An operation without a rule cannot be composed; vjp.py takes over.
compose.py walks a graph with these rules, on real kernels or on shapes alone (device `meta`).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from circuits.expansion.canvas import Bank, NotComposableError, Pair
from circuits.tracing.operations import (
    ACTIVATIONS,
    BATCH_NORMS,
    LRN,
    UNCHANGED,
    Operation,
    Ref,
    cat_axis,
    has_own_statistics,
    rounds,
)

PoolScale = Literal["average", "keep_l2", "keep_max"]
Clamp = Literal["none", "top", "all"]
Shapes = tuple[tuple[int, ...], ...]
Passed = Iterator[tuple[int, Bank]]


@dataclass(frozen=True, eq=False)
class Passage:
    """What operations that are not linear let through.

    Attributes:
        factors: Share that an activation function lets through, for each channel, by the number of
            the operation; 1 where there is none.
        mixing: Jacobian [output, input] across channels of a norm, or its diagonal, by the number
            of the operation.
        clamp: Whose negative weights count as zero: no layer's, those of the last linear layer on
            each way to the target, or all layers'.
        pool: Weight of each of the n cells of a max pool: 1/n (`average`), 1/sqrt(n) (`keep_l2`:
            as large in L2 as without the pool), 1 (`keep_max`: as large in magnitude).
    """

    factors: Mapping[int, Float[Tensor, " c"]] = field(default_factory=dict)
    mixing: Mapping[int, Tensor] = field(default_factory=dict)
    clamp: Clamp = "none"
    pool: PoolScale = "average"


@dataclass(frozen=True, eq=False)
class Step:
    """One output of one operation, about to be passed.

    Attributes:
        operation: The operation.
        slot: Which of its outputs.
        bank: Kernels at that output.
        shapes: Shape of each value.
        passage: What nonlinearities let through.
    """

    operation: Operation
    slot: int
    bank: Bank
    shapes: Shapes
    passage: Passage

    def arg(self, index: int, name: str, default: Any = None) -> Any:
        """Return an argument by place or name."""
        args = self.operation.args
        return args[index] if len(args) > index else self.operation.kwargs.get(name, default)

    def pair(self, index: int, name: str, default: Any = None) -> Pair:
        """Return an argument of one number for both axes or one for each."""
        value = self.arg(index, name, default)
        items = tuple(value) if isinstance(value, tuple | list) else (value,)
        return (int(items[0]), int(items[-1]))

    @property
    def source(self) -> int:
        """The first value that is read."""
        return self.operation.inputs[0]

    @property
    def before(self) -> tuple[int, ...]:
        """Shape of the first value that is read."""
        return self.shapes[self.source]

    @property
    def after(self) -> tuple[int, ...]:
        """Shape of the output."""
        value = self.operation.outputs[self.slot]
        return () if value is None else self.shapes[value]

    def refuse(self, why: str) -> NotComposableError:
        """Return the error that says why this cannot be composed."""
        return NotComposableError(f"{self.operation}: {why}")

    def weights(self, tensor: Tensor) -> Tensor:
        """Return weights where, and as precise as, the kernels are."""
        return tensor.detach().to(self.bank.kernel.device, self.bank.kernel.dtype)


Rule = Callable[[Step], Passed]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Return a decorator that makes a function the rule of some operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def pass_back(step: Step) -> Passed:
    """Yield the banks of what an operation reads.

    Raises:
        NotComposableError: If there is no rule, or it does not cover this case.
    """
    found = RULES.get(step.operation.name)
    if found is None:
        raise step.refuse("no rule composes it")
    yield from found(step)


def is_linear_layer(operation: Operation) -> bool:
    """Tell whether an operation has weights whose sign a policy may clamp."""
    return operation.name in {"convolution", "addmm", "mm"}


def _linear(step: Step, weight: Tensor, apply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Pass kernels through weights; where negative ones are clamped, only positive products."""
    kernel, weight = step.bank.kernel, step.weights(weight)
    clamp = step.passage.clamp
    if clamp == "none" or (clamp == "top" and not step.bank.fresh):
        return apply(kernel, weight)
    # Signs of batch norms sit in the kernel, so the folded weight is the product.
    passed = apply(kernel.clamp(min=0), weight.clamp(min=0))
    if kernel.is_meta or (kernel < 0).any():
        passed = passed + apply(kernel.clamp(max=0), weight.clamp(max=0))
    return passed


@rule("convolution")
def _convolution(step: Step) -> Passed:
    weight = step.arg(1, "weight")
    if isinstance(weight, Ref):
        raise step.refuse("its weights depend on the image")
    if step.arg(6, "transposed", False) or weight.dim() != 4:
        raise step.refuse("only convolutions of maps, not transposed ones, are composed")
    stride, pad, dilation = step.pair(3, "stride"), step.pair(4, "pad"), step.pair(5, "dilation")
    groups = int(step.arg(8, "groups", 1))

    def apply(kernel: Tensor, weight: Tensor) -> Tensor:
        if weight.shape[2:] == (1, 1) and groups == 1 and stride == (1, 1):
            return torch.einsum("tohw,oi->tihw", kernel, weight[:, :, 0, 0])
        return functional.conv_transpose2d(
            kernel, weight, stride=stride, groups=groups, dilation=dilation
        )

    moved = step.bank.moved(_linear(step, weight, apply), stride=stride, pad=pad)
    yield step.source, replace(moved, fresh=False)


@rule("addmm", "mm")
def _matrix(step: Step) -> Passed:
    place = 1 if step.operation.name == "addmm" else 0
    vector, weight = step.operation.args[place : place + 2]
    if isinstance(weight, Ref) or not isinstance(vector, Ref) or len(step.operation.inputs) > 1:
        raise step.refuse("only products of the activations with weights are composed")
    if step.before[0] != 1:
        raise step.refuse("only one vector an image is composed")
    factor = float(step.operation.kwargs.get("alpha", 1))
    kernel = _linear(step, weight * factor, lambda k, w: torch.einsum("tohw,io->tihw", k, w))
    yield step.source, replace(step.bank, kernel=kernel, fresh=False)


@rule(*BATCH_NORMS)
def _batch_norm(step: Step) -> Passed:
    gamma, variance = step.arg(1, "weight"), step.arg(4, "running_var")
    if has_own_statistics(step.operation) or step.slot != 0:
        raise step.refuse("it normalises by its own images, not by running statistics")
    eps = step.operation.args[-1]
    scale = (step.weights(variance) + eps).rsqrt()
    if gamma is not None:
        scale = scale * step.weights(gamma)
    yield step.source, _scaled(step.bank, scale)


def _scaled(bank: Bank, scale: Tensor) -> Bank:
    return replace(bank, kernel=bank.kernel * scale.view(1, -1, 1, 1))


@rule(*ACTIVATIONS)
def _activation(step: Step) -> Passed:
    factor = step.passage.factors.get(step.operation.index)
    yield step.source, step.bank if factor is None else _scaled(step.bank, step.weights(factor))


@rule(LRN)
def _norm(step: Step) -> Passed:
    mixing = step.passage.mixing.get(step.operation.index)
    if mixing is None:
        raise step.refuse("no operating point was given")
    mixing = step.weights(mixing)
    if mixing.dim() == 1:
        yield step.source, _scaled(step.bank, mixing)
    else:
        kernel = torch.einsum("tohw,oi->tihw", step.bank.kernel, mixing)
        yield step.source, replace(step.bank, kernel=kernel)


@rule(*UNCHANGED)
def _unchanged(step: Step) -> Passed:
    yield step.source, step.bank


@rule("add", "sub")
def _sum(step: Step) -> Passed:
    alpha = float(step.operation.kwargs.get("alpha", 1))
    signs = (1.0, alpha if step.operation.name == "add" else -alpha)
    for operand, sign in zip(step.operation.args[:2], signs, strict=True):
        if isinstance(operand, Ref):
            if step.shapes[operand.value] != step.after:
                raise step.refuse("it adds maps of different shape")
            bank = step.bank
            yield operand.value, bank if sign == 1 else replace(bank, kernel=bank.kernel * sign)


@rule("mul", "div", "neg")
def _product(step: Step) -> Passed:
    operands = step.operation.args[:2]
    if len(step.operation.inputs) > 1:
        raise step.refuse("it multiplies two activations")
    if step.operation.name == "neg":
        operands = (*operands, -1.0)
    if step.operation.name == "div" and not isinstance(operands[0], Ref):
        raise step.refuse("it divides by an activation")
    if rounds(step.operation):
        raise step.refuse("it rounds to whole numbers")
    if step.before != step.after:
        raise step.refuse("it changes the shape")
    factor = next(x for x in operands if not isinstance(x, Ref))
    scale = _channel_scale(step, torch.as_tensor(factor, dtype=step.bank.kernel.dtype))
    yield step.source, _scaled(step.bank, scale if step.operation.name != "div" else 1 / scale)


def _channel_scale(step: Step, factor: Tensor) -> Tensor:
    """Return a factor for each channel, from one that broadcasts to a value."""
    shape = step.before
    sides = (1,) * (len(shape) - factor.dim()) + tuple(factor.shape)
    space = sides[-2:] if len(shape) >= 4 else ()
    if sides[0] != 1 or any(side != 1 for side in space):
        raise step.refuse("it scales positions differently")
    channels = shape[1 : len(shape) - len(space)]
    whole = step.weights(factor).reshape(sides[: 1 + len(channels)])
    return whole.expand(1, *channels).reshape(math.prod(channels))


@rule("cat")
def _concatenation(step: Step) -> Passed:
    if cat_axis(step.operation) not in (1, 1 - len(step.after)):
        raise step.refuse("it does not concatenate channels")
    first = 0
    for part in step.operation.args[0]:
        count = (step.shapes[part.value] if isinstance(part, Ref) else part.shape)[1]
        bank = step.bank.channels(first, first + count)
        if isinstance(part, Ref) and bank is not None:
            yield part.value, bank
        first += count
