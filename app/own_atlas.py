"""Where the atlas lies that comes with featviz."""

from pathlib import Path

from featviz.errors import RecordError


def own_atlas() -> Path:
    """Return the folder of the atlas in assets/.

    Raises:
        RecordError: If this installation came without assets.
    """
    found = Path(__file__).parents[1] / "assets" / "atlas"
    if not (found / "atlas.json").is_file():
        raise RecordError(
            f"this installation has no atlas of its own (there is no {str(found)!r}); make one "
            "with 'featviz atlas build squeezenet1_1 -o atlas' and open it with 'featviz app atlas'"
        )
    return found
