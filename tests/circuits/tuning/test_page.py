"""The page in a browser, and the command that makes it."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from playwright.sync_api import Browser

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from browser import open_offline
from circuits import TuningCurve, stimuli
from circuits.cli import circuit
from circuits.cli.tuning import STIMULI
from circuits.tuning.measuring import TuningConfig, grid_for, measure_tuning
from circuits.tuning.page import TuningPage, polar_svg, write_tuning_page
from circuits.tuning.report import summarise, tuning_row
from featviz.errors import OutputError

FAST = ("--angles", "24", "--no-control", "-q")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(circuit, ["tuning", *arguments])


def curve(response: torch.Tensor, *, period: float = 360.0, unit: str = "a:0") -> TuningCurve:
    return TuningCurve(
        unit=unit,
        channel=0,
        angles_deg=torch.arange(len(response)) * (period / len(response)),
        response=response,
        period_deg=period,
        surface=response[:, None],
        levels=(1.0,),
        level="radius_px",
        stimulus="curve",
    )


def points(svg: str) -> list[tuple[float, float]]:
    inside = svg.partition('class="mean" points="')[2].partition('"')[0]
    return [tuple(map(float, pair.split(","))) for pair in inside.split()]


def test_curves_point_where_they_bulge_and_lines_along_themselves() -> None:
    spike = torch.zeros(8)
    spike[2] = 3.0
    around = points(polar_svg(curve(spike)))
    assert around[2] == pytest.approx((0, 46), abs=0.05)  # 90 degrees, a smile: down
    assert all(place == (0, 0) for k, place in enumerate(around) if k != 2)
    lines = points(polar_svg(curve(spike, period=180.0)))
    half = 46 * math.sqrt(0.5)
    assert lines[2] == pytest.approx((half, -half), abs=0.05)  # 45 degrees: up to the right
    assert lines[10] == pytest.approx((-half, half), abs=0.05)  # and on the other side


def test_a_row_has_no_number_where_there_is_none() -> None:
    row = tuning_row(curve(torch.zeros(8)))
    assert row["unit"] == "a:0"
    assert {row[key] for key in ("preferred_deg", "fwhm_deg", "echo", "selectivity")} == {None}
    assert json.loads(json.dumps(row, allow_nan=False))["peak"] == 0


def test_a_summary_leaves_out_what_never_responds() -> None:
    spike = torch.zeros(8)
    spike[1] = 2.0
    found = summarise([curve(spike), curve(torch.ones(8)), curve(torch.zeros(8))])
    assert (found.units, found.responding) == (3, 2)
    assert found.selectivity == pytest.approx((0.25, 0.5, 0.75))
    assert found.fwhm_deg == pytest.approx((45 + 360) / 2)
    assert found.echo == pytest.approx(0.5)
    assert found.peak == pytest.approx(1.5)
    silent = summarise([curve(torch.zeros(8))])
    assert (silent.selectivity, silent.fwhm_deg, silent.error_deg) == (None, None, None)
    assert summarise([curve(spike)]).selectivity == pytest.approx((1, 1, 1))


def test_names_are_escaped_and_too_many_plots_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuits.tuning.page.MAX_PLOTS", 2)
    model = featviz.load("artificial_curves")
    grid = grid_for(model, "arcs", stimulus="curve", config=TuningConfig(angles=8))
    spike = torch.zeros(8)
    spike[1] = 2.0
    curves = [
        curve(torch.ones(8), unit="a:0"),
        curve(spike, unit="<b>&:1"),
        curve(torch.zeros(8), unit="a:2"),
        curve(spike, unit="a:3"),
    ]
    page = TuningPage("T", "L", [("x", "<y>")], grid, curves, [("as it is", summarise(curves))])
    write_tuning_page(tmp_path / "page.html", page)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "&lt;b&gt;&amp;:1" in text
    assert "<b>&:1" not in text
    assert text.count("<figure") == 2
    assert "<b>a:3</b>" in text
    assert "Only the 2 most selective units are drawn, 2 are not." in text
    with pytest.raises(OutputError, match="cannot write"):
        write_tuning_page(tmp_path / "missing" / "page.html", page)


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_in_a_browser(browser: Browser, tmp_path: Path, dark: bool) -> None:
    path = tmp_path / "tuning.html"
    done = run("artificial_curves", "arcs", "--angles", "24", "-q", "-o", str(path))
    assert done.exit_code == 0, done.output
    page, problems = open_offline(browser, path, dark=dark, width=420)
    assert problems == []
    assert page.title() == "Tuning of arcs in artificial_curves"
    assert page.locator("figure svg").count() == 24
    assert page.locator(".true").count() == 24
    assert page.locator("script").count() == 0
    assert "weights shuffled" in page.locator("table").first.inner_text()
    text = page.locator("body").inner_text()
    assert "may be off by a step; mean is the circular mean" in text
    assert "The mean error is that of the preferred orientation." in text
    facts = page.locator("figure").first.locator("dt").all_inner_texts()
    assert facts[:3] == ["true", "preferred", "mean"]
    page.set_viewport_size({"width": 1024, "height": 800})
    # The table of all units is not cut off.
    assert page.locator(".wide").evaluate("box => box.scrollWidth <= box.clientWidth")
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.locator("img.strip").evaluate("image => image.naturalWidth") > 200
    # Nothing sticks out of a telephone's screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    box = page.locator("figure").first.bounding_box()
    assert box["width"] > 100


def test_json_has_the_numbers_of_the_python_call() -> None:
    done = run("artificial_curves", "arcs:6,2", *FAST, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    curves = measure_tuning(
        featviz.load("artificial_curves"), "arcs", [6, 2], config=TuningConfig(angles=24)
    )
    assert document["units"] == [tuning_row(curve) for curve in curves]
    assert document["units"][0]["expected_deg"] == 90
    assert document["units"][0]["label"] == "90°"
    assert document["weights"] == "by formula"
    assert document["radius_px"] == pytest.approx([15.99, 23.01, 33.15, 47.97])
    assert document["summary"]["as it is"]["units"] == 2
    assert document["page"] is None


@pytest.mark.parametrize("name", ["x.json", "page.htlm"])
def test_a_file_of_another_kind_is_no_folder(tmp_path: Path, name: str) -> None:
    done = run("artificial_curves", "arcs:0", *FAST, "-o", str(tmp_path / name))
    assert isinstance(done.exception, OutputError)
    assert f"{name}' is neither a page nor a folder that exists; write FILE" in str(done.exception)
    assert not (tmp_path / name).exists()
    (tmp_path / "v1.2").mkdir()
    assert run("artificial_curves", "arcs:0", *FAST, "-o", f"{tmp_path}/v1.2").exit_code == 0


def test_a_folder_gets_page_and_json_and_nothing_is_replaced(tmp_path: Path) -> None:
    done = run("artificial_curves", "lines:0-2", "--stimulus", "line", *FAST, "-o", f"{tmp_path}/o")
    assert done.exit_code == 0, done.output
    assert "lines:1  80°    80°" in done.stdout
    assert "as it is: 3 of 3 units respond" in done.stdout
    assert f"page  {tmp_path}/o/tuning.html" in done.stdout
    document = json.loads((tmp_path / "o" / "tuning.json").read_text("utf-8"))
    assert [row["unit"] for row in document["units"]] == ["lines:0", "lines:1", "lines:2"]
    (tmp_path / "o" / "tuning.html").write_text("kept")
    again = run("artificial_curves", "arcs", *FAST, "-o", f"{tmp_path}/o")
    assert isinstance(again.exception, OutputError)
    assert "exists already; choose another name or pass --overwrite" in str(again.exception)
    assert (tmp_path / "o" / "tuning.html").read_text() == "kept"
    assert (
        run("artificial_curves", "arcs", *FAST, "-o", f"{tmp_path}/o", "--overwrite").exit_code == 0
    )
    below = run("artificial_curves", "arcs", *FAST, "-o", f"{tmp_path}/o/tuning.html/x.html")
    assert "is no folder; choose another name" in str(below.exception)


def test_units_are_sorted_with_the_silent_ones_last() -> None:
    done = run("squeezenet1_1", "fire2", *FAST, "--levels", "8", "--sort", "selectivity", "--json")
    rows = json.loads(done.stdout)["units"]
    numbers = [row["selectivity"] for row in rows if row["selectivity"] is not None]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) < len(rows) == 128
    assert all(row["selectivity"] is None for row in rows[len(numbers) :])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["arc"], "unknown site 'arc' in 'artificial_curves'; did you mean 'arcs'"),
        (["arcs:99"], "channel 99 is out of range in 'arcs:99': 'arcs' has 24"),
        (["arcs:6@3,3"], "'arcs:6@3,3' names a position"),
        (["arcs", "--angles", "2"], "angles must be 4 or more, got 2"),
        (["arcs", "--levels", "0"], "radius_px must be above 0"),
        (["arcs", "--ink", "3"], "values from 0 to 1, got 1 and 3"),
        (["arcs", "--width", "0"], "width_px must be above 0, at most 1e+06, got 0"),
        (["arcs", "--width", "1e5"], "strokes of 100000 px are wider than the 48x48 px"),
        (["arcs:0", "--ink", "1"], "are blank on 48x48 px"),
        (["arcs", "--size", "1000000"], "1000000x1000000 px are too large; choose 4096 px"),
        (["arcs", "--size", "0"], "cannot run on a 3x0x0 image"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run("artificial_curves", *arguments, "-q", "-o", str(tmp_path / "o"))
    assert done.exit_code != 0
    assert said in (str(done.exception) + done.output)
    assert not (tmp_path / "o").exists()


def test_help_comes_without_torch_and_knows_every_stimulus() -> None:
    script = (
        "import sys\n"
        "from circuits.cli import circuit\n"
        "circuit(['tuning', '--help'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "featviz circuit tuning artificial_curves arcs -o tuning.html\n" in done.stdout
    assert tuple(stimuli.FAMILIES) == STIMULI


def test_a_slice_of_a_site_is_a_site() -> None:
    done = run("artificial_curves", "arcs/2:4", *FAST, "--json")
    rows = json.loads(done.stdout)["units"]
    assert [(row["unit"], row["expected_deg"]) for row in rows] == [
        ("arcs/2:4:0", 30), ("arcs/2:4:1", 45)
    ]  # fmt: skip
