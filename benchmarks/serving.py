"""The app in a process of its own, and a browser to look at it with."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

_PATIENCE_S = 60
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_STEADY = """
() => document.querySelector(
    '[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]'
) && !document.querySelector('[data-testid=stSpinner], [data-stale=true]')
"""


@dataclass(frozen=True)
class Served:
    """An app that runs.

    Attributes:
        base: Its address.
        process: What serves.
    """

    base: str
    process: subprocess.Popen[bytes]


@contextmanager
def serve(*words: str | Path) -> Iterator[Served]:
    """Run `featviz app` with some arguments until the block ends.

    Args:
        words: Arguments, such as folders of atlases.

    Raises:
        RuntimeError: If it ends by itself, or does not answer within a minute.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "featviz", "app", "--no-browser", "--port", str(port)]
    base = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*command, *map(str, words)],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        end = time.monotonic() + _PATIENCE_S
        while not _answers(base):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the app does not answer at {base}: {process.poll()}")
            time.sleep(0.1)
        yield Served(base, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(base: str) -> bool:
    try:
        urllib.request.urlopen(f"{base}/_stcore/health", timeout=1).close()
    except OSError:
        return False
    return True


NO_CHROMIUM = "no chromium on this machine; Debian's package chromium brings it"


def find_chromium() -> str | None:
    """Return the path of the machine's Chromium; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Open the machine's Chromium without a window.

    Raises:
        RuntimeError: If there is none.
    """
    found = find_chromium()
    if found is None:
        raise RuntimeError(NO_CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        try:
            yield browser
        finally:
            browser.close()


def wait_until_steady(page: Page) -> None:
    """Wait until a page of the app has run to its end and its visible pictures are there."""
    page.locator("h1, h2, h3, [role=alert]").first.wait_for()
    page.wait_for_function(_STEADY)
    page.wait_for_timeout(150)  # components draw in the next frame
    page.wait_for_function(_STEADY)
    page.wait_for_function(IMAGES_THERE, polling=50)


IMAGES_THERE = """
() => [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot)]
    .filter(Boolean)
    .flatMap((root) => [...root.querySelectorAll('img')].slice(0, 300))
    .every((image) => {
        if (!image.checkVisibility({ contentVisibilityAuto: true })) return true;
        const { top, bottom, width } = image.getBoundingClientRect();
        return bottom <= 0 || top >= innerHeight || !width || image.naturalWidth > 0;
    })
"""
"""JavaScript that tells whether all pictures within the window are loaded."""
