"""Transforms in order, fused: one resampling for all moves, then the filters.

The size is the same at every step, and what comes in from outside the image is grey.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.resampling import affine_grid, resample
from featviz.transforms.base import Affine, Drawn, Extent, Filter, Transform, unmoved


@dataclass(frozen=True)
class Moves:
    """The random numbers of one image, of a batch, or of one step of a batch.

    A row is one view of one image; those of an image lie next to each other.

    Attributes:
        maps: For each step and row the map from positions in the result to positions in the image,
            float32, in the coordinates of torch's affine_grid without aligned corners.
        numbers: For each filter what differs between steps and rows, on the same leading axes.
        banks: For each filter what the steps and rows of an image share, images first.
    """

    maps: Float[Tensor, "*steps rows 2 3"]
    numbers: tuple[Tensor, ...] = ()
    banks: tuple[Tensor, ...] = ()

    @classmethod
    def stack(cls, moves: Sequence["Moves"]) -> "Moves":
        """Return the moves of several images as those of a batch."""
        return cls(
            torch.cat([m.maps for m in moves], dim=1),
            tuple(
                torch.cat(parts, dim=1) for parts in zip(*(m.numbers for m in moves), strict=True)
            ),
            tuple(torch.cat(parts) for parts in zip(*(m.banks for m in moves), strict=True)),
        )

    def to(self, device: torch.device) -> "Moves":
        """Return them on a device."""
        return Moves(
            self.maps.to(device),
            tuple(part.to(device) for part in self.numbers),
            tuple(part.to(device) for part in self.banks),
        )

    def __getitem__(self, step: int) -> "Moves":
        """Return those of one step."""
        return Moves(self.maps[step], tuple(part[step] for part in self.numbers), self.banks)


class Transforms:
    """Transforms in order.

    Args:
        steps: The transforms; the first is applied to the image first, but filters come after all
            moves. So a blur is measured in pixels of what the network sees, noise is not enlarged
            by a crop, and grey that a move lets in is blurred and coloured as well.
        text: The text they came from; None: made from them.

    Attributes:
        views: Views of an image that the network sees at each step.
        paced: Whether the moves of a step depend on how many steps there are.
    """

    def __init__(self, steps: Sequence[Transform], *, text: str | None = None) -> None:
        self.steps = tuple(steps)
        self.text = text or ",".join(step.to_text() for step in self.steps) or "none"
        self.views = math.prod(step.views for step in self.steps)
        self.paced = any(step.paced for step in self.steps)
        self._filters = [step for step in self.steps if isinstance(step, Filter)]
        self._moves = len(self._filters) < len(self.steps)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that `apply` gives for images of a size."""
        margin_px = 2 * sum(step.frame_px for step in self.steps)
        return size[0] + margin_px, size[1] + margin_px

    def draw(
        self, steps: int, *, channels: int, size: tuple[int, int], generator: torch.Generator
    ) -> Moves:
        """Draw the random numbers of one image for every step.

        Args:
            steps: Number of steps.
            channels: Channels of the image.
            size: Height and width of the image in pixels.
            generator: A CPU generator of this image alone.

        Raises:
            ConfigError: If a transform does not suit such images.
        """
        inner = Extent(steps, self.views, channels, size)
        outer = Extent(steps, self.views, channels, self.output_size(size))
        maps = unmoved(inner.rows)
        drawn: list[Drawn] = []
        for step in self.steps:
            # A generator of its own for each, so that the moves of the first steps are the same
            # however many steps there are.
            seed = int(torch.randint(2**62, (), generator=generator))
            own = torch.Generator().manual_seed(seed)
            if isinstance(step, Affine):
                maps = torch.matmul(step.draw(inner, generator=own), maps)
            elif isinstance(step, Filter):
                drawn.append(step.draw(outer, generator=own))
        backward = _in_grid_units(torch.linalg.inv(maps), inner.size, outer.size)
        rows = (steps, self.views)
        return Moves(
            backward.float().unflatten(0, rows),
            tuple(d.numbers.unflatten(0, rows) for d in drawn),
            tuple(d.bank[None] for d in drawn),
        )

    def draw_batch(
        self,
        steps: int,
        *,
        channels: int,
        size: tuple[int, int],
        generators: Sequence[torch.Generator],
    ) -> Moves:
        """Draw the random numbers of several images: those of `draw`, one generator an image."""
        return Moves.stack(
            [self.draw(steps, channels=channels, size=size, generator=g) for g in generators]
        )

    def rested(self, moves: Moves, resting: Sequence[bool], *, size: tuple[int, int]) -> Moves:
        """Return moves that leave some images where they are at every second step.

        The second, the fourth and so on, so that the first steps are the same however many follow.
        Filters, such as noise, are applied at all steps.

        Args:
            moves: Of a batch, for every step.
            resting: Of each image whether it is to.
            size: Height and width of the images in pixels.
        """
        if not any(resting):
            return moves
        still = _in_grid_units(unmoved(1), size, self.output_size(size))[0]
        rows = torch.tensor(resting).repeat_interleave(self.views)
        maps = moves.maps.clone()
        maps[1::2] = still.to(maps).where(rows[:, None, None], maps[1::2])
        return Moves(maps, moves.numbers, moves.banks)

    def apply(
        self, images: Float[Tensor, "b c h w"], drawn: Moves
    ) -> Float[Tensor, "rows c h_out w_out"]:
        """Change each image as drawn: one bilinear resampling, grey outside, then the filters.

        Args:
            images: Values 0..1.
            drawn: The moves of one step for as many images.

        Returns:
            The views of the images, those of an image next to each other, of the same size unless
            there is a `Pad`. Noise and colours may leave 0..1.
        """
        if self.views > 1:
            images = images.repeat_interleave(self.views, dim=0)
        if self._moves:
            h, w = self.output_size((images.shape[-2], images.shape[-1]))
            images = resample(images, affine_grid(drawn.maps.to(images.dtype), h, w))
        for part, numbers, banks in zip(self._filters, drawn.numbers, drawn.banks, strict=True):
            images = part.apply(images, numbers, banks)
        return images


def _in_grid_units(
    maps: Float[Tensor, "rows 3 3"], size_in: tuple[int, int], size_out: tuple[int, int]
) -> Float[Tensor, "rows 2 3"]:
    """Return maps between pixels from the centre as maps between positions in -1..1."""
    half_in = torch.tensor([size_in[1] / 2, size_in[0] / 2, 1], dtype=torch.float64)
    half_out = torch.tensor([size_out[1] / 2, size_out[0] / 2, 1], dtype=torch.float64)
    return (maps * half_out / half_in[:, None])[:, :2]
