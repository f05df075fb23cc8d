"""The receptive field of a position, in pixels of the image: what a unit can have seen."""

from dataclasses import dataclass

from featviz.receptive_field import Field


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; it may leave the image.

    Attributes:
        top: First row.
        left: First column.
        bottom: Row after the last.
        right: Column after the last.
    """

    top: int
    left: int
    bottom: int
    right: int

    def clipped(self, size: tuple[int, int]) -> "Box":
        """Return the part inside an image of a height and width; of no pixels if there is none."""
        h, w = size
        top, left = min(max(self.top, 0), h), min(max(self.left, 0), w)
        return Box(top, left, min(max(self.bottom, top), h), min(max(self.right, left), w))

    def to_list(self) -> list[int]:
        """Return top, left, bottom and right."""
        return [self.top, self.left, self.bottom, self.right]


def field_box(field: Field, position: tuple[int, int]) -> Box | None:
    """Return what a position of a map sees; None where that is the whole image, or not known.

    No pixel outside has any influence on the activation there; some inside may have none.

    Args:
        field: Of the map.
        position: (y, x) on it.

    References:
        Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks",
        Distill.
    """
    if field.y is None or field.x is None:
        return None
    y, x = field.y, field.x
    top, left = y.start_px + position[0] * y.stride_px, x.start_px + position[1] * x.stride_px
    return Box(top, left, top + y.size_px, left + x.size_px)
