"""Pages of the app without a browser: opened at a link, and what they say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.library import LIBRARY, Library

MAIN = Path(__file__).parents[1] / "app" / "main.py"
_TALK = ("error", "warning", "info", "caption", "title", "header", "subheader", "markdown", "text",
         "code")  # fmt: skip


def show_library(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """Let the app show a library for the length of a test."""
    for name in ("roots", "models", "renders"):
        monkeypatch.setattr(LIBRARY, name, getattr(library, name))


def open_page(name: str, **query: str) -> AppTest:
    """Return a page as it is at a link."""
    test = AppTest.from_file(MAIN, default_timeout=60)
    test.run()
    test.switch_page(f"views/{name}.py")
    for key, value in query.items():
        test.query_params[key] = value
    return test.run()


def said(test: AppTest) -> str:
    """Return all that a page says as people read it, components left out."""
    return "\n".join(
        plain(str(getattr(element, "value", "") or getattr(element, "body", "")))
        for kind in _TALK
        for element in test.get(kind)
    )


def plain(markdown: str) -> str:
    """Return Markdown without its backslashes, as it is read."""
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", markdown)


def components(test: AppTest, name: str) -> list[dict[str, Any]]:
    """Return what the components of a name show, in their order on the page."""
    found = (element.proto for element in test.get("bidi_component"))
    return [json.loads(proto.json) for proto in found if proto.component_name.endswith(name)]


def tiles(test: AppTest) -> list[dict[str, Any]]:
    """Return the pictures of all grids of a page."""
    names = ("id", "source", "address", "caption", "text", "faint")
    return [
        dict(zip(names, tile, strict=True))
        for grid in components(test, "grid")
        for tile in grid["tiles"]
    ]
