"""Pictures of every page of the app, to be looked at before a release.

    python -m benchmarks.screenshots [-o out/screenshots] [--atlas FOLDER]

Opens the atlas of assets/, or FOLDER, or one that is built in a minute where there is neither, and
writes each page at 1024 and 1600 px, light; two of them dark as well.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from benchmarks.serving import chromium, serve, wait_until_steady
from featviz.atlas import Atlas, ModelSource, Request, build_atlas
from featviz.config import RenderConfig

WIDTHS = (1024, 1600)
DARK = ("site", "circuit")
_OWN = Path(__file__).parents[1] / "assets" / "atlas"
_PHOTO = Path(__file__).parents[1] / "assets" / "readme" / "photo.jpg"
_MODEL = "squeezenet1_1"
_WANTED = (("fire5", 38), ("fire4", 141))
"""Units that are good to look at, where the atlas has them."""
_HIGH_PX = 900
_STILL_MS = 600


@dataclass(frozen=True)
class Shot:
    """A page to take a picture of.

    Attributes:
        name: Of the file.
        page: Of the app.
        query: Of its URL.
        upload: Whether a photograph is handed in.
        silence: Whether the first unit of the circuit is silenced.
    """

    name: str
    page: str
    query: dict[str, str] = field(default_factory=dict)
    upload: bool = False
    silence: bool = False


def list_shots(root: Path) -> list[Shot]:
    """Return the pages to show of an atlas."""
    with Atlas(root) as atlas:
        model = _MODEL if _MODEL in atlas.models() else atlas.models()[0]
        there = {site: atlas.channels(model, site) for site in atlas.sites(model)}
    site = next(iter(there))
    channel = there[site][0]
    for wanted, number in reversed(_WANTED):
        if number in there.get(wanted, []):
            site, channel = wanted, number
    unit = {"model": model, "unit": f"{site}:{channel}"}
    others = [f"{site}:{other}" for other in there[site][:4]]
    parts = ("Photographs", "Weights", "Tuning", "Nearest", "Numbers", "Record")
    return [
        Shot("home", ""),
        Shot("model", "model", {"model": model}),
        Shot("site", "site", {"model": model, "site": site}),
        Shot(
            "site-similar",
            "site",
            {"model": model, "site": site, "sort": "similar in weights", "to": str(channel)},
        ),
        *(Shot(f"unit-{part.lower()}", "unit", {**unit, "part": part}) for part in parts),
        Shot("circuit", "circuit", {**unit, "depth": "2"}),
        Shot("circuit-silenced", "circuit", {**unit, "depth": "1"}, silence=True),
        Shot("compare", "compare", {"model": model, "items": "; ".join(others)}),
        Shot("render", "render", {"model": model, "unit": unit["unit"]}),
        Shot("image", "image", {"model": model, "site": site}),
        Shot("image-looked-at", "image", {"model": model, "site": site}, upload=True),
        Shot("lessons", "lessons"),
        Shot("lesson-curves", "lessons", {"lesson": "curves", "step": "1"}),
        Shot("lesson-composing", "lessons", {"lesson": "composing", "step": "2"}),
        Shot("bad-link", "unit", {**unit, "unit": f"{site}s:1"}),
    ]


def take(browser: Browser, base: str, shot: Shot, path: Path, *, width: int, dark: bool) -> None:
    """Write the picture of a page, as long as the page is, up to three windows."""
    context = browser.new_context(
        viewport={"width": width, "height": _HIGH_PX}, color_scheme="dark" if dark else "light"
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{base}/{shot.page}?{urlencode(shot.query)}")
    wait_until_steady(page)
    if shot.upload:
        page.set_input_files("input[type=file]", _PHOTO)
        page.locator(".photo img").first.wait_for()
        wait_until_steady(page)
    if shot.silence:
        node = page.locator(".node").first
        node.focus()
        node.press("Delete")
        page.get_by_text("Silenced").wait_for()
        wait_until_steady(page)
    height = min(3 * _HIGH_PX, max(_HIGH_PX, _length(page)))
    page.set_viewport_size({"width": width, "height": height})
    wait_until_steady(page)
    page.screenshot(path=path)
    context.close()


def _length(page: Page) -> int:
    """Return how long a page is, once it stays so."""
    before = -1
    while True:
        found = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        if found == before:
            return int(found) + 60
        before = found
        page.wait_for_timeout(_STILL_MS)
        wait_until_steady(page)


def small_atlas(root: Path) -> Path:
    """Build an atlas of a few units, rough ones, in a minute."""
    request = Request(
        ModelSource(_MODEL, device="cpu"),
        sites=("fire4", "fire5"),
        units="32-47",
        variants=("positive", "negative"),
        config=RenderConfig(steps=32, size=96),
    )
    build_atlas(root, request)
    return root


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures and print their names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("-o", "--output", type=Path, default=Path("out/screenshots"))
    parser.add_argument("--atlas", type=Path, help="the atlas of assets/ unless given")
    parser.add_argument("--only", default="", help="part of the names of those that are wanted")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = options.atlas or (_OWN if _OWN.is_dir() else small_atlas(folder / "atlas"))
        served = stack.enter_context(serve(root, "--renders", folder / "renders"))
        browser = stack.enter_context(chromium())
        for shot in list_shots(root):
            if options.only not in shot.name:
                continue
            for width in WIDTHS:
                for dark in (False, True)[: 1 + (shot.name in DARK)]:
                    path = options.output / f"{shot.name}-{width}{'-dark' * dark}.png"
                    take(browser, served.base, shot, path, width=width, dark=dark)
                    print(path)


if __name__ == "__main__":
    main()
