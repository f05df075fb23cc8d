"""Several random crops of the image at each step, enlarged to its size."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.transforms.base import Affine, Extent, check_range, normal, number_to_text, unmoved

# Of Xplique 2.0.0, features_visualizations/maco, in parts of the side of the image.
_CENTRE_MEAN, _CENTRE_SD = 0.5, 0.15
_SIDE_SD, _SIDE_LEAST, _SIDE_MOST = 0.05, 0.05, 1.0


@dataclass(frozen=True)
class Crops(Affine):
    """Show the network boxes of the image, the smaller the later the step.

    Centres are normal about the middle, on each axis by itself; sides are normal about a mean that
    falls from the first step to the last, and are clipped to 0.05..1 of the image. A box has the
    proportions of the image and lies inside it: the centre of one that would reach over an edge is
    moved in. As the schedule is stretched over all steps, the moves of a step depend on how many
    there are; the numbers that centres and deviations of sides come from do not.

    Attributes:
        count: Boxes an image and step. The score of an image is the mean over them.
        first: Mean side at the first step, in parts of the image.
        last: Mean side at the last step.

    References:
        Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude
        Constrained Optimization", and Xplique 2.0.0, whose numbers these are. There boxes may
        leave the image, and show black where they do.
    """

    name: ClassVar[str] = "crops"
    form: ClassVar[str] = "crops:COUNT or crops:COUNT/FIRST_SIDE/LAST_SIDE"
    count: int
    first: float = 0.5
    last: float = 0.05

    def __post_init__(self) -> None:
        check_range("the number of crops", self.count, 1, math.inf)
        for side in (self.first, self.last):
            check_range("the mean side of crops", side, _SIDE_LEAST, _SIDE_MOST)

    @property
    def views(self) -> int:
        """Boxes an image and step."""
        return self.count

    @property
    def paced(self) -> bool:
        """True: the sides fall from the first step to the last."""
        return True

    def draw(self, extent: Extent, *, generator: torch.Generator) -> Float[Tensor, "rows 3 3"]:
        """Return the maps that enlarge each box to the size of the image."""
        numbers = normal(extent.rows, 3, generator)
        mean = torch.linspace(self.first, self.last, extent.steps, dtype=torch.float64)
        side = mean.repeat_interleave(extent.views) + _SIDE_SD * numbers[:, 0]
        side = side.clamp(_SIDE_LEAST, _SIDE_MOST)[:, None]
        centre = _CENTRE_MEAN + _CENTRE_SD * numbers[:, 1:]
        centre = torch.minimum(torch.maximum(centre, side / 2), 1 - side / 2)
        height, width = extent.size
        maps = unmoved(extent.rows)
        maps[:, :2, :2] /= side[:, :, None]
        maps[:, :2, 2] = (0.5 - centre) * torch.tensor([width, height]) / side
        return maps

    @classmethod
    def from_text(cls, value: str) -> "Crops":
        """Read `32` or `32/0.5/0.05`."""
        count, *sides = value.split("/")
        if len(sides) not in {0, 2}:
            raise ValueError(value)
        return cls(int(count), *map(float, sides))

    def to_text(self) -> str:
        """Return `crops:32`, with the sides if they are not MACO's."""
        plain = (self.first, self.last) == (Crops.first, Crops.last)
        sides = "" if plain else f"/{number_to_text(self.first)}/{number_to_text(self.last)}"
        return f"crops:{self.count}{sides}"
