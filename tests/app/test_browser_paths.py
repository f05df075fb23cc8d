"""The main ways through the app in a real browser, offline: by click, by keyboard, by link."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app_atlases import MODEL, curves_atlas
from benchmarks.serving import serve, wait_until_steady

_PATIENCE_MS = 30_000  # processes that share the cores make the first run of a page slow
ARCS = f"/site?model={MODEL}&site=arcs"
UNIT = f"/unit?model={MODEL}&unit=arcs%3A"
CIRCUIT = f"/circuit?model={MODEL}&unit=arcs%3A0&depth=1&keep=4"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[str]:
    """The server; asked for after the browser, so that nothing starts where there is none."""
    assert browser.is_connected()
    folder = tmp_path_factory.mktemp("served")
    root = curves_atlas(folder / "curves", arcs=24).root
    with serve(root, "--renders", folder / "renders") as served:
        yield served.base


@pytest.fixture
def context(browser: Browser, base: str) -> Iterator[BrowserContext]:
    """A fresh browser; it fails the test when a page breaks or asks anyone but the server."""
    made = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=base)
    made.set_default_timeout(_PATIENCE_MS)
    problems: list[str] = []
    host = urlsplit(base).netloc
    made.on("weberror", lambda error: problems.append(str(error.error)))
    made.on(
        "request",
        lambda request: (
            problems.append(request.url)
            if urlsplit(request.url).scheme in ("http", "https", "ws", "wss")
            and urlsplit(request.url).netloc != host
            else None
        ),
    )
    yield made
    made.close()
    assert problems == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    expect.set_options(timeout=_PATIENCE_MS)
    return context.new_page()


def heading(page: Page, words: str) -> None:
    expect(page.locator("h2", has_text=words)).to_be_visible()
    wait_until_steady(page)  # its parts come after its heading


def query(page: Page) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def path(page: Page) -> str:
    return urlsplit(page.url).path


def active(page: Page) -> str:
    """What has the focus, also within components."""
    return str(
        page.evaluate(
            "() => { let at = document.activeElement;"
            " while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;"
            " return at?.dataset?.id ?? at?.tagName ?? ''; }"
        )
    )


def test_from_the_start_to_a_unit_and_back(page: Page) -> None:
    page.goto("/")
    page.locator("a.way", has_text=MODEL).last.click()
    page.locator("a.site", has_text="arcs").click()
    tile = page.locator("a.tile[data-id='arcs:5']")
    expect(tile.locator("img")).to_have_js_property("complete", True)
    assert tile.locator("img").evaluate("image => image.naturalWidth") == 16
    tile.click()
    heading(page, "arcs:5")
    assert (path(page), query(page)["unit"]) == ("/unit", "arcs:5")
    page.go_back()
    expect(page.locator("a.tile[data-id='arcs:5']")).to_be_visible()
    assert path(page) == "/site"
    page.go_forward()
    heading(page, "arcs:5")


def test_the_keyboard_walks_the_grid_and_the_units(page: Page) -> None:
    page.goto(ARCS)
    page.locator("a.tile").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert active(page) == "arcs:1"
    page.keyboard.press("ArrowDown")
    below = active(page)
    assert int(below.partition(":")[2]) > 2, "a row further"
    assert page.locator(".tile[tabindex='0']").count() == 1, "a grid is one stop of the Tab key"
    expect(page.get_by_role("listitem").get_by_role("link", name=below)).to_be_focused()
    page.keyboard.press("Enter")
    heading(page, below)
    page.goto(UNIT + "1&part=Numbers")
    for key, channel in (("", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 0)):
        page.keyboard.press(key or "Shift")
        heading(page, f"arcs:{channel}")
        # The heading of a page is there before its links are.
        expect(page.locator("a.next")).to_have_text(f"arcs:{channel + 1} →")
        expect(page.get_by_role("tab", name="Numbers", selected=True)).to_be_visible()
    page.keyboard.press("ArrowLeft")  # nothing is before the first one
    page.go_back()
    heading(page, "arcs:1")
    page.goto(UNIT + "0&part=Photographs")
    photographs = page.locator(".grid", has=page.locator("[data-id^='Excite it most']"))
    photographs.locator("[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert active(page) == "Excite it most 1"


def test_the_box_jumps_and_says_what_is_wrong(page: Page) -> None:
    page.goto(ARCS)
    heading(page, "arcs")
    page.keyboard.press("/")
    page.keyboard.type("early_curves:2")
    page.keyboard.press("Enter")
    heading(page, "early_curves:2")
    page.keyboard.press("/")
    page.keyboard.type("arxs:1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no images of a site 'arxs'")
    page.get_by_role("link", name="To the start").click()
    expect(page.locator("h1")).to_be_visible()


def test_weights_lead_from_unit_to_unit(page: Page) -> None:
    page.goto(UNIT + "0&part=Weights")
    link = page.locator("a.link").first
    name = link.locator("strong").inner_text()
    assert name.startswith("early_curves:")
    link.click()
    heading(page, name)
    expect(page.locator(".connections").first).to_be_visible()
    page.locator("a.link", has_text="arcs:").first.click()
    heading(page, "arcs:")
    page.go_back()
    heading(page, name)


def test_parts_of_a_circuit_are_chosen_and_silenced(page: Page) -> None:
    page.goto(CIRCUIT)
    node = page.locator(".node[data-node^='early_curves']").first
    name = str(node.get_attribute("data-node"))
    node.click()
    page.wait_for_url("**focus=**")
    assert query(page)["focus"] == name
    silence = page.get_by_role("link", name="Silence")
    silence.click()
    expect(page.get_by_text("left of arcs:0")).to_be_visible()
    assert query(page)["off"] == name
    expect(page.locator(f".node[data-node='{name}']")).to_have_class("node chosen off")
    page.get_by_role("link", name="All sound again").click()
    expect(page.get_by_text("left of arcs:0")).to_have_count(0)
    page.go_back()
    expect(page.get_by_text("left of arcs:0")).to_be_visible()


def test_a_check_goes_on_while_one_looks_around_and_can_be_stopped(page: Page) -> None:
    page.goto(f"/circuit?model={MODEL}&unit=arcs%3A0&depth=5&keep=20&width=40")
    page.get_by_role("button", name="Verify").click()
    far = page.get_by_text(re.compile(r"Checking the circuit ... [2-9][0-9]%"))
    expect(far).to_be_visible()
    page.locator(".node").first.click()
    page.wait_for_url("**focus=**")
    wait_until_steady(page)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Verify")).to_be_visible()
    expect(page.get_by_text("Checking the circuit")).to_have_count(0)
    assert "verify" not in query(page)
    page.get_by_role("button", name="Verify").click()
    expect(far).to_be_visible(timeout=3000)  # it had not ended yet
    expect(page.get_by_text("all columns together").first).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def test_the_keyboard_turns_one_page_at_a_time(page: Page) -> None:
    page.goto(UNIT + "1&part=Numbers")
    heading(page, "arcs:1")
    for channel in (2, 3, 4):
        page.locator("a.next").click()
        heading(page, f"arcs:{channel}")
    before = page.evaluate("history.length")
    page.keyboard.press("ArrowRight")
    heading(page, "arcs:5")
    assert page.evaluate("history.length") == before + 1, "only the last of its listeners is left"


def test_the_keyboard_goes_on_where_it_was_in_a_circuit(page: Page) -> None:
    page.goto(CIRCUIT)
    node = page.locator(".node[data-node^='early_curves']").first
    name = str(node.get_attribute("data-node"))
    page.get_by_role("button", name="zoom out").click()
    zoomed = page.locator("svg.circuit").get_attribute("viewBox")
    node.click()
    page.wait_for_url("**focus=**")
    expect(node).to_have_class("node chosen")
    page.keyboard.press("Delete")
    expect(node).to_have_class("node chosen off")
    page.keyboard.press("p")
    expect(node).to_have_class("node chosen off pinned")
    assert (query(page)["off"], query(page)["pins"]) == (name, name)
    expect(page.get_by_text("left of arcs:0")).to_be_visible()
    assert page.locator("svg.circuit").get_attribute("viewBox") == zoomed
    page.locator(f".hit[data-source='{name}']").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**focus=*%3E*")
    assert query(page)["focus"] == f"{name}>arcs:0"
    weak = str(page.locator(".node[data-node^='early_curves']").last.get_attribute("data-node"))
    page.goto(f"{CIRCUIT}&least=100&pins={weak}")
    wires = page.locator(".hit")
    expect(wires).to_have_count(1)
    target = page.locator(".node[data-node='arcs:0']")
    target.focus()
    page.keyboard.press("p")
    expect(wires).to_have_count(2)  # another drawing
    expect(target).to_be_focused()


def test_a_link_shows_the_same_to_somebody_else(page: Page, browser: Browser, base: str) -> None:
    page.goto(ARCS)
    page.get_by_role("textbox", name="Filter").fill("3-9")
    page.keyboard.press("Enter")
    page.get_by_text("Largest first").click()
    expect(page.get_by_text("7 of 24 units")).to_be_visible()
    page.wait_for_url("**down=true**")
    page.get_by_text("large", exact=True).click()
    page.wait_for_url("**size=large**")
    shown = [str(channel) for channel in range(9, 2, -1)]
    expect(page.locator(".tile .caption")).to_have_text(shown)
    fresh = browser.new_context(base_url=base, viewport={"width": 1024, "height": 800})
    other = fresh.new_page()
    other.goto(page.url)
    expect(other.get_by_text("7 of 24 units")).to_be_visible()
    expect(other.get_by_role("textbox", name="Filter")).to_have_value("3-9")
    expect(other.locator(".tile .caption")).to_have_text(shown)
    fresh.close()


def test_a_comparison_is_kept_in_this_browser_alone(
    page: Page, browser: Browser, base: str
) -> None:
    page.goto(f"/compare?model={MODEL}")
    page.get_by_role("textbox", name="Units").fill("arcs:0; early_curves:1")
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(3)
    page.get_by_label("name of the list").fill("<i>mine</i>")
    page.get_by_role("button", name="Save this list").click()
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    page.get_by_label("name of the list").fill("second")
    page.get_by_role("button", name="Save this list").click()
    expect(page.get_by_text("This browser lets pages keep nothing")).to_be_visible()
    expect(page.get_by_role("link", name="second")).to_have_count(0)
    page.goto(f"/compare?model={MODEL}")
    expect(page.locator(".tile")).to_have_count(0)
    page.get_by_role("link", name="<i>mine</i>").click()
    expect(page.locator(".tile")).to_have_count(3)
    page.get_by_role("button", name="forget <i>mine</i>").click()
    fresh = browser.new_context(base_url=base)
    other = fresh.new_page()
    other.goto(f"/compare?model={MODEL}&items=arcs:1")
    expect(other.get_by_role("button", name="Save this list")).to_be_visible()
    expect(other.locator("li a")).to_have_count(0)
    fresh.close()


def test_a_label_with_html_in_it_is_text(page: Page) -> None:
    page.goto(UNIT + "2")
    heading(page, "arcs:2")
    page.goto(ARCS + "&filter=onerror")
    expect(page.locator(".tile")).to_have_count(1)
    assert page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_projector(browser: Browser, base: str, scheme: str) -> None:
    context = browser.new_context(
        base_url=base,
        viewport={"width": 1024, "height": 768},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    for address in ("/", f"/model?model={MODEL}", ARCS, UNIT + "0", CIRCUIT):
        page.goto(address)
        page.locator("h1, h2").first.wait_for()
        page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")
        wide = page.evaluate(
            "() => { const main = document.querySelector('[data-testid=stMain]');"
            " return main.scrollWidth - main.clientWidth; }"
        )
        assert wide <= 0, address
    context.close()


def test_the_menu_keeps_the_unit(page: Page) -> None:
    page.goto(f"{UNIT}3")
    heading(page, "arcs:3")
    menu = page.locator("[data-testid=stTopNavLink]")
    menu.filter(has_text="Circuit").click()
    heading(page, "What arcs:3 is built from")
    menu.filter(has_text="Model").click()
    heading(page, MODEL)
    page.go_back()
    heading(page, "What arcs:3 is built from")
    menu.filter(has_text="Compare").click()
    expect(page.get_by_role("textbox", name="Units")).to_have_value(f"{MODEL}/arcs:3")
    menu.filter(has_text="Lessons").click()  # an entry that keeps nothing
    page.wait_for_url("**/lessons**")


@pytest.mark.parametrize("start", [f"{ARCS}&filter=3-9&size=large", "/lessons?lesson=curves"])
def test_one_step_back_undoes_a_step_through_the_menu(page: Page, start: str) -> None:
    page.goto(start)
    wait_until_steady(page)
    before = page.url
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url("**/compare**")
    wait_until_steady(page)
    page.go_back()
    wait_until_steady(page)
    assert page.url == before


def test_a_picture_that_is_gone_is_told(page: Page) -> None:
    page.route("**/atlasfiles/**", lambda route: route.fulfill(status=404))
    page.goto(ARCS)
    tile = page.locator("a.tile[data-id='arcs:5']")
    expect(tile.get_by_text("picture missing")).to_be_visible()
    assert tile.locator("img").count() == 0
    tile.click()
    heading(page, "arcs:5")
