"""How fast the app answers on a site of thousands of units, and whether its memory stays flat.

    python -m benchmarks.app [--units 10000] [--views 1000] [--json]

An atlas of small pictures of noise is made, served and opened in Chromium, all on this machine:
seconds until the first pictures of the site are there, seconds from a click to the unit and its
picture, in the whole site and in one that is filtered to a hundred units, both again while another
session renders, megabytes of the server over many page views, and whether a session sees another
one's choices. Times are of the browser, which shares the cores, so that they hold its own work too.
The exit code is 1 if a bound of `DEMANDED` is not kept.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks.serving import IMAGES_THERE, Served, chromium, serve, wait_until_steady
from featviz.atlas import NewImage, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.pictures import thumb_bytes, webp_bytes

DEMANDED = {
    "first_images_s": 3.0,
    "click_to_unit_s": 1.0,
    "click_in_a_filtered_site_s": 1.0,
    "click_while_rendering_s": 0.5,
    "click_in_a_filtered_site_while_rendering_s": 0.5,
    "growth_mb_per_100_views": 5.0,
}
"""Upper bounds of medians; growth is that of the second half of the views: caches fill in the
first, and the heap grows in steps of some 20 MB that come and go, which a few hundred views would
not tell from growth."""
_MODEL, _SITE = "squeezenet1_1", "fire5"
_PICTURES = 64
_CLICKS = 8
_PATIENCE_MS = 120_000
_PARTS = ("Photographs", "Weights", "Tuning", "Nearest", "Numbers", "Record")
_UNIT = "/unit?model={model}&unit={site}%3A{channel}&part={part}"


def make_atlas(root: Path, units: int) -> None:
    """Write an atlas of one site: many units that share a few pictures of noise."""
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(_PICTURES):
        levels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(levels).resize((128, 128), Image.Resampling.BICUBIC)
        pictures.append((webp_bytes(picture, quality=90), thumb_bytes(picture, 96)))
    shared = {
        "schema": 1,
        "request": {"arguments": [_MODEL]},
        "model": {"name": _MODEL, "weights": "none"},
        "config": {"steps": 1},
        "ran": {},
    }
    with Store(root) as store:
        for first in range(0, units, 1000):
            store.add(
                [
                    NewImage(_parts(k), *pictures[k % _PICTURES], shared)
                    for k in range(first, min(first + 1000, units))
                ]
            )


def _parts(channel: int) -> dict[str, Any]:
    unit = f"{_SITE}:{channel}"
    return {
        "key": content_key(["image", channel]), "job": content_key(["job", channel]),
        "model": _MODEL, "weights": content_key("none"), "site": _SITE, "channel": channel,
        "variant": "positive", "image": 0, "label": unit, "score": float(channel * 7 % 1009),
        "dead": False, "failed": False, "metrics": {"slope": -1.0 - channel % 97 / 97},
        "kind": "webp", "height": 128, "width": 128, "seconds": 0.1,
        "record": {"unit": unit, "objective": unit},
    }  # fmt: skip


def open_page(browser: Browser) -> Page:
    """Return a page of a fresh browser."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(_PATIENCE_MS)
    return page


def first_images(browser: Browser, base: str, *, repeats: int = 5) -> list[float]:
    """Return seconds from the link of the site to its first pictures, each in a fresh browser."""
    found = []
    for _ in range(repeats):
        page = open_page(browser)
        start = time.perf_counter()
        page.goto(f"{base}/site?model={_MODEL}&site={_SITE}")
        page.locator("a.tile img").first.wait_for()
        page.wait_for_function(IMAGES_THERE, polling=50)
        found.append(time.perf_counter() - start)
        page.context.close()
    return found


def clicks(page: Page, base: str, *, only: str = "", count: int = _CLICKS) -> list[float]:
    """Return seconds from clicks in the grid to the heading and the picture of the unit.

    Args:
        page: Of the browser.
        base: Address of the app.
        only: The filter of the site.
        count: How many clicks.
    """
    found = []
    for k in range(count):
        page.goto(f"{base}/site?model={_MODEL}&site={_SITE}&filter={only}")
        tile = page.locator(f"a.tile[data-id='{_SITE}:{7 * k}']")  # some are far below
        tile.scroll_into_view_if_needed()
        wait_until_steady(page)
        page.wait_for_timeout(500)  # as long as somebody looks
        start = time.perf_counter()
        tile.click()
        page.locator("h2", has_text=f"{_SITE}:{7 * k}").wait_for()
        page.locator("div.tile img").first.wait_for()
        page.wait_for_function(IMAGES_THERE, polling=20)
        found.append(time.perf_counter() - start)
    return found


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_over_views(browser: Browser, served: Served, units: int, views: int) -> list[float]:
    """Return the memory of the server after each tenth of many page views, MB.

    Most walk from unit to unit within a session, each tenth along another part of the page; each
    begins with the whole site, a circuit and a lesson.
    """
    found = []
    each = max(4, views // 10)
    beginnings = (
        f"/site?model={_MODEL}&site={_SITE}",
        f"/circuit?model={_MODEL}&unit={_SITE}%3A38",
        "/lessons?lesson=curves",
    )
    for part in range(10):
        page = open_page(browser)
        for path in beginnings:
            page.goto(served.base + path)
            wait_until_steady(page)
        start = part * each % max(1, min(units, 256) - each)
        where = {"model": _MODEL, "site": _SITE, "part": _PARTS[part % len(_PARTS)]}
        page.goto(served.base + _UNIT.format(channel=start, **where))
        for k in range(start, start + each - len(beginnings) - 1):
            page.locator("a.next", has_text=f"{_SITE}:{k + 1} ").click()
            page.locator("h2", has_text=f"{_SITE}:{k + 1}").wait_for()
            wait_until_steady(page)
        page.context.close()
        found.append(memory_mb(served.process.pid))
    return found


def sessions_are_apart(browser: Browser, base: str) -> bool:
    """Tell whether what one session chooses leaves another one as it is."""
    one, other = open_page(browser), open_page(browser)
    for page in (one, other):
        page.goto(f"{base}/site?model={_MODEL}&site={_SITE}&filter=0-9")
        page.locator("a.tile").first.wait_for()
    one.get_by_role("textbox", name="Filter").fill("3-4")
    one.keyboard.press("Enter")
    one.get_by_text("2 of ").wait_for()
    other.get_by_text("Largest first").click()
    other.wait_for_url("**down=true**")
    apart = "down" not in one.url and one.locator("a.tile").count() == 2
    apart = apart and "3-4" not in other.url and other.locator("a.tile").count() == 10
    for page in (one, other):
        page.context.close()
    return apart


def clicks_while_rendering(browser: Browser, base: str) -> dict[str, list[float]]:
    """Return seconds of clicks while another session renders."""
    busy, page = open_page(browser), open_page(browser)
    busy.goto(f"{base}/render?model={_MODEL}&unit=fire7:1&steps=4096&px=512")
    busy.get_by_role("button", name="Render").click()
    busy.locator(".live img").first.wait_for()
    found = {
        "click_while_rendering_s": clicks(page, base),
        "click_in_a_filtered_site_while_rendering_s": clicks(page, base, only="0-99"),
    }
    busy.get_by_role("button", name="Cancel").click()
    busy.get_by_text("Cancelled;").wait_for()
    return found


def measure(units: int, views: int) -> dict[str, Any]:
    """Return all numbers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make_atlas(folder / "atlas", units)
        served = stack.enter_context(serve(folder / "atlas", "--renders", folder / "renders"))
        browser = stack.enter_context(chromium())
        cold, *images = first_images(browser, served.base)
        page = open_page(browser)
        in_site = clicks(page, served.base)
        filtered = clicks(page, served.base, only="0-99")
        page.context.close()
        apart = sessions_are_apart(browser, served.base)
        rendering = clicks_while_rendering(browser, served.base)
        memory = memory_over_views(browser, served, units, views)
        half = len(memory) // 2
        return {
            "units": units,
            "first_images_of_a_cold_server_s": round(cold, 3),
            "first_images_s": _spread(images),
            "click_to_unit_s": _spread(in_site),
            "click_in_a_filtered_site_s": _spread(filtered),
            **{name: _spread(values) for name, values in rendering.items()},
            "sessions_apart": apart,
            "views": views,
            "memory_mb": [round(value) for value in memory],
            "growth_mb_per_100_views": round((memory[-1] - memory[half]) * 200 / views, 1),
        }


def missed(found: dict[str, Any]) -> list[str]:
    """Return the names of what is not as demanded."""
    values = {
        name: found[name]["median"] if isinstance(found[name], dict) else found[name]
        for name in DEMANDED
    }
    over = [name for name, bound in DEMANDED.items() if values[name] >= bound]
    return over if found["sessions_apart"] else [*over, "sessions_apart"]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "max": round(max(values), 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table or JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--views", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = measure(options.units, options.views)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            wanted = f"   (demanded: below {DEMANDED[name]})" if name in DEMANDED else ""
            print(f"{name:43} {value}{wanted}")
    return 1 if missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
