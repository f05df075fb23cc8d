"""Tests of the grid of thousands of units in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.app import make_atlas
from benchmarks.serving import serve, wait_until_steady

UNITS = 3000
SITE = "/site?model=squeezenet1_1&site=fire5"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """Serve an atlas of one large site; asked for after the browser, as there may be none."""
    assert browser.is_connected()
    folder = tmp_path_factory.mktemp("large")
    make_atlas(folder / "atlas", UNITS)
    with serve(folder / "atlas", "--renders", folder / "renders") as served:
        yield served.base


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    """Open the site in a fresh browser."""
    context = browser.new_context(base_url=base, viewport={"width": 1280, "height": 800})
    made = context.new_page()
    made.goto(SITE)
    made.locator("a.tile").first.wait_for()
    wait_until_steady(made)
    yield made
    context.close()


def places(page: Page) -> list[list[float]]:
    """Return channel, left and top of each tile that is there, px from the corner of the grid."""
    found: list[list[float]] = page.locator(".grid").evaluate(
        """(grid) => {
            const box = grid.getBoundingClientRect();
            return [...grid.querySelectorAll(".tile")].map((tile) => {
                const { left, top } = tile.getBoundingClientRect();
                return [Number(tile.dataset.id.split(":")[1]), left - box.left, top - box.top];
            });
        }"""
    )
    return found


def active(page: Page) -> Any:
    """Return the id of the tile that has the focus."""
    return page.evaluate(
        """() => {
            let one = document.activeElement;
            while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
            return one?.dataset?.id ?? one?.className;
        }"""
    )


def scroll_to(page: Page, share: float) -> None:
    """Scroll the page to a share of its height, and wait for the frame after it."""
    page.get_by_test_id("stMain").evaluate(
        "(main, share) => main.scrollTo(0, share * (main.scrollHeight - main.clientHeight))", share
    )
    page.wait_for_timeout(200)


def seen(page: Page) -> list[int]:
    """Return the channels of the tiles that are within the window."""
    found: list[int] = page.locator(".tile").evaluate_all(
        """(tiles) => tiles.filter((tile) => {
            const { top, bottom } = tile.getBoundingClientRect();
            return top < innerHeight && bottom > 0;
        }).map((tile) => Number(tile.dataset.id.split(":")[1]))"""
    )
    return found


def channel_of(name: str) -> int:
    """Return the channel of the id of a tile."""
    return int(name.partition(":")[2])


def check_places(page: Page) -> None:
    """Check that each tile stands where it would if all of them were there."""
    found = places(page)
    columns = len({left for _, left, _ in found})
    channels = [int(channel) for channel, _, _ in found]
    assert channels == list(range(channels[0], channels[0] + len(channels))), "no tile is left out"
    tops = sorted({top for _, _, top in found})
    row = (tops[-1] - tops[0]) / (len(tops) - 1)
    for channel, _, top in found:
        assert top == pytest.approx(channel // columns * row, abs=2), channel
    height = page.locator(".grid").evaluate("grid => grid.getBoundingClientRect().height")
    assert height == pytest.approx(-(-UNITS // columns) * row, abs=row / 4)


def test_only_what_is_near_the_window_is_there(page: Page) -> None:
    for share in (0.0, 0.5, 0.51, 1.0, 0.2, 0.0):
        scroll_to(page, share)
        assert len(places(page)) < 400
        check_places(page)
        assert len(seen(page)) > 20
    assert 0 in seen(page)
    scroll_to(page, 1.0)
    assert UNITS - 1 in seen(page)
    last = page.locator(f".tile[data-id='fire5:{UNITS - 1}']")
    item = last.locator("..")
    assert item.get_attribute("aria-posinset") == item.get_attribute("aria-setsize") == str(UNITS)
    wait_until_steady(page)
    assert last.locator("img").evaluate("image => image.naturalWidth") > 0
    last.click()
    expect(page.locator("h2")).to_have_text(f"fire5:{UNITS - 1}")


def test_a_window_of_another_size_and_other_tiles(page: Page) -> None:
    scroll_to(page, 0.5)
    for width, height in ((1288, 800), (1296, 804), (1024, 1400)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        check_places(page)
    page.get_by_text("small", exact=True).click()
    page.wait_for_url("**size=small**")
    wait_until_steady(page)
    page.wait_for_timeout(300)
    check_places(page)
    assert len(seen(page)) > 100
    scroll_to(page, 1.0)
    page.get_by_role("textbox", name="Filter").fill("7-9")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(3)
    assert seen(page) == [7, 8, 9]


def top_of(page: Page, channel: int) -> float:
    """Return how far a tile is from the top of the window, px."""
    box = page.locator(f".tile[data-id='fire5:{channel}']").bounding_box()
    assert box is not None
    return box["y"]


def first_seen(page: Page) -> int:
    """Return the first channel that is wholly within the window."""
    return min(channel for channel in seen(page) if top_of(page, channel) >= 0)


def test_what_is_seen_stays_where_it_is_in_tiles_of_another_size(page: Page) -> None:
    scroll_to(page, 0.5)
    first = first_seen(page)
    before = top_of(page, first)
    for width in (1224, 1128, 1024, 900, 1100, 1500, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(300)
        assert first in seen(page), width
        check_places(page)
    assert top_of(page, first) == pytest.approx(before, abs=3)
    for size, side in (("large", 144), ("small", 64), ("medium", 96)):
        page.get_by_text(size, exact=True).dispatch_event("click")  # a real one would scroll to it
        page.wait_for_function(
            "([grid, side]) => grid.style.getPropertyValue('--side') === `${side}px`",
            arg=[page.locator(".grid").element_handle(), side],
        )
        wait_until_steady(page)
        page.wait_for_timeout(300)
        assert first in seen(page), size
        check_places(page)
    assert top_of(page, first) == pytest.approx(before, abs=3)


def back_at(page: Page, heading: str) -> None:
    """Wait until a page of that heading is there, and its place."""
    expect(page.locator("h2").first).to_have_text(heading)
    wait_until_steady(page)
    page.wait_for_timeout(500)


def test_steps_back_and_forward_lead_to_where_one_was(page: Page) -> None:
    scroll_to(page, 0.6)
    channel = sorted(seen(page))[len(seen(page)) // 2]
    before = top_of(page, channel)
    page.locator(f".tile[data-id='fire5:{channel}']").click()
    back_at(page, f"fire5:{channel}")
    for _ in range(2):
        page.go_back()
        back_at(page, "fire5")
        assert top_of(page, channel) == pytest.approx(before, abs=3)
        check_places(page)
        page.go_forward()
        back_at(page, f"fire5:{channel}")
    page.go_back()
    back_at(page, "fire5")
    scroll_to(page, 0.3)
    page.wait_for_timeout(400)
    channel = first_seen(page)
    before = top_of(page, channel)
    page.get_by_role("link", name="Lessons").click()
    page.wait_for_url("**/lessons**")
    wait_until_steady(page)
    page.go_back()
    back_at(page, "fire5")
    assert top_of(page, channel) == pytest.approx(before, abs=3)
    scroll_to(page, 0.0)
    page.wait_for_timeout(400)
    page.goto("/lessons")
    page.go_back()
    back_at(page, "fire5")
    assert 0 in seen(page), "the place at the top is none"


def test_tiles_in_another_order_begin_where_the_page_is(page: Page) -> None:
    main = page.get_by_test_id("stMain")
    scroll_to(page, 0.2)
    page.wait_for_timeout(400)
    before = main.evaluate("(main) => main.scrollTop")
    first = first_seen(page)
    page.get_by_role("switch").dispatch_event("click")  # a real one would scroll to it
    expect(page.locator(f".tile[data-id='fire5:{UNITS - 1 - first}']")).to_be_visible()
    page.wait_for_timeout(400)
    assert main.evaluate("(main) => main.scrollTop") == before


def test_the_tab_key_enters_where_one_left_to_a_unit(page: Page) -> None:
    scroll_to(page, 0.6)
    channel = sorted(seen(page))[len(seen(page)) // 2]
    page.locator(f".tile[data-id='fire5:{channel}']").focus()
    page.keyboard.press("Enter")
    back_at(page, f"fire5:{channel}")
    page.go_back()
    back_at(page, "fire5")
    stop = page.locator(".tile[tabindex='0']")
    expect(stop).to_have_attribute("data-id", f"fire5:{channel}")


def test_the_keyboard_goes_on_after_scrolling_away(page: Page) -> None:
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    assert active(page) == f"fire5:{UNITS - 1}"
    page.wait_for_timeout(200)
    check_places(page)
    scroll_to(page, 0.3)
    assert active(page) == "grid", "the tile is gone, the place is not lost"
    check_places(page)
    assert page.locator(".tile[tabindex='0']").count() == 1
    there = seen(page)
    page.keyboard.press("ArrowRight")
    assert channel_of(active(page)) in there, "it goes on from what is seen"
    page.keyboard.press("Home")
    assert active(page) == "fire5:0"
    page.wait_for_timeout(200)
    check_places(page)
    columns = len({left for _, left, _ in places(page)})
    for _ in range(30):  # further down than what was there
        page.keyboard.press("ArrowDown")
    assert active(page) == f"fire5:{30 * columns}"
    page.wait_for_timeout(200)
    check_places(page)


def test_the_grid_is_one_stop_of_the_tab_key_where_the_reader_is(page: Page) -> None:
    scroll_to(page, 0.5)
    stop = page.locator(".tile[tabindex='0']")
    expect(stop).to_have_count(1)
    assert channel_of(str(stop.get_attribute("data-id"))) in seen(page)
    middle = sorted(seen(page))[len(seen(page)) // 2]
    page.locator(f".tile[data-id='fire5:{middle}']").focus()
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(300)
    assert active(page) == f"fire5:{middle}"
    page.keyboard.press("Tab")
    assert not str(active(page)).startswith("fire5:"), "one stop"
    page.keyboard.press("Shift+Tab")
    assert active(page) == f"fire5:{middle}", "it enters where it left"


def test_a_click_beside_the_tiles_goes_nowhere(page: Page) -> None:
    scroll_to(page, 0.5)
    before = sorted(seen(page))
    box = page.locator(".tile").nth(len(places(page)) // 2).bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] + 3, box["y"] + 20)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert sorted(seen(page)) == before


def test_what_a_grid_listens_with_ends_with_its_tiles(page: Page) -> None:
    session = page.context.new_cdp_session(page)

    def count() -> int:
        asked = {"expression": "document", "objectGroup": "test"}
        document = session.send("Runtime.evaluate", asked)["result"]["objectId"]
        found = session.send("DOMDebugger.getEventListeners", {"objectId": document})
        return sum(each["type"] == "scroll" for each in found["listeners"])

    before = count()
    for last in (900, 800, 700, 600):
        page.get_by_role("textbox", name="Filter").fill(f"0-{last}")
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{last + 1} of")).to_be_visible()
    assert count() == before
