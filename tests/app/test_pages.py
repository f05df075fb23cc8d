"""The pages about an atlas, without a browser: whole, empty and broken atlases, odd links."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from torch import Tensor

from app import checks, circuit_graphs
from app.checks import Checks, Work
from app.circuit_graphs import Options
from app.library import Library, open_library
from app.links import MAX_LIST, MAX_TEXT
from app.networks import held
from app.panels import tuning
from app.plain import as_text
from app_atlases import HOSTILE, MODEL, curves_atlas
from app_pages import components, open_page, plain, said, show_library, tiles
from atlases import picture_atlas
from circuits.graphs.check import CheckRow, CircuitCheck
from circuits.graphs.check_progress import Tell
from circuits.graphs.graph import CircuitGraph, Node
from circuits.stimuli import Grid
from circuits.tuning.measuring import measure_responses, measure_tuning
from featviz.atlas.layout import create_layout
from featviz.errors import CircuitError
from featviz.models import Model

PAGES = ("home", "model", "site", "unit", "circuit", "compare")
ABOUT = {"model": MODEL, "unit": "arcs:0"}


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only looked at; tests that damage an atlas make their own."""
    return curves_atlas(tmp_path_factory.mktemp("atlases") / "curves").root


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, curves: Path) -> Library:
    found = open_library([curves])
    show_library(monkeypatch, found)
    return found


def told(test: AppTest) -> str:
    """The one error of a page, which must have no exception and a way to the start."""
    assert not test.exception
    assert len(test.error) == 1
    assert test.error[0].value
    assert "To the start" in [link.proto.label for link in test.get("page_link")]
    return plain(str(test.error[0].value))


def fine(test: AppTest) -> AppTest:
    assert not test.exception
    assert not test.error
    return test


# ---- whole -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_the_start_shows_each_network_with_its_best_units_and_a_box() -> None:
    test = fine(open_page("home"))
    assert "10 units of 3 sites, 11 images, 1 of them of units that never fired" in said(test)
    assert tiles(test)[0]["address"] == f"/unit?model={MODEL}&unit=arcs%3A3"
    assert components(test, "jump")[0]["sites"] == ["arcs", "early_curves", "lines"]


@pytest.mark.usefixtures("library")
def test_a_model_is_a_diagram_of_all_its_sites_in_their_order() -> None:
    test = fine(open_page("model", model=MODEL))
    boxes = components(test, "diagram")[0]["boxes"]
    assert [box["name"] for box in boxes] == [
        "gabors", "phases", "lines", "early_curves", "early_lines", "arcs",
    ]  # fmt: skip
    assert [bool(box["address"]) for box in boxes] == [False, False, True, True, False, True]
    assert boxes[0]["facts"][-1] == "not rendered"
    assert boxes[-1]["share"] == pytest.approx(4 / 24)
    assert "by formula" in said(test)
    assert {metric.label: metric.value for metric in test.metric} == {
        "images": "11", "units": "10", "dead": "1",
    }  # fmt: skip


def test_a_network_that_is_not_here_is_shown_from_its_atlas(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = picture_atlas(tmp_path / "a", model="nobodys_net", site="layer1.0").root
    show_library(monkeypatch, open_library([root]))
    test = fine(open_page("model"))
    assert "not on this machine" in said(test)
    assert [box["name"] for box in components(test, "diagram")[0]["boxes"]] == ["layer1.0"]
    for part, words in (("Weights", "its weights cannot be shown"), ("Tuning", "no stimuli can")):
        assert words in said(fine(open_page("unit", unit="layer1.0:1", part=part)))
    assert "has no circuits" in told(open_page("circuit", unit="layer1.0:1"))
    by_weights = open_page("site", site="layer1.0", sort="similar in weights")
    assert "The kernels of these units are not known" in said(fine(by_weights))
    assert len(tiles(by_weights)) == 4


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "0 1 2 3"),
        ({"sort": "score", "down": "true"}, "3 1 0 2"),
        ({"variant": "negative"}, "0"),
        ({"filter": "1-3, score>=1"}, "1 3"),
        ({"filter": "BOLD"}, "2"),
        ({"filter": "7-9"}, ""),
        ({"sort": "similar in photographs"}, "0 3 1 2"),
        ({"sort": "similar in photographs", "to": "1"}, "0 1 2 3"),
    ],
)
@pytest.mark.usefixtures("library")
def test_a_site_is_sorted_and_filtered_by_its_link(query: dict[str, str], ids: str) -> None:
    test = fine(open_page("site", model=MODEL, site="arcs", **query))
    shown = tiles(test)
    assert [tile["id"] for tile in shown] == [f"arcs:{k}" for k in ids.split()]
    assert f"{len(shown)} of 4 units" in said(test)
    if not shown:
        assert "No unit passes the filter" in said(test)
    if query.get("to"):
        assert "Nobody has looked for neighbours in photographs yet" in said(test)


@pytest.mark.usefixtures("library")
def test_units_stand_by_the_kernels_that_they_share() -> None:
    test = fine(open_page("site", model=MODEL, site="arcs", sort="similar in weights", to="3"))
    shown = tiles(test)
    # Units are arcs in steps of 15 degrees, so that the next orientation reads nearly the same.
    assert [tile["id"] for tile in shown[:2]] == ["arcs:3", "arcs:2"]
    assert shown[0]["caption"] == "3 · 1.00"
    values = [float(tile["caption"].rpartition(" ")[2]) for tile in shown]
    assert values == sorted(values, reverse=True)
    assert components(test, "grid")[0]["current"] == "arcs:3"


@pytest.mark.usefixtures("library")
def test_a_filter_that_is_wrong_is_told_and_lets_all_pass() -> None:
    test = fine(open_page("site", model=MODEL, site="arcs", filter="scores>3"))
    assert "names no metric of this atlas; did you mean 'score'?" in plain(test.warning[0].value)
    assert len(tiles(test)) == 4


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("Photographs", ["6 photographs; 50% of them make it fire", "Quantile 0.5 to 1"]),
        ("Weights", ["Reads early_curves", "red excites, blue inhibits", "all weights are zero"]),
        ("Tuning", ["prefers", "width at half height"]),
        ("Nearest", ["correlation over 6 photographs; by chance at most 0.20"]),
        ("Record", [f"featviz render --size 32 --steps 2 -o out/ {MODEL} arcs:0",
                    f"featviz.load('{MODEL}')", "steps=2"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("library")
def test_each_part_of_a_unit_is_a_link(part: str, words: list[str]) -> None:
    test = fine(open_page("unit", **ABOUT, part=part))
    for word in words:
        assert word in said(test)
    images = [tile["caption"] for tile in tiles(test)[:2]]
    assert images == ["positive, score 0", "negative, score 0"]
    pager = components(test, "pager")[0]
    assert pager["previous"] == ["", ""]
    assert pager["next"] == ["arcs:1", f"/unit?model={MODEL}&unit=arcs%3A1&part={part}"]


@pytest.mark.usefixtures("library")
def test_the_tuning_of_all_units_of_a_site_is_measured_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    st.cache_resource.clear()
    asked = []

    def counted(
        model: Model, sites: Sequence[str], grid: Grid, *, region: str, batch: int
    ) -> dict[str, Tensor]:
        asked.append((grid.stimulus, *sites))
        return measure_responses(model, sites, grid, region=region, batch=batch)

    monkeypatch.setattr(tuning, "measure_responses", counted)
    for unit in ("arcs:0", "arcs:2"):
        test = fine(open_page("unit", model=MODEL, unit=unit, part="Tuning"))
        with held(MODEL) as model:
            (curve,) = measure_tuning(model, "arcs", [int(unit[-1])], stimulus="curve")
        assert f"prefers {curve.preferred_deg:.0f}°" in said(test)
        assert f"peak {curve.peak:.3g}" in said(test)
    assert asked == [("curve", "arcs"), ("line", "arcs")]


@pytest.mark.usefixtures("library")
def test_numbers_come_with_their_meaning() -> None:
    test = fine(open_page("unit", **ABOUT, part="Numbers"))
    rows = test.table[0].value
    assert [plain(name) for name in rows["metric"]] == ["score", "sharpness", "firing_rate"]
    assert "how strongly the unit answers" in rows["meaning"][0]
    assert rows["value"][2] == "0.5"
    assert "Share of the photographs" in rows["meaning"][2]


@pytest.mark.usefixtures("library")
def test_neighbours_and_weights_lead_on() -> None:
    near = open_page("unit", **ABOUT, part="Nearest")
    assert [t["address"].rpartition("%3A")[2] for t in tiles(near)[2:]] == [
        f"{channel}&part=Nearest" for channel in (3, 1, 3, 1)
    ]
    addresses = [way[1] for part in components(near, "ways") for way in part["links"]]
    assert f"/site?model={MODEL}&site=arcs&sort=similar+in+photographs&to=0" in addresses
    weights = open_page("unit", **ABOUT, part="Weights")
    read = [link for part in components(weights, "connections") for link in part["links"]]
    rendered = {f"early_curves:{k}" for k in range(3)}
    assert {link["name"] for link in read if link["source"]} <= rendered
    linked = {link["name"].partition(":")[0] for link in read if link["address"]}
    assert linked == {"early_curves"}, "units without an image have a page, sites without one not"
    assert all(abs(value) <= 1 for link in read for row in link["kernel"] for value in row)


@pytest.mark.usefixtures("library")
def test_a_dead_unit_is_told_and_its_label_stays_text() -> None:
    test = fine(open_page("unit", model=MODEL, unit="arcs:2", part="Numbers"))
    assert "The unit stayed silent" in said(test)
    everything = said(test) + str([e.proto for e in test.get("html")])
    assert HOSTILE not in everything
    site = open_page("site", model=MODEL, site="arcs", filter="onerror")
    assert [tile["faint"] for tile in tiles(site)] == [1]
    for other in ("Nearest", "Photographs"):
        assert "On the command line" in said(
            fine(open_page("unit", model=MODEL, unit="arcs:2", part=other))
        )


@pytest.mark.usefixtures("library")
def test_a_circuit_is_drawn_thinned_and_cut_by_its_link() -> None:
    query = {**ABOUT, "depth": "1", "keep": "4"}
    whole = fine(open_page("circuit", **query))
    assert "5 of 5 nodes, 4 of 4 edges" in said(whole)
    drawn = components(whole, "circuit")[0]
    assert drawn["svg"].startswith("<svg")
    assert drawn["query"] == {**ABOUT, "depth": "1", "keep": "4"}
    source = "early_curves:0"
    cut = fine(open_page("circuit", **query, off=source, focus=source, least="50"))
    assert f"**Silenced**: {source}" in said(cut)
    assert plain(cut.metric[0].label) == "left of arcs:0"
    assert float(cut.metric[0].value.rstrip("%")) < 100
    assert "Sound again" in [way[0] for part in components(cut, "ways") for way in part["links"]]
    silent = said(fine(open_page("circuit", **query, off="arcs:0")))
    assert "so there is no correlation" in silent
    assert "nan" not in silent


@pytest.mark.usefixtures("library")
def test_as_much_is_silenced_and_compared_as_fits_into_a_link() -> None:
    query = {**ABOUT, "depth": "1", "keep": "4", "focus": "early_curves:0"}
    off = "|".join(f"early_curves:{k}>arcs:0" for k in range(24))
    assert len(off) > MAX_TEXT
    test = fine(open_page("circuit", **query, off=off))
    links = dict(way[:2] for part in components(test, "ways") for way in part["links"])
    assert links["Silence"].startswith("/circuit?")
    full = fine(open_page("circuit", **query, off=f"{off}|{'x' * (MAX_LIST - len(off) - 9)}"))
    links = dict(way[:2] for part in components(full, "ways") for way in part["links"])
    assert links["Silence: no more fit into a link"] == ""
    items = "; ".join(f"{MODEL}/early_curves:{k}" for k in range(24))
    assert len(items) > MAX_TEXT
    assert len(components(open_page("compare", items=items), "grid")) == 3


@pytest.mark.usefixtures("library")
def test_a_circuit_of_no_unit_and_one_without_that_part_say_so() -> None:
    assert "A circuit is that of a unit" in said(fine(open_page("circuit", model=MODEL)))
    test = open_page("circuit", **ABOUT, depth="1", keep="4", off="gabors:1", focus="nothing")
    assert "None of them is in this circuit" in said(fine(test))
    assert "Choose a unit or an edge" in said(test)


@pytest.mark.usefixtures("library")
def test_a_circuit_of_nothing_says_why_and_offers_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "no inputs from lines to arcs:0: all scores are 0; choose another score"
    empty = CircuitGraph((Node("arcs:0", "arcs", (0,)),), (), {"ended": why})
    monkeypatch.setattr(circuit_graphs, "circuit", lambda *_: empty)
    said_here = f"The circuit ends here: {why}."
    further = f"{said_here} This page shows arcs and lines alone; choose another Score above."
    for asked, words in (
        ({}, further),
        ({"verify": "1"}, further),
        ({"score": "weights"}, said_here),
    ):
        test = fine(open_page("circuit", **ABOUT, **asked))
        assert [plain(info.value) for info in test.info] == [words]
        assert not [button for button in test.button if button.label in ("Verify", "Stop")]
        assert "Is it true?" not in said(test)


def after_check(test: AppTest) -> None:
    """Run the page until a check has ended; its fragment does so in a browser."""
    end = time.monotonic() + 20
    while [button for button in test.button if button.label == "Stop"]:
        assert time.monotonic() < end
        time.sleep(0.02)
        fine(test.run())


@pytest.mark.usefixtures("library")
def test_a_check_is_of_the_whole_circuit_and_stays_until_that_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def checking(_: str, unit: str, options: Options) -> Work:
        def check(tell: Tell) -> CircuitCheck:
            asked.append(options.keep)
            tell(1, 2)
            row = CheckRow(("early_curves",), 4, 24, 0.9, (0.1,) * 19, (), ())
            return CircuitCheck(unit, "arcs and lines", "zero", (row,), None)

        return check

    monkeypatch.setattr(checks, "CHECKS", Checks())
    monkeypatch.setattr(circuit_graphs, "checking", checking)
    query = {**ABOUT, "depth": "1", "keep": "4", "least": "100"}
    test = fine(open_page("circuit", **query))
    assert "2 of 5 nodes" in said(test)
    assert "the whole circuit of 5 nodes, whatever Least edge, pins and families" in said(test)
    assert not asked
    (button,) = [button for button in test.button if button.label == "Verify"]
    fine(button.click().run())
    assert "".join(test.query_params["verify"]) == "1"
    headline = "arcs and lines"
    after_check(test)
    assert headline in said(test)
    assert not [button for button in test.button if button.label in ("Verify", "Stop")]
    assert components(test, "circuit")[0]["query"]["verify"] == "1"
    assert headline in said(fine(open_page("circuit", **query, verify="1")))
    fine(test.slider(key="least").set_value(0).run())
    assert headline in said(test)
    fine(test.number_input(key="keep").set_value(3).run())
    assert headline not in said(test)
    assert asked == [4], "it was made once, for all"


@pytest.mark.usefixtures("library")
def test_a_check_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def checking(*_: object) -> Work:
        def check(tell: Tell) -> CircuitCheck:
            tell(1, 3)
            raise CircuitError("a circuit of no edges")

        return check

    monkeypatch.setattr(checks, "CHECKS", Checks())
    monkeypatch.setattr(circuit_graphs, "checking", checking)
    test = fine(open_page("circuit", **ABOUT, depth="1", keep="4", verify="1"))
    after_check(test)
    assert "a circuit of no edges" in said(test)
    assert not test.get("progress")
    assert not [button for button in test.button if button.label in ("Verify", "Stop")]


@pytest.mark.usefixtures("library")
def test_a_check_that_waits_for_another_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def check(_tell: Tell) -> CircuitCheck:
        assert go_on.wait(20)
        raise CircuitError("enough")

    monkeypatch.setattr(checks, "CHECKS", Checks())
    monkeypatch.setattr(circuit_graphs, "checking", lambda *_: check)
    checks.CHECKS.look("another", check)
    test = fine(open_page("circuit", **ABOUT, depth="1", keep="4", verify="1"))
    end = time.monotonic() + 20
    words = "Waiting for another check to end ..."
    while words not in (seen := [bar.proto.text for bar in test.get("progress")]):
        assert time.monotonic() < end, seen
        fine(test.run())
    go_on.set()
    after_check(test)


@pytest.mark.usefixtures("library")
def test_the_comparison_with_random_edits_outlives_the_next_click() -> None:
    query = {**ABOUT, "depth": "1", "keep": "4", "off": "early_curves:0", "random": "true"}
    test = fine(open_page("circuit", **query))
    (toggle,) = test.toggle
    assert toggle.value
    assert components(test, "circuit")[0]["query"]["random"] == "true"


@pytest.mark.usefixtures("library")
def test_units_stand_side_by_side_with_their_numbers() -> None:
    assert "Write some units above" in said(fine(open_page("compare", model=MODEL)))
    test = fine(open_page("compare", model=MODEL, items=f"arcs:0; {MODEL}/lines:1"))
    assert [tile["id"] is not None for tile in tiles(test)] == [True] * 3
    units = [plain(unit) for unit in test.table[0].value["unit"]]
    assert units == ["arcs:0", f"{MODEL}/lines:1"]
    assert components(test, "lists")[0]["address"].startswith("/compare?model=")


@pytest.mark.parametrize("items", [f"arcs:0; {MODEL}/arcs:0", "arcs:1; arcs:01"])
@pytest.mark.usefixtures("library")
def test_a_unit_that_is_spelled_twice_stands_twice(items: str) -> None:
    test = fine(open_page("compare", model=MODEL, items=items))
    first, second = components(test, "grid")
    assert first["tiles"] == second["tiles"] != []


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("arcs:0; arcz:1", "did you mean 'arcs'?"),
        ("arcs:0; arcs", "'arcs' is a whole site; name units"),
        ("arcs:0; nonet/arcs:1", "has no network 'nonet'"),
        ("arcs:0; arcs:1@nowhere", "no atlas 'nowhere' is open"),
    ],
)
@pytest.mark.usefixtures("library")
def test_one_item_that_is_wrong_leaves_the_others(items: str, words: str) -> None:
    test = open_page("compare", model=MODEL, items=items)
    assert not test.exception
    assert words in plain(test.error[0].value)
    assert len(test.error) == 1
    assert tiles(test)[0]["caption"] == "positive"


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("unit", {"unit": "EVIL"}),
        ("site", {"site": "arcs", "filter": "EVIL>1"}),
        ("site", {"site": "EVIL"}),
        ("circuit", {"unit": "arcs:0", "depth": "1", "keep": "4", "off": "EVIL"}),
        ("circuit", {"unit": "arcs:0", "depth": "1", "families": "EVIL"}),
        ("circuit", {"unit": "arcs:0", "depth": "1", "families": "EVIL=early_curves:0",
                     "focus": "EVIL"}),
        ("compare", {"items": "arcs:0; EVIL:1"}),
        ("compare", {"items": "arcs:0@EVIL"}),
        ("render", {"of": "EVIL"}),
        ("render", {"transforms": "EVIL"}),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("library")
def test_what_a_link_says_is_shown_as_text(name: str, query: dict[str, str]) -> None:
    for evil in ("![x](//e.org)", ":red[x]", "*x*", "$x$"):
        test = open_page(
            name, model=MODEL, **{k: v.replace("EVIL", evil) for k, v in query.items()}
        )
        assert not test.exception
        shown = [
            str(getattr(element, "value", "")) for kind in ("error", "warning", "markdown")
            for element in test.get(kind)
        ]  # fmt: skip
        assert any(as_text(evil) in words for words in shown), (evil, shown)
        assert not any(evil in words for words in shown), (evil, shown)


# ---- odd links ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query", "words"),
    [
        ("unit", {"unit": "arcz:1"}, "no images of a site 'arcz' here; did you mean 'arcs'?"),
        ("unit", {"unit": "arcs:99999999"}, "is no unit; write SITE:CHANNEL, such as arcs:0"),
        ("unit", {"unit": "arcs:-1"}, "is no unit"),
        ("unit", {"unit": "../../etc/passwd"}, "is no unit"),
        ("unit", {"unit": "x" * (MAX_TEXT + 1)}, f"{MAX_TEXT} is the most"),
        ("unit", {"model": "resnet"}, "the link has model='resnet'"),
        ("unit", {"atlas": "/etc"}, "the link has atlas='/etc'"),
        ("unit", {"unit": "arcs:0", "by": "median", "part": "Photographs"}, "by='median'"),
        ("unit", {"unit": "arcs:0", "gates": "open", "part": "Weights"}, "gates='open'"),
        ("site", {"site": "<script>"}, "the link has site='<script>'"),
        ("site", {"site": "arcs", "sort": "beauty"}, "the link has sort='beauty'"),
        ("site", {"site": "arcs", "sort": "orientation"}, "the link has sort='orientation'"),
        ("site", {"site": "arcs", "size": "vast"}, "the link has size='vast'"),
        ("site", {"site": "arcs", "variant": "sideways"}, "variant='sideways'"),
        ("site", {"site": "arcs", "filter": "y" * (MAX_TEXT + 1)}, f"{MAX_TEXT} is the most"),
        ("site", {"sort": "similar in weights", "to": "77"}, "a whole number, 0 to 3"),
        ("model", {"model": "m" * 9000}, "model in the link has 9000 characters"),
        ("circuit", {"unit": "arcs:0", "depth": "9"}, "a whole number, 1 to 5"),
        ("circuit", {"unit": "arcs:0", "score": "love"}, "the link has score='love'"),
        ("circuit", {"unit": "arcs:0", "families": "f"}, "'f' names no family; write"),
        ("compare", {"items": "arcs:0; <b>x</b>"}, "is no unit; write [MODEL/]SITE:CHANNEL"),
        ("compare", {"items": ";".join(f"arcs:{k}" for k in range(25))}, "24 is the most"),
        ("compare", {"items": "i" * (MAX_LIST + 1)}, f"{MAX_LIST} is the most"),
        (
            "circuit",
            {"unit": "arcs:0", "families": "f" * (MAX_LIST + 1)},
            f"{MAX_LIST} is the most",
        ),
        ("compare", {"model": "none"}, "the link has model='none'"),
    ],
)
@pytest.mark.usefixtures("library")
def test_a_link_to_nothing_is_told_with_a_way_on(
    name: str, query: dict[str, str], words: str
) -> None:
    assert words in told(open_page(name, **query))


@pytest.mark.usefixtures("library")
def test_a_unit_without_an_image_and_a_part_that_is_not_there_are_no_errors() -> None:
    alone = fine(open_page("unit", unit="arcs:23", part="Weights"))
    assert "no image in this atlas" in said(alone)
    assert components(alone, "connections"), "its weights are known all the same"
    assert "has the channels 0 to 23, no 24" in said(open_page("unit", unit="arcs:24"))
    assert tiles(fine(open_page("unit", unit="arcs:0", part="Secrets")))


# ---- empty and broken --------------------------------------------------------------------------


def test_an_empty_atlas_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    show_library(monkeypatch, open_library([create_layout(tmp_path / "fresh").root]))
    assert "'featviz atlas resume' renders it" in said(fine(open_page("home")))
    for name in PAGES[1:]:
        assert "is empty" in told(open_page(name)), name


def test_without_any_atlas_pages_say_how_to_open_one(monkeypatch: pytest.MonkeyPatch) -> None:
    show_library(monkeypatch, Library())
    for name in PAGES:
        assert "'featviz app FOLDER'" in said(open_page(name)), name


def no_mark(root: Path) -> None:
    (root / "atlas.json").write_text("{")


def other_format(root: Path) -> None:
    (root / "atlas.json").write_text('{"format": 99}')


def gone(root: Path) -> None:
    (root / "atlas.json").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_mark, "--repair' writes it again"),
        (other_format, "has format 99"),
        (gone, "there are records in"),
    ],
)
def test_an_atlas_that_breaks_while_it_is_open_is_told(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    curves: Path,
    damage: Callable[[Path], None],
    words: str,
) -> None:
    broken = curves_atlas(tmp_path / "broken").root
    show_library(monkeypatch, open_library([broken, curves]))
    damage(broken)
    home = open_page("home")
    assert not home.exception
    assert words in plain(home.error[0].value)
    assert tiles(home), "the other atlas is shown all the same"
    for name in PAGES[1:]:
        assert words in told(open_page(name, unit="arcs:0")), name


def test_records_that_cannot_be_read_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = curves_atlas(tmp_path / "a").root
    show_library(monkeypatch, open_library([root]))
    fine(open_page("unit", **ABOUT))  # the index is made
    (log,) = (root / "records").glob("*.jsonl")
    size = log.stat().st_size
    log.write_bytes(b"\0" * size)
    words = (
        "a line has the type None; known are image, failure, metrics, evidence, settings, forget"
    )
    for name in ("home", "site", "unit"):
        test = open_page(name, unit="arcs:0")
        assert not test.exception, name
        assert [plain(error.value) for error in test.error] == [words], name


def test_missing_pictures_leave_the_pages_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = curves_atlas(tmp_path / "a").root
    for kind in ("images", "thumbs", "examples"):
        for path in (root / kind).rglob("*.webp"):
            path.unlink()
    show_library(monkeypatch, open_library([root]))
    for name in PAGES:
        fine(open_page(name, unit="arcs:0"))
    record = fine(open_page("unit", unit="arcs:0", part="Record"))
    assert [b.proto.label for b in record.get("download_button")] == ["Record (JSON)"]
