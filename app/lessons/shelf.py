"""Pictures and numbers of the lessons that were computed before, by make_assets.py."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from app.shipped import shipped
from featviz.errors import RecordError

_FOLDER = shipped("lessons")


@lru_cache(maxsize=64)
def read_strip(name: str) -> tuple[Image.Image, ...]:
    """Return the square pictures of a strip, from left to right.

    Args:
        name: Of the file, without its suffix.

    Raises:
        RecordError: If this installation came without it.
    """
    path = _FOLDER / f"{name}.webp"
    _check(path)
    whole = Image.open(path).convert("RGB")
    side = whole.height
    return tuple(whole.crop((x, 0, x + side, side)) for x in range(0, whole.width, side))


def numbers(name: str) -> dict[str, Any]:
    """Return what was measured for one figure.

    Args:
        name: A key of numbers.json.

    Raises:
        RecordError: If this installation came without it.
    """
    found: dict[str, Any] = _all_numbers()[name]
    return found


@lru_cache(maxsize=1)
def _all_numbers() -> dict[str, Any]:
    path = _FOLDER / "numbers.json"
    _check(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _check(path: Path) -> None:
    if not path.is_file():
        raise RecordError(
            f"this installation has no pictures for the lessons (there is no {str(path)!r}); run "
            "the app from a checkout, or make them with 'python -m app.lessons.make_assets'"
        )
