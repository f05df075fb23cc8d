"""Orientation from photographs: turn the pictures that units like best, and watch the others.

What stimuli say about a family can be checked on real images: where a unit's best picture, turned
by some angle, is best for another unit, that angle is the difference of their orientations.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from circuits.tuning.measuring import read_map
from circuits.tuning.stimulus_scale import middle, middle_size
from featviz.errors import CircuitError, UnitError
from featviz.metrics.pictures import PictureFolder, read_picture
from featviz.models.model import Model
from featviz.receptive_field import Axis
from featviz.sites import Site


@dataclass(frozen=True, eq=False)
class JointTuning:
    """Responses of a family to the turned pictures of its members.

    Attributes:
        site: Name of the site.
        channels: The family.
        angles_deg: By how much the pictures were turned, clockwise.
        response: Of unit j to pictures of unit i turned by an angle, mean over the pictures.
        pictures: How many each unit has, at most; those that it does not respond to do not count.
    """

    site: str
    channels: tuple[int, ...]
    angles_deg: Float[Tensor, " a"]
    response: Float[Tensor, "i j a"]
    pictures: int

    @property
    def offset_deg(self) -> Float[Tensor, "i j"]:
        """Turn from unit i's orientation to unit j's, where j responds most.

        Not a number where j never responds to pictures of i.
        """
        peaks, steps = self.response.max(2)
        return torch.where(peaks > 0, self.angles_deg[steps], torch.nan)

    @property
    def aligned(self) -> Float[Tensor, "j a"]:
        """Tuning of each unit over all pictures of the family, their peaks put at 0.

        Each curve counts as a share of its peak; where a unit never responds to another's
        pictures, that pair does not count.
        """
        peaks, steps = self.response.max(2)
        index = torch.arange(len(self.angles_deg)) + steps[:, :, None]
        turned = self.response.gather(2, index % len(self.angles_deg))
        share = turned / peaks[:, :, None].clamp(min=1e-12)
        count = (peaks > 0).sum(0).clamp(min=1)
        return share.sum(0) / count[:, None]


@torch.no_grad()
def joint_tuning(
    model: Model,
    site: str,
    units: Sequence[int],
    pictures: PictureFolder,
    *,
    top: int = 8,
    angles: int = 36,
    batch: int = 32,
) -> JointTuning:
    """Turn the pictures that each unit likes best, and record all units.

    Each picture is turned about the place that the unit likes best, which is put into the middle;
    beyond its edges it is mirrored. Units are read at their middle 3x3 positions.

    Args:
        model: The network.
        site: Name of a site with maps.
        units: Channels of the family.
        pictures: A folder of photographs.
        top: Pictures a unit.
        angles: Turns over 360 degrees.
        batch: Pictures at a time.

    Raises:
        CircuitError: If the site has no maps, its positions see no limited part of the image, no
            unit is given, or a number is out of range.
        PictureError: If a picture cannot be read.
        SiteError: If the site is unknown.
        UnitError: If it has no such channel.
    """
    if top < 1 or angles < 4 or batch < 1:
        raise CircuitError(
            f"top and batch must be 1 or more and angles 4 or more, got {top}, {batch}, {angles}"
        )
    found = _checked(model, site, units)
    channels = torch.tensor(units, device=model.device)
    best = _best_places(model, found, channels, pictures, top=top, batch=batch)
    angles_deg = torch.arange(angles) * (360 / angles)
    small = middle_size(model, site)
    anchor = _middle_px(model.site_table(small).resolve(site))
    response = torch.zeros(len(units), len(units), angles)
    for i in range(len(units)):
        rows = [place for place in best[i] if place.value > 0]
        for place in rows:
            image = read_picture(pictures.files[place.picture], model.spec.size)
            center = _center_px(found, place)
            turned = _turned(
                image.to(model.device), angles_deg, center_px=center, anchor_px=anchor, size=small
            )
            maps = [model.record(part, [site])[site] for part in turned.split(batch)]
            values = torch.cat([read_map(m, "center")[:, channels].cpu() for m in maps])
            response[i] += values.T / len(rows)
    return JointTuning(site, tuple(units), angles_deg, response, top)


@dataclass(frozen=True)
class _Place:
    """Where a unit responds most in one picture."""

    value: float
    picture: int
    y: int
    x: int


def _checked(model: Model, site: str, units: Sequence[int]) -> Site:
    found = model.site_table(model.spec.size).resolve(site)
    if found.field.y is None or found.field.x is None or len(found.map_size) != 2:
        raise CircuitError(
            f"each position of {site!r} in {model.name!r} sees the whole image, or nobody knows "
            "what, so there is no place to turn a picture about; choose an earlier site"
        )
    for channel in units:
        if not 0 <= channel < found.channels:
            raise UnitError(
                f"channel {channel} is out of range: {site!r} has {found.channels} channels, 0 to "
                f"{found.channels - 1}"
            )
    if not units:
        raise CircuitError("joint tuning needs one unit at least")
    return found


def _best_places(
    model: Model,
    site: Site,
    channels: Int[Tensor, " u"],
    pictures: PictureFolder,
    *,
    top: int,
    batch: int,
) -> list[list[_Place]]:
    """Return the best place in each of the pictures that each unit likes best."""
    values = torch.empty(0, len(channels))
    places, numbers = (torch.empty(0, len(channels), dtype=torch.long) for _ in range(2))
    first = 0
    for images in pictures.batches(model.spec.size, batch=batch):
        maps = model.record(images.to(model.device), [site.name])[site.name][:, channels]
        value, place = maps.flatten(2).float().max(2)
        number = torch.arange(first, first + len(images))[:, None].expand_as(value)
        first += len(images)
        values, order = torch.cat([values, value.cpu()]).sort(dim=0, descending=True, stable=True)
        values = values[:top]
        places = torch.cat([places, place.cpu()]).gather(0, order)[:top]
        numbers = torch.cat([numbers, number]).gather(0, order)[:top]
    width = site.map_size[1]
    return [
        [
            _Place(value, number, place // width, place % width)
            for value, place, number in zip(
                values[:, u].tolist(), places[:, u].tolist(), numbers[:, u].tolist(), strict=True
            )
        ]
        for u in range(len(channels))
    ]


def _axes(site: Site) -> Iterator[Axis]:
    for axis in (site.field.y, site.field.x):
        assert axis is not None  # `_checked` refuses such sites
        yield axis


def _middle_px(site: Site) -> tuple[float, float]:
    """Return the middle of what the middle position sees, px from the top and the left."""
    cells = [middle(side)[0] + 1 if side > 1 else 0 for side in site.map_size]
    return _field_middle(site, cells[0], cells[1])


def _center_px(site: Site, place: _Place) -> tuple[float, float]:
    return _field_middle(site, place.y, place.x)


def _field_middle(site: Site, y: int, x: int) -> tuple[float, float]:
    row, column = (
        axis.start_px + cell * axis.stride_px + axis.size_px / 2
        for axis, cell in zip(_axes(site), (y, x), strict=True)
    )
    return row, column


def _turned(
    image: Float[Tensor, "c h w"],
    angles_deg: Float[Tensor, " a"],
    *,
    center_px: tuple[float, float],
    anchor_px: tuple[float, float],
    size: tuple[int, int],
) -> Float[Tensor, "a c h2 w2"]:
    """Return an image turned clockwise about a point, which is put somewhere.

    Args:
        image: To turn; mirrored beyond its edges.
        angles_deg: By how much.
        center_px: The point (y, x), px from the top left corner.
        anchor_px: Where it goes.
        size: Of the images made.
    """
    h, w = image.shape[1:]
    rows = torch.arange(size[0], device=image.device) + 0.5 - anchor_px[0]
    columns = torch.arange(size[1], device=image.device) + 0.5 - anchor_px[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    angle = torch.deg2rad(angles_deg).to(image.device)[:, None, None]
    # What is seen at a place comes from that place turned back, counter-clockwise.
    from_x = center_px[1] + x * angle.cos() + y * angle.sin()
    from_y = center_px[0] - x * angle.sin() + y * angle.cos()
    grid = torch.stack([2 * from_x / w - 1, 2 * from_y / h - 1], dim=-1)
    return functional.grid_sample(
        image.expand(len(angles_deg), -1, -1, -1),
        grid,
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    ).clamp(0, 1)
