"""What excites units in photographs: in what orientation, and whether in colour.

    found = photograph_evidence(model, ["fire4"], ["astronaut.png", "coffee.png"])
    found["fire4"].axis_deg

Independent of drawn stimuli: the structure of the picture around each position, weighted by how
much the unit answers there. Photographs are turned, so that no orientation is more frequent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from featviz.errors import CircuitError
from featviz.models.model import Model
from featviz.photographs import open_photograph
from featviz.receptive_field import Axis
from featviz.sites import Site

_LUMINANCE = (0.299, 0.587, 0.114)
# Contrast below this (sd 0.004 of the range) is noise, which has no orientation.
_FLAT = 1.5e-5


@dataclass(frozen=True, eq=False)
class PhotographEvidence:
    """What photographs say about the channels of one site.

    Attributes:
        site: Name of the site.
        peak: Largest response.
        axis_deg: Angle of the contours where the channel answers, counter-clockwise from
            horizontal, 0..180; not-a-number where it never answers.
        axis_strength: How strongly they agree, beyond chance positions: 0, any, to 1, all alike.
        chroma: Colour of what it answers to, over the mean colour; 1 is no preference.
    """

    site: str
    peak: Float[Tensor, " c"]
    axis_deg: Float[Tensor, " c"]
    axis_strength: Float[Tensor, " c"]
    chroma: Float[Tensor, " c"]


@torch.no_grad()
def photograph_evidence(
    model: Model,
    sites: Sequence[str],
    files: Sequence[str | Path],
    *,
    turns: int = 12,
    batch: int = 12,
) -> dict[str, PhotographEvidence]:
    """Show turned photographs to a network and see where its channels answer.

    Around each position, over half of what it sees, the structure tensor gives the angle of the
    contours and how well they agree. Their mean over positions is weighted by the response, and
    the unweighted mean taken off. Positions near the edge do not count.

    Args:
        model: The network, of RGB images.
        sites: Names of sites with maps.
        files: Photographs.
        turns: Copies of each, turned evenly over 360 degrees; the middle square is used.
        batch: Pictures at a time.

    Raises:
        CircuitError: If there is no photograph, a number is below 1, a site has no maps, or the
            model takes no RGB.
        PictureError: If a photograph cannot be read.
        SiteError: If a site is unknown.
    """
    if not files or turns < 1 or batch < 1:
        raise CircuitError(
            f"give one photograph at least, and turns and batch of 1 or more; got {len(files)}, "
            f"{turns} and {batch}"
        )
    if model.spec.channels != 3:
        raise CircuitError(f"photographs are RGB, and {model.name!r} is not; wrap it in a module")
    table = model.site_table(model.spec.size)
    sums = {name: _Sums(_checked(table.resolve(name), model.name)) for name in sites}
    for file in files:
        images = turned_photographs(file, model.spec.size, turns=turns)
        for part in images.split(batch):
            structure = _structure(part)
            for name, activation in model.record(part.to(model.device), list(sums)).items():
                sums[name].add(activation.float().clamp(min=0).cpu(), structure)
    return {name: total.result() for name, total in sums.items()}


def turned_photographs(
    file: str | Path, size: tuple[int, int], *, turns: int
) -> Float[Tensor, "n 3 h w"]:
    """Return the middle of a photograph, turned evenly over 360 degrees, 0..1.

    Args:
        file: A picture.
        size: Height and width of each image, px; the photograph is scaled so that its short side
            is their diagonal, which no turn leaves.
        turns: How many.

    Raises:
        PictureError: If it cannot be read.
    """
    h, w = size
    photograph = open_photograph(file)
    short = math.ceil(math.hypot(h, w)) + 2
    factor = short / min(photograph.size)
    scaled = photograph.resize(
        (round(photograph.width * factor), round(photograph.height * factor)),
        Image.Resampling.LANCZOS,
    )
    left, top = (scaled.width - w) // 2, (scaled.height - h) // 2
    images = []
    for turn in range(turns):
        image = scaled.rotate(turn * 360 / turns, Image.Resampling.BICUBIC)
        pixels = np.asarray(image.crop((left, top, left + w, top + h)), dtype=np.float32)
        images.append(torch.from_numpy(pixels / 255).permute(2, 0, 1))
    return torch.stack(images)


def _checked(site: Site, model: str) -> Site:
    if site.field.y is None or site.field.x is None or len(site.map_size) != 2:
        raise CircuitError(
            f"each position of {site.name!r} in {model!r} sees the whole image, or nobody knows "
            "what; choose an earlier site"
        )
    return site


def _structure(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 4 h w"]:
    """Return per pixel the structure tensor, as gxx - gyy, 2 gxy, gxx + gyy, and the chroma."""
    weight = images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    grey = (images * weight).sum(1, keepdim=True)
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    gx = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) / 2
    gy = (padded[:, :, :-2, 1:-1] - padded[:, :, 2:, 1:-1]) / 2  # y runs up
    red, green, blue = images.split(1, 1)
    chroma = torch.hypot(red - green, blue - (red + green) / 2)
    return torch.cat([gx**2 - gy**2, 2 * gx * gy, gx**2 + gy**2, chroma], 1)


class _Sums:
    """Sums over positions, picture after picture, in float64."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.weight = torch.zeros(site.channels, dtype=torch.float64)
        self.weighted = torch.zeros(site.channels, 3, dtype=torch.float64)
        self.plain = torch.zeros(3, dtype=torch.float64)
        self.positions = 0
        self.peak = torch.zeros(site.channels)

    def add(self, activation: Float[Tensor, "n c h w"], structure: Tensor) -> None:
        """Add some pictures."""
        rows, columns = (
            _places(axis, cells, side)
            for axis, cells, side in zip(
                (self.site.field.y, self.site.field.x),
                self.site.map_size,
                structure.shape[2:],
                strict=True,
            )
        )
        window = max(3, min(rows[2], columns[2])) | 1
        half = window // 2
        columns_mean = _sliding_mean(structure.double(), half, axis=3)[:, :, :, columns[1]]
        seen = _sliding_mean(columns_mean, half, axis=2)[:, :, rows[1]]
        vector = seen[:, :2] / (seen[:, 2:3] + _FLAT)
        facts = torch.cat([vector, seen[:, 3:]], 1)
        answers = activation[:, :, rows[0]][:, :, :, columns[0]].double()
        self.weight += answers.sum((0, 2, 3))
        self.weighted += torch.einsum("nchw,nkhw->ck", answers, facts)
        self.plain += facts.sum((0, 2, 3))
        self.positions += facts[:, 0].numel()
        self.peak = torch.maximum(self.peak, answers.amax((0, 2, 3)).float())

    def result(self) -> PhotographEvidence:
        """Return means."""
        means = self.weighted / self.weight[:, None]  # 0/0 is not-a-number: never answers
        plain = self.plain / self.positions
        real, imaginary = (means[:, :2] - plain[:2]).unbind(1)
        # The tensor points along the gradient; contours run across it.
        axis = torch.rad2deg(torch.atan2(imaginary, real)) / 2 + 90
        return PhotographEvidence(
            site=self.site.name,
            peak=self.peak,
            axis_deg=(axis % 180).float(),
            axis_strength=torch.hypot(real, imaginary).float(),
            chroma=(means[:, 2] / plain[2].clamp(min=1e-9)).float(),
        )


def _sliding_mean(x: Float[Tensor, "n k h w"], half: int, *, axis: int) -> Tensor:
    """Return means over windows along one axis, cut off at the edges; by sums, so at any width."""
    side = x.shape[axis]
    total = functional.pad(x.cumsum(axis), (1, 0) if axis == 3 else (0, 0, 1, 0))
    at = torch.arange(side)
    first, stop = (at - half).clamp(min=0), (at + half + 1).clamp(max=side)
    shape = [1, 1, 1, 1]
    shape[axis] = side
    inside = total.index_select(axis, stop) - total.index_select(axis, first)
    return inside / (stop - first).view(shape)


def _places(axis: Axis | None, cells: int, side: int) -> tuple[list[int], list[int], int]:
    """Return positions away from the edge, the pixel in the middle of each, and the window."""
    assert axis is not None  # `_checked` refuses other sites
    middles = [axis.start_px + k * axis.stride_px + (axis.size_px - 1) / 2 for k in range(cells)]
    margin = min(axis.size_px, side) / 4
    kept = [k for k, px in enumerate(middles) if margin <= px <= side - 1 - margin]
    return kept, [round(middles[k]) for k in kept], round(axis.size_px / 2)
