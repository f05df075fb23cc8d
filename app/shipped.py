"""Where the files lie that come with the app: an atlas, the families, pictures of lessons."""

from pathlib import Path

from featviz.errors import RecordError


def shipped(name: str) -> Path:
    """Return where a file or folder of assets/ lies, or would lie.

    Args:
        name: Within assets/, such as `lessons`; `.` for the folder itself.
    """
    package = Path(__file__).parent
    # Wheels hold the folder within the package, see pyproject.toml.
    installed = package / "assets"
    return (installed if installed.is_dir() else package.parent / "assets") / name


def own_atlas() -> Path:
    """Return the folder of the atlas that comes with the app.

    Raises:
        RecordError: If this installation came without it.
    """
    found = shipped("atlas")
    if not (found / "atlas.json").is_file():
        raise RecordError(
            f"this installation has no atlas of its own (there is no {str(found)!r}); make one "
            "with 'featviz atlas build squeezenet1_1 -o atlas' and open it with 'featviz app atlas'"
        )
    return found
