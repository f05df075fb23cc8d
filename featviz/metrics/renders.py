"""Read a folder of renders: pictures with records, as `featviz render -o DIR` writes them."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from featviz.errors import PictureError, RecordError
from featviz.images import TEXT_KEY, to_image
from featviz.params.alpha import over_grey
from featviz.photographs import read_pixels
from featviz.record import Record, read_record


@dataclass(frozen=True, eq=False)
class Render:
    """One saved image.

    Attributes:
        file: The PNG.
        image: Values 0..1, as the PNG rounds them; a transparent one before grey.
        record: What was done.
        alpha: Where a transparent image is opaque, 0..1; None: everywhere.
    """

    file: Path
    image: Float[Tensor, "c h w"]
    record: Record
    alpha: Float[Tensor, "1 h w"] | None = None

    @property
    def label(self) -> str:
        """Name of the image: the objective, with `~2` and so on for more images of it."""
        return str(self.record["image"]["unit"])

    @property
    def objective(self) -> str:
        """The objective, such as `fire4:128`."""
        return str(self.record["image"].get("objective", self.label))


def read_renders(folder: str | Path) -> list[Render]:
    """Read the images that renders saved in a folder, sorted by name.

    Contact sheets, copies from thresholds, and pictures without a record are left out.

    Raises:
        RecordError: If there is no such folder, no picture in it has a record, or a record cannot
            be read.
        PictureError: If a PNG cannot be read.
    """
    path = Path(folder)
    if not path.is_dir():
        raise RecordError(f"there is no folder {str(folder)!r}; give one that featviz rendered to")
    found = [_read_if_render(file) for file in sorted(path.glob("*.png"))]
    renders = [render for render in found if render is not None]
    if not renders:
        raise RecordError(
            f"none of the {len(found)} PNG files in {str(folder)!r} is an image with a featviz "
            "record; give a folder that 'featviz render -o' wrote"
        )
    return renders


def read_render(file: str | Path) -> Render:
    """Read one image that a render saved.

    Raises:
        RecordError: If it is not one, but a contact sheet or some other picture.
        PictureError: If it cannot be read.
    """
    render = _read_if_render(Path(file))
    if render is None:
        raise RecordError(
            f"{str(file)!r} is not an image with a featviz record; give one that "
            "'featviz render -o' wrote"
        )
    return render


def _read_if_render(file: Path) -> Render | None:
    picture = read_pixels(file)
    if TEXT_KEY not in getattr(picture, "text", {}):
        return None
    record = read_record(file)
    if "image" not in record or "after_step" in record:
        return None
    h, w = record["ran"]["size"]
    try:
        clear = record["config"].get("alpha") is not None
        image = to_image(picture, (h, w), alpha=clear)
    except PictureError as error:
        raise PictureError(f"cannot measure {str(file)!r}: {error}") from error
    if clear:
        return Render(file, over_grey(image[None])[0], record, image[-1:])
    return Render(file, image, record)
