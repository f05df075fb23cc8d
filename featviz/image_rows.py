"""Which numbers among the parameters of a batch belong to which image."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor, nn

from featviz.starting import Several


@dataclass(frozen=True, eq=False)
class Piece:
    """A parameter, and the images that it makes.

    Attributes:
        name: The same for every image, wherever in a batch it is.
        parameter: One row an image; or any other number of rows, which the images share.
        first: Index of the first of the images.
        count: How many they are.
    """

    name: str
    parameter: nn.Parameter
    first: int
    count: int

    @property
    def shared(self) -> bool:
        """Whether the images share all of it."""
        return self.parameter.shape[0] != self.count

    def serves(self, image: int) -> bool:
        """Tell whether it makes an image of the batch."""
        return self.first <= image < self.first + self.count

    def of(self, values: Tensor, image: int) -> Tensor:
        """Return what belongs to one image of values that are laid out as the parameter is."""
        return values if self.shared else values[image - self.first : image - self.first + 1]

    def mask(self, images: Bool[Tensor, " b"]) -> Bool[Tensor, "..."]:
        """Return which rows belong to images, in a shape that goes with the parameter."""
        mine = images[self.first : self.first + self.count]
        mine = mine.all()[None] if self.shared else mine
        return mine.view(-1, *[1] * (self.parameter.dim() - 1))


def list_pieces(parameters: nn.Module, images: int) -> list[Piece]:
    """Return all parameters of a batch.

    Args:
        parameters: Of the batch.
        images: How many images they make.
    """
    return list(_pieces(parameters, "", 0, images))


def _pieces(module: nn.Module, prefix: str, first: int, count: int) -> Iterator[Piece]:
    for name, parameter in module.named_parameters(recurse=False):
        yield Piece(prefix + name, parameter, first, count)
    if isinstance(module, Several):
        each = count // len(module.groups)
        for k, group in enumerate(module.groups):
            yield from _pieces(group, prefix, first + k * each, each)
        return
    for name, child in module.named_children():
        yield from _pieces(child, f"{prefix}{name}.", first, count)
