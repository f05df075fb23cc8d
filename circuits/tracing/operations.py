"""The operations of a forward pass as data: which values each reads and makes.

tape.py writes them while a network runs; opgraph.py cuts out what lies between two sites;
adjoints.py says how weights pass back through each.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from featviz.sites import Part

LRN = "local_response_norm"
THROUGH_A_VIEW = "a write through a view"
ACTIVATIONS = frozenset(
    {
        *("relu", "hardtanh", "leaky_relu", "_prelu_kernel", "elu", "gelu", "silu", "hardswish"),
        *("mish", "softplus", "sigmoid", "hardsigmoid", "tanh", "clamp", "clamp_min", "threshold"),
    }
)
BATCH_NORMS = frozenset(
    {
        *("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm"),
        "_native_batch_norm_legit_no_training",
    }
)
UNCHANGED = frozenset(["alias", "detach", "clone", "_to_copy", "lift_fresh", "contiguous"])


@dataclass(frozen=True)
class Ref:
    """Stands for a value among the arguments of an operation."""

    value: int


@dataclass(frozen=True, eq=False)
class Operation:
    """One step of the network.

    Attributes:
        index: Its number, from 0, among all operations that depend on the image.
        name: Of ATen, without the underscore of operations in place.
        args: As called, a `Ref` for each value that depends on the image; positional arguments
            that were left out are not filled in.
        kwargs: Likewise.
        outputs: Numbers of the values it made; None for what is no tensor.
        path: Module in which it ran; empty for the network itself.
    """

    index: int
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int | None, ...]
    path: str

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the values it reads."""
        return tuple(ref.value for ref in refs_in((self.args, self.kwargs)))

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """Tensors it reads that do not depend on the image: weights and statistics."""
        return tuple(leaf for leaf in leaves_of((self.args, self.kwargs)) if is_tensor(leaf))

    def signature(self) -> tuple[object, ...]:
        """Return what must be the same for every image: name, numbers and where tensors stand."""
        return self.name, *("T" if is_tensor(x) else x for x in leaves_of((self.args, self.kwargs)))

    def __str__(self) -> str:
        """Return the name and the place, for messages."""
        return f"{self.name} in {self.path!r}" if self.path else self.name


@dataclass
class Tape:
    """What one pass wrote.

    Attributes:
        operations: All that depend on the image, in order.
        shapes: Shape of each value.
        parts: The values of each recorded part, to be concatenated along the channels.
        reached: How many operations had been written when each part was recorded.
        kept: First input of each operation asked for, by its index.
    """

    operations: list[Operation] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    parts: dict[Part, tuple[int, ...]] = field(default_factory=dict)
    reached: dict[Part, int] = field(default_factory=dict)
    kept: dict[int, Tensor] = field(default_factory=dict)
    _makers: dict[int, Operation] = field(default_factory=dict)

    def write(self, operation: Operation) -> None:
        """Add an operation at the end."""
        self.operations.append(operation)
        self._makers.update({v: operation for v in operation.outputs if v is not None})

    def maker(self, value: int) -> Operation | None:
        """Return the operation that made a value; None for the image."""
        return self._makers.get(value)

    def until(self, parts: Iterable[Part]) -> "Tape":
        """Return the tape as it would be had the pass ended at the last of some of its parts."""
        wanted = {part: self.parts[part] for part in parts}
        stop = max(self.reached[part] for part in wanted)
        return replace(
            self,
            operations=self.operations[:stop],
            parts=wanted,
            reached={part: self.reached[part] for part in wanted},
        )

    def descendants(self, values: Iterable[int]) -> set[int]:
        """Return the values given and all that were made from them."""
        found = set(values)
        for operation in self.operations:
            if found & set(operation.inputs):
                found.update(v for v in operation.outputs if v is not None)
        return found

    def before_activation(self, value: int) -> tuple[int, ...]:
        """Return what went into the activation function(s) that made a value; empty if none."""
        made = self.maker(value)
        if made is None:
            return ()
        if made.name in ACTIVATIONS:
            return made.inputs[:1]
        if made.name in UNCHANGED:
            return self.before_activation(made.inputs[0])
        if made.name == "cat" and cat_axis(made) in (1, 1 - len(self.shapes[value])):
            found = [self.before_activation(part) for part in made.inputs]
            return tuple(v for values in found for v in values) if all(found) else ()
        return ()


def cat_axis(operation: Operation) -> int:
    """Return the axis of a concatenation as it was given, perhaps negative."""
    args = operation.args
    return int(args[1] if len(args) > 1 else operation.kwargs.get("dim", 0))


def has_own_statistics(operation: Operation) -> bool:
    """Tell whether a batch norm normalises by what it reads, not by running statistics."""
    if operation.args[4] is None:
        return True
    return not operation.name.endswith("no_training") and bool(operation.args[5])


def rounds(operation: Operation) -> bool:
    """Tell whether a division rounds to whole numbers."""
    return operation.kwargs.get("rounding_mode") is not None


def leaves_of(value: Any) -> Iterator[Any]:
    """Yield what nested lists, tuples and dictionaries hold, in order."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from leaves_of(item)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from leaves_of(value[key])
    else:
        yield value


def refs_in(value: Any) -> Iterator[Ref]:
    """Yield the values among nested arguments, in order."""
    return (leaf for leaf in leaves_of(value) if isinstance(leaf, Ref))


def is_tensor(leaf: object) -> bool:
    """Tell whether an argument is a tensor."""
    return isinstance(leaf, Tensor)


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return nested arguments with each tensor changed, and lists as tuples."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return tuple(mapped(item, change) for item in value)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    return value
