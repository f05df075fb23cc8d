from pathlib import Path

from playwright.sync_api import Browser

from browser import open_offline


def test_a_page_that_asks_for_more_or_fails_is_noticed(browser: Browser, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    good.write_text("<title>good</title><p>text")
    bad.write_text('<img src="https://example.org/a.png"><script>missing()</script>')
    page, problems = open_offline(browser, good)
    assert page.title() == "good"
    assert problems == []
    _, problems = open_offline(browser, bad)
    assert any("asked for https://example.org/a.png" in problem for problem in problems)
    assert any("missing is not defined" in problem for problem in problems)
