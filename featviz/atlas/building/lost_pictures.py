"""Tell when the pictures that records speak of have gone as a whole, at the price of a look.

Whether each of them is there, and is what it was, is told by `featviz atlas verify`.
"""

from featviz.atlas.layout import Layout


def lost_pictures(layout: Layout) -> str:
    """Return what is wrong, and what to do; empty if there are pictures.

    Args:
        layout: Of an atlas with records of images.
    """
    folder = layout.images
    if not folder.is_dir():
        return (
            f"there are records of images, but no folder {str(folder)!r}; is a disk missing? "
            "Put it back; if it is gone for good, make it, empty, then 'featviz atlas verify "
            f"{layout.root} --repair' takes the records back, and 'featviz atlas resume "
            f"{layout.root}' renders them again"
        )
    if not any(folder.iterdir()):
        return (
            f"there are records of images, but nothing in {str(folder)!r}; put it back, or "
            f"'featviz atlas verify {layout.root} --repair' takes the records back, and "
            f"'featviz atlas resume {layout.root}' renders them again"
        )
    return ""
