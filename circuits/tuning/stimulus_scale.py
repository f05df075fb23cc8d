"""How large stimuli are for one site: lengths in receptive fields, images no larger than needed."""

from featviz.errors import ModelError
from featviz.models.model import Model
from featviz.receptive_field import Axis
from featviz.sites import Site


def scale_of(site: Site, size: tuple[int, int]) -> float:
    """Return the side of a site's receptive field, at most the shorter side of the image, px."""
    field = site.field
    if field.y is None or field.x is None:
        return float(min(size))
    return float(min(field.y.size_px, field.x.size_px, *size))


def middle(cells: int) -> tuple[int, int]:
    """Return the first of the three middle positions of a map, and the one after the last.

    Args:
        cells: Positions along one axis; of fewer than three, all there are.
    """
    return max(cells // 2 - 1, 0), min(cells // 2 + 2, cells)


def middle_size(model: Model, site: str) -> tuple[int, int]:
    """Return the smallest image in which a site's middle positions see what they see in a full one.

    As much is left out on each side as the middle 3x3 positions do not see, in whole strides, so
    that they lie alike on the pixels. The model's own size where that is not possible: a position
    sees everything, an edge of the image, or nobody knows what.

    Args:
        model: The network.
        site: Name of the site.

    Raises:
        SiteError: If the site is unknown.
    """
    full = model.spec.size
    found = model.site_table(full).resolve(site)
    if found.field.y is None or found.field.x is None or len(found.map_size) != 2:
        return full
    axes = (found.field.y, found.field.x)
    spare = [_spare(*each) for each in zip(axes, full, found.map_size, strict=True)]
    while any(spare):
        h, w = (
            side - 2 * k * axis.stride_px for side, k, axis in zip(full, spare, axes, strict=True)
        )
        expected = tuple(cells - 2 * k for cells, k in zip(found.map_size, spare, strict=True))
        # Networks that round their maps in odd ways would be read beside the middle.
        if _map_size(model, site, (h, w)) == expected:
            return h, w
        spare = [k // 2 for k in spare]
    return full


def _map_size(model: Model, site: str, size: tuple[int, int]) -> tuple[int, ...] | None:
    """Return the size of a site's map, or None if some later layer takes no such image."""
    try:
        return model.site_table(size).resolve(site).map_size
    except ModelError:
        return None


def _spare(axis: Axis, side_px: int, cells: int) -> int:
    """Return how many strides can be left out on each side."""
    first, stop = middle(cells)
    before = axis.start_px + first * axis.stride_px
    after = side_px - (axis.start_px + (stop - 1) * axis.stride_px + axis.size_px)
    return max(0, min(before, after) // axis.stride_px)
