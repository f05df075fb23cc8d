"""Render and Your image in a real browser, with the real process: slow to start, so few tests."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.serving import Served, serve
from featviz.atlas.layout import create_layout

_PATIENCE_MS = 90_000  # importing torch takes long where several processes share the cores


def children(server: Served) -> list[int]:
    """Return the processes that a server started."""
    found = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return [int(pid) for path in found for pid in path.read_text().split()]


@pytest.fixture(scope="module")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    assert browser.is_connected()
    folder = tmp_path_factory.mktemp("served")
    create_layout(folder / "mine")
    with serve(folder / "mine", "--renders", folder / "renders") as app:
        yield app


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    problems: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert problems == []


def show(tab: Page, server: Served, path: str) -> None:
    tab.goto(server.base + path)
    tab.wait_for_selector("h2")


def test_a_live_render_is_cancelled_and_another_one_ends_in_the_atlas(
    server: Served, tab: Page
) -> None:
    show(tab, server, "/render?unit=fire2:3&px=32&steps=4096&transforms=none")
    tab.get_by_role("button", name="Render").click()
    tab.wait_for_selector(".live img")
    first = tab.locator(".live img").get_attribute("src")
    tab.wait_for_function(
        "before => document.querySelectorAll('*') && [...document.querySelectorAll('*')]"
        ".flatMap(e => e.shadowRoot ? [...e.shadowRoot.querySelectorAll('.live img')] : [])"
        ".some(image => image.src !== before)",
        arg=first,
    )
    assert tab.locator(".live svg path.line").count() == 2
    assert re.search(r"step \d+ of 4096", tab.locator(".live .words").inner_text())
    (renderer,) = [pid for pid in children(server) if "render_process" in _command(pid)]
    tab.reload()
    tab.wait_for_selector(".live img")
    assert re.search(r"step \d+ of 4096", tab.locator(".live .words").inner_text())
    tab.get_by_role("button", name="Cancel").click()
    tab.wait_for_selector("text=Cancelled; the image is as it was")
    wait_until_gone(renderer)

    tab.get_by_label("Steps").fill("3")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**steps=3**")
    tab.get_by_role("button", name="Render").click()
    tab.wait_for_selector("text=Kept in the atlas")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "squeezenet1_1_fire2_3.png"
    tab.get_by_text("Kept in the atlas").click()
    tab.wait_for_selector("h2:has-text('fire2:3')")
    tab.wait_for_selector(".tile img")
    assert tab.evaluate("location.pathname") == "/unit"
    tab.go_back()
    tab.wait_for_selector("h2:has-text('Render')")


def test_files_that_are_no_photographs_are_told_and_a_photograph_is_looked_at(
    server: Served, tab: Page, tmp_path: Path
) -> None:
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_bytes(b"<html>no picture</html>")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (99, 120, 3), dtype=np.uint8)).save(good)
    show(tab, server, "/image?site=fire4")
    tab.set_input_files("input[type=file]", bad)
    tab.wait_for_selector("text='bad.png' is no picture that is understood")
    tab.set_input_files("input[type=file]", good)
    tab.wait_for_selector(".photo img")
    tab.locator(".tile").nth(1).click()
    tab.wait_for_url("**unit=fire4**")
    tab.locator(".photo").click(position={"x": 60, "y": 40})
    tab.wait_for_url("**at=**")
    tab.wait_for_selector("h3:has-text('that fire most at')")
    assert tab.locator(".photo .spot").is_visible()
    tab.get_by_text("The whole photograph").click()
    tab.wait_for_selector("h3:has-text('that fire most') >> text=/most$/")
    tab.go_back()
    tab.wait_for_selector("h3:has-text('that fire most at')")
    assert tab.locator(".photo img").first.get_attribute("src"), "the photograph stays"


def test_a_server_that_ends_leaves_no_process(server: Served, tab: Page) -> None:
    show(tab, server, "/render?unit=fire2:3&px=32&steps=4096")
    tab.get_by_role("button", name="Render").click()
    tab.wait_for_selector(".live img")
    (renderer,) = [pid for pid in children(server) if "render_process" in _command(pid)]
    server.process.send_signal(signal.SIGINT)
    server.process.wait(30)
    wait_until_gone(renderer)


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while "render_process" in _command(pid):
        assert time.monotonic() < end
        time.sleep(0.05)


def _command(pid: int) -> str:
    """Return what a process runs; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
