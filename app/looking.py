"""What a network sees in one photograph: maps of a site, units in order, classes, heat maps."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from circuits.attribution.contributions import (
    Attribution,
    gradient_times_activation,
    integrated_gradients,
)
from circuits.pictures.kernels import ANCHORS
from featviz.images import png_bytes, to_image
from featviz.models import Model
from featviz.receptive_field import Axis
from featviz.sites import Site

Order = Literal["peak", "mean"]
ORDERS = ("peak", "mean")
"""Units by the largest, or the mean value of their maps."""
METHODS = ("gradient", "integrated")
"""Of attribution: gradient x activation, which is fast, or integrated gradients."""
_COLD, _HOT = ANCHORS[0][1], ANCHORS[-1][1]
_STEPS = 24
_OPAQUE = 215
_TILE_PX = 96


@dataclass(frozen=True)
class ClassScore:
    """One output of a network.

    Attributes:
        index: Its number.
        name: Of the class; empty where it is not known.
        logit: What the network gives.
        share: Softmax over all, 0..1.
    """

    index: int
    name: str
    logit: float
    share: float


def as_batch(picture: Image.Image) -> Float[Tensor, "1 c h w"]:
    """Return a picture as a batch of one image, 0..1."""
    return to_image(picture, (picture.height, picture.width))[None]


@torch.no_grad()
def site_maps(model: Model, site: str, picture: Image.Image) -> NDArray[np.float32]:
    """Return the activation of a site, [c h w]; of a vector, [c 1 1]."""
    found = model.record(as_batch(picture).to(model.device), [site])[site][0].float().cpu()
    return found.reshape(len(found), *(found.shape[1:] or (1, 1))).numpy()


@torch.no_grad()
def top_classes(model: Model, picture: Image.Image, count: int) -> list[ClassScore]:
    """Return the largest outputs of a network, largest first; none if they are no vector."""
    output = model(as_batch(picture).to(model.device))[0].float().cpu()
    if output.dim() != 1:
        return []
    names = model.spec.labels() if model.spec.labels else ()
    share = output.softmax(0)
    order = torch.argsort(output, descending=True, stable=True)[:count].tolist()
    return [
        ClassScore(k, names[k] if k < len(names) else "", output[k].item(), share[k].item())
        for k in order
    ]


def top_units(
    maps: NDArray[np.float32], count: int, *, by: Order = "peak", at: tuple[int, int] | None = None
) -> list[tuple[int, float]]:
    """Return the units that fire most and how much, strongest first.

    Args:
        maps: [c h w].
        count: Units at most.
        by: Largest or mean value of a map.
        at: At this position (y, x) of the map alone.
    """
    if at is not None:
        values = maps[:, at[0], at[1]]
    else:
        values = maps.max((1, 2)) if by == "peak" else maps.mean((1, 2))
    order = np.argsort(-values, kind="stable")[:count]
    return [(int(k), float(values[k])) for k in order]


def explain(
    model: Model, source: str, target: str, channel: int, picture: Image.Image, method: str
) -> Attribution:
    """Return what the units of a site gave to a unit of a later one, where that fires most.

    Args:
        model: The network.
        source: Site.
        target: A later site.
        channel: Unit there.
        picture: The photograph.
        method: One of `METHODS`.

    Raises:
        CircuitError: If no path leads from source to target.
        UnitError: If there is no such channel.
    """
    images = as_batch(picture)
    if method == "integrated":
        return integrated_gradients(model, source, target, channel, images, steps=_STEPS)
    return gradient_times_activation(model, source, target, channel, images)


def earlier_sites(sites: Sequence[Site], target: str) -> list[str]:
    """Return the sites before one, nearest first."""
    order = next((site.order for site in sites if site.name == target), None)
    before = [s for s in sites if (order is None or s.order < order) and s.name != target]
    return [site.name for site in reversed(before)]


def heat_map(
    values: NDArray[np.float32],
    site: Site,
    size: tuple[int, int],
    *,
    shown: tuple[int, int] | None = None,
) -> Image.Image:
    """Return a heat map to lay over a photograph: red fires, blue is negative.

    Each position of the map stands where the middle of its receptive field is; between these it is
    interpolated. The largest magnitude is the strongest.

    Args:
        values: [h w].
        site: Where it is from.
        size: Of the photograph, height and width in pixels.
        shown: Of the picture; None: that of the photograph.
    """
    top = float(np.abs(values).max()) or 1.0
    axes = (site.field.y, site.field.x)
    ys, xs = (
        _places(n, axis, px, wanted)
        for n, axis, px, wanted in zip(values.shape, axes, size, shown or size, strict=True)
    )
    share = _interpolated(values, ys, xs) / top
    array = np.zeros((*share.shape, 4), np.uint8)
    array[share >= 0, :3] = _HOT
    array[share < 0, :3] = _COLD
    array[..., 3] = np.round(np.abs(share) ** 0.8 * _OPAQUE)
    return Image.fromarray(array, "RGBA")


def heat_tile(picture: Image.Image, values: NDArray[np.float32], site: Site) -> str:
    """Return a small grey photograph under a heat map, as a data URL.

    Args:
        picture: The photograph as the network sees it.
        values: [h w].
        site: Where they are from.
    """
    small = picture.convert("L").resize((_TILE_PX, _TILE_PX)).convert("RGBA")
    heat = heat_map(values, site, (picture.height, picture.width), shown=(_TILE_PX, _TILE_PX))
    return data_url(Image.alpha_composite(small, heat).convert("RGB"))


def _places(count: int, axis: Axis | None, px: int, shown: int) -> NDArray[np.float64]:
    """Return where each pixel that is shown lies on the map, in steps of it."""
    start, stride = grid_px(count, axis, px)
    middles = (np.arange(shown) + 0.5) * px / shown
    return np.clip((middles - start) / stride, 0, count - 1)


def grid_px(count: int, axis: Axis | None, px: int) -> tuple[float, float]:
    """Return the pixel of the middle of position 0 of a map, and the pixels from one to the next.

    Args:
        count: Positions of the map along an axis.
        axis: Receptive fields; None where they are not known: the map is stretched.
        px: Side of the photograph.
    """
    if axis is None:
        return px / count / 2, px / count
    return axis.start_px + axis.size_px / 2, float(axis.stride_px)


def _interpolated(
    values: NDArray[np.float32], ys: NDArray[np.float64], xs: NDArray[np.float64]
) -> NDArray[np.float64]:
    y0, x0 = ys.astype(int), xs.astype(int)
    y1 = np.minimum(y0 + 1, values.shape[0] - 1)
    x1 = np.minimum(x0 + 1, values.shape[1] - 1)
    wy, wx = (ys - y0)[:, None], (xs - x0)[None, :]
    top = values[y0][:, x0] * (1 - wx) + values[y0][:, x1] * wx
    bottom = values[y1][:, x0] * (1 - wx) + values[y1][:, x1] * wx
    found: NDArray[np.float64] = top * (1 - wy) + bottom * wy
    return found


def data_url(picture: Image.Image) -> str:
    """Return a picture as the address of itself."""
    return f"data:image/png;base64,{base64.b64encode(png_bytes(picture)).decode()}"
