import html
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from commands import make_command
from playwright.sync_api import Browser

from atlases import WEIGHTS, new, picture_atlas
from browser import open_offline
from featviz.atlas import Atlas, Failure, Store
from featviz.atlas.canonical import content_key
from featviz.atlas.entries import Metrics
from featviz.atlas.reporting.findings import find
from featviz.atlas.reporting.report import write_report
from featviz.errors import ConfigError, OutputError, RecordError

ODD = "<b onload=x>&\"'"


def many(root: Path, channels: int = 30) -> dict[str, dict[str, Any]]:
    """Make an atlas of images with numbers of all kinds, and return them by key."""
    rows: dict[str, dict[str, Any]] = {}
    with Store(root) as store:
        for channel in range(channels):
            site = ("fire4", "fire5")[channel % 2]
            image = new(
                channel, site=site, dead=channel % 7 == 3, seconds=(channel * 37 % 101) / 10,
                metrics={"slope": -3 + (channel * 13 % 29) / 10, "high": channel / 100},
            )  # fmt: skip
            store.add([image])
            later: dict[str, float] = {}
            if channel < 20:
                later = {"self_rank": 1.0 + channel % 5, "self_z": channel / 3}
                later["self_photographs"] = 200.0
                store.note([Metrics(image.parts["key"], later)])
            rows[image.parts["key"]] = {**image.parts, **later}
        failed = ("net", WEIGHTS, "fire4", 77, "positive", f"RenderError: {ODD}")
        store.note([Failure(content_key("failed"), *failed)])
    return rows


def test_findings_are_those_of_sorting_everything(tmp_path: Path) -> None:
    rows = many(tmp_path / "a")
    found = find(tmp_path / "a", most=4)

    def best(value: Any, kept: Any = bool) -> list[float]:
        return sorted((value(row) for row in rows.values() if kept(row)), reverse=True)[:4]

    assert [n.entry.seconds for n in found.slowest] == best(lambda r: r["seconds"])
    assert [n.metrics["slope"] for n in found.flattest] == best(lambda r: r["metrics"]["slope"])
    assert [(n.metrics["self_rank"], -n.metrics["self_z"]) for n in found.unknown] == best(
        lambda r: (r["self_rank"], -r["self_z"]), lambda r: r.get("self_rank", 0) > 1
    )
    assert [n.entry.channel for n in found.dead] == [3, 10, 17, 24]
    assert (found.measured, found.photographs) == (20, (200,))
    assert [f.channel for f in found.failures] == [77]
    for site in found.sites:
        of = [row for row in rows.values() if row["site"] == site.site]
        assert (site.images, site.units) == (len(of), len(of))
        assert site.dead == sum(row["dead"] for row in of)
        assert site.seconds == pytest.approx(sum(row["seconds"] for row in of))
        assert site.slopes == tuple(sorted(row["metrics"]["slope"] for row in of))
        assert site.high == statistics.median(row["metrics"]["high"] for row in of)
        ranks = [row["self_rank"] for row in of if "self_rank" in row]
        assert site.first == ranks.count(1.0) / len(ranks)


def test_an_atlas_without_metrics_or_failures(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", metrics={})
    found = write_report(layout.root, tmp_path / "r.html")
    assert (found.unknown, found.flattest, found.dead) == ((), (), ())
    page = (tmp_path / "r.html").read_text()
    assert "None: each image fires its unit." in page
    assert "Not measured yet: &#x27;featviz atlas report FOLDER --images" in page
    assert "No slopes were stored." in page
    assert "<h2>Failures</h2><p>None.</p>" in page


def test_what_records_say_is_text(tmp_path: Path) -> None:
    many(tmp_path / "a")
    with Store(tmp_path / "a") as store:
        odd = {ODD: 1.0, "slope": 0.9}
        store.add([new(1, site=ODD, label=ODD, model=ODD, metrics=odd, dead=True)])
    log = tmp_path / "a" / "records" / "x.jsonl"
    log.write_text(json.dumps({"type": f"<script>{ODD}"}) + "\n")
    write_report(tmp_path / "a", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert html.escape(ODD) in page
    assert html.escape(f"RenderError: {ODD}") in page
    assert "Lines that are not believed" in page
    assert "<b onload" not in page
    assert "<script" not in page


def test_a_picture_that_is_missing_is_told(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    with Atlas(layout.root) as atlas:
        (entry,) = atlas.images("net", channel=1)
        atlas.thumb_path(entry).unlink()
    write_report(layout.root, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.count("the small picture is missing or damaged") == 1


def test_the_page_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a", 12, metrics={"slope": -1.2, "high": 0.1})
    write_report(layout.root, tmp_path / "r.html", most=5)
    for width, dark in ((1280, False), (400, True)):
        page, problems = open_offline(browser, tmp_path / "r.html", width=width, dark=dark)
        for image in page.locator("img").all():
            image.scroll_into_view_if_needed()
        loaded = "[...document.images].filter(i => i.naturalWidth > 0).length"
        page.wait_for_function(f"{loaded} === 10")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        assert problems == []


def test_refusals(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "a")
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite"):
        write_report(layout.root, tmp_path / "r.html")
    with pytest.raises(OutputError, match="lies within the atlas"):
        write_report(layout.root, layout.root / "atlas.json", overwrite=True)
    with pytest.raises(ConfigError, match="1 to 1000 images in each list, got 0"):
        write_report(layout.root, tmp_path / "s.html", most=0)
    with pytest.raises(RecordError, match="holds no atlas"):
        write_report(tmp_path, tmp_path / "s.html")
    assert (tmp_path / "r.html").read_text() == "mine"
    write_report(layout.root, tmp_path / "r.html", overwrite=True)
    assert "<!doctype html>" in (tmp_path / "r.html").read_text()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = make_command(capsys)
    many(tmp_path / "a")
    code, out, _ = command("atlas", "report", tmp_path / "a", "-o", tmp_path / "r.html")
    assert code == 0
    assert out == f"30 images, 4 dead, 1 failures: {tmp_path / 'r.html'}\n"
    words = ("atlas", "report", tmp_path / "a", "-o", tmp_path / "r.html", "--json")
    assert command(*words)[0] == 2
    code, out, _ = command(*words, "--overwrite", "--most", 3)
    found = json.loads(out)
    assert code == 0
    assert [len(found[name]) for name in ("dead", "unknown", "slowest", "flattest")] == [3] * 4
    assert found["failures"][0]["channel"] == 77
    assert found["sites"][0]["slope"] is not None
