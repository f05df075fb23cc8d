"""A real browser for tests of pages: Debian's Chromium, driven by Playwright."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.serving import NO_CHROMIUM, chromium, find_chromium


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Open the machine's Chromium; skips the test where there is none."""
    if find_chromium() is None:
        pytest.skip(NO_CHROMIUM)
    with chromium() as browser:
        yield browser


def open_offline(
    browser: Browser, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False
) -> tuple[Page, list[str]]:
    """Open a file without a network; return its page, and a list that fills with what goes wrong.

    Errors of scripts, errors on the console, and requests for anything but the file itself.
    """
    context = browser.new_context(
        offline=True,
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
    )
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    page.on(
        "request",
        lambda request: (
            problems.append(f"asked for {request.url}")
            if not request.url.startswith(("file:", "data:", "blob:"))
            else None
        ),
    )
    page.goto(path.resolve().as_uri())
    return page, problems
