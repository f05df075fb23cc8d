import math
import re
from pathlib import Path

import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser

import featviz
from browser import open_offline
from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.controls import shuffled
from circuits.expansion.weight_map import WeightMap
from circuits.families.family import Family, parse_families
from circuits.families.family_map import FamilyMap, map_families
from circuits.families.page import branch_text, control_text, write_family_page
from circuits.tuning.measuring import TuningConfig
from featviz.errors import CircuitError, SiteError, UnitError
from featviz.models.model import Model

# Coarse, for speed; orientations 15 degrees apart are those of the units.
COARSE = TuningConfig(angles=24, levels=(28.0,))


@pytest.fixture(scope="module")
def model() -> Model:
    return featviz.load(ARTIFICIAL_CURVES.name)


@pytest.fixture(scope="module")
def arcs(model: Model) -> FamilyMap:
    return map_families(model, "arcs", config=COARSE)


def test_the_curves_are_found_as_one_family_in_their_order(arcs: FamilyMap) -> None:
    assert [family.name for family in arcs.families] == ["curve 1"]
    assert arcs.by == "tuning"
    assert arcs.left_out == 0
    assert arcs.grouping is not None
    # Smooth curves of this width are all alike, so other networks are the control.
    assert arcs.grouping.by_chance >= 20
    assert len(arcs.networks) == 5
    assert max(arcs.networks) < 12
    angles = arcs.families[0].angles_deg
    assert angles is not None
    assert list(angles) == sorted(angles)
    # Unit k was built for 15 k degrees; the circle may be cut within half a step of 0.
    channels = [member.curve.channel for member in arcs.members]
    start = channels.index(0)
    assert start in (0, 23)
    assert channels[start:] + channels[:start] == list(range(24))
    off = [
        (angle - 15 * channel + 180) % 360 - 180
        for angle, channel in zip(angles, channels, strict=True)
    ]
    assert max(map(abs, off)) < 8


def test_rows_have_what_the_command_promises(arcs: FamilyMap) -> None:
    row = next(member for member in arcs.members if member.curve.channel == 6).row()
    assert row["unit"] == "arcs:6"
    assert row["expected_deg"] == 90
    assert abs(row["preferred_deg"] - 90) <= 15
    assert row["family"] == "curve 1"
    assert row["stimulus"] == "curve"
    assert row["echo"] < 0.05
    assert row["selectivity"] > 0.8
    assert 60 < row["fwhm_deg"] < 90


def test_curves_and_lines_of_one_layer_come_apart(model: Model) -> None:
    # Both answer both; what counts is the best line against the best arc.
    early = map_families(model, "early_curves", config=TuningConfig(angles=36))
    assert [(f.name, len(f.units)) for f in early.families] == [("curve 1", 24)]
    lines = map_families(model, "lines", config=TuningConfig(angles=36))
    assert [(f.name, len(f.units)) for f in lines.families] == [("line 1", 18)]


def test_a_network_with_shuffled_weights_has_hardly_a_family(model: Model) -> None:
    # Chance gives one in 21 sites.
    found = [
        map_families(shuffled(model, seed=seed), site, config=TuningConfig(angles=36))
        for seed in (20, 21)
        for site in ("arcs", "early_curves", "lines")
    ]
    names = [{f.name for f in each.families} - {"other", "untuned", "silent"} for each in found]
    assert sum(map(bool, names)) <= 1
    assert "there is no family to tell from chance" in control_text(found[0])


def test_given_families_are_measured_and_ordered(model: Model) -> None:
    given = parse_families("b=arcs:20,3,9; a=arcs:1; elsewhere=lines:2")
    found = map_families(model, "arcs", families=given, config=COARSE, stimuli=("curve",))
    assert found.by == "given"
    assert found.grouping is None
    assert [family.name for family in found.families] == ["b", "a"]
    assert found.families[0].channels("arcs") == (3, 9, 20)
    assert found.left_out == 20


def test_branches_say_where_a_family_gathers(model: Model) -> None:
    given = parse_families("low=arcs:0-5; mixed=arcs:6,7,18,19")
    branches = parse_families("first=arcs:0-11; second=arcs:12-23")
    found = map_families(model, "arcs", families=given, branches=branches, config=COARSE)
    low = found.branches["low"]["first"]
    assert (low.inside, low.family, low.branch, low.total) == (6, 6, 12, 24)
    assert low.p_more == pytest.approx(math.comb(12, 6) / math.comb(24, 6))
    assert branch_text(found.branches["low"], 4) == (
        "6 of 6 in first, 3.0 by chance (p = 0.027, corrected for 4 tests)"
    )
    with pytest.raises(CircuitError, match="12 units in no family: arcs:12"):
        map_families(model, "arcs", branches=branches[:1], config=COARSE)


def test_units_grouped_by_the_inputs_they_read(model: Model) -> None:
    weight = dict(model.module.named_parameters())["arcs.conv.weight"].detach()
    kernel = weight[:, :24]
    weights = WeightMap(
        kernel, "early_curves", "arcs", tuple(range(24)), tuple(range(24)), (1, 1), (-2, -2),
        "raw", "raw",
    )  # fmt: skip
    halves = [
        Family.of("right", "early_curves", [*range(6), *range(18, 24)]),
        Family.of("left", "early_curves", range(6, 18)),
    ]
    found = map_families(
        model, "arcs", weights=weights, inputs=halves, count=2, config=COARSE, stimuli=("curve",)
    )
    assert found.by == "weights"
    groups = [set(family.channels("arcs")) for family in found.families]
    # Those whose inputs lie mainly in one half, and those that take from the other.
    right = next(channels for channels in groups if 0 in channels)
    left = next(channels for channels in groups if 12 in channels)
    assert right >= {0, 1, 2, 3, 21, 22, 23}
    assert left >= {9, 10, 11, 12, 13, 14, 15}
    assert right.isdisjoint(left)
    assert len(right | left) == 24
    with pytest.raises(CircuitError, match="lead to 'arcs', not to 'lines'"):
        map_families(model, "lines", weights=weights, config=COARSE)


class Answers(torch.nn.Module):
    """Three channels: the mean of the image, nothing, and ink in the upper left quarter."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images.mean(1, keepdim=True)
        quarter = torch.zeros_like(grey)
        quarter[:, :, : grey.shape[2] // 2, : grey.shape[3] // 2] = 1
        return torch.cat([grey, grey * 0 - 1, (1 - grey) * quarter], 1)


def test_silent_and_untuned_units_are_told_apart() -> None:
    model = featviz.load(torch.nn.Sequential(Answers(), torch.nn.ReLU()), size=(32, 32))
    config = TuningConfig(angles=8, levels=(2.0,), region="mean", size=(32, 32), scale_px=32)
    found = map_families(model, "1", config=config, stimuli=("line",))
    named = {member.curve.channel: member.family for member in found.members}
    assert named[0] == "untuned"
    assert named[1] == "silent"
    assert named[2] == "other"
    assert all(family.angles_deg is None for family in found.families)
    assert found.members[-1].row()["preferred_deg"] is None


def test_what_excludes_or_needs_each_other(model: Model) -> None:
    given = parse_families("a=arcs:1")
    for count in (0, 2):
        with pytest.raises(CircuitError, match="there is nothing to find"):
            map_families(model, "arcs", families=given, count=count)
    with pytest.raises(CircuitError, match="need the weights that read them"):
        map_families(model, "arcs", inputs=given)
    with pytest.raises(CircuitError, match="no stimulus to measure"):
        map_families(model, "arcs", stimuli=())
    with pytest.raises(CircuitError, match="none of the families has a unit of 'lines'"):
        map_families(model, "lines", families=given)
    with pytest.raises(CircuitError, match="units that do not exist: arcs:24"):
        map_families(model, "arcs", families=parse_families("a=arcs:24"))
    with pytest.raises(SiteError, match="unknown site 'arks'"):
        map_families(model, "arks")


@pytest.fixture
def page(arcs: FamilyMap, tmp_path: Path) -> Path:
    path = tmp_path / "families.html"
    pictures = {k: Image.new("RGB", (8, 8), (k, 90, 200)) for k in (0, 6)}
    write_family_page(path, arcs, pictures=pictures, dead=frozenset({6}), command="featviz <x>")
    return path


def test_the_page_shows_each_unit_in_any_light_without_a_network(
    page: Path, browser: Browser
) -> None:
    for dark in (False, True):
        opened, problems = open_offline(browser, page, dark=dark)
        assert opened.title() == "Families of arcs in artificial_curves"
        assert opened.locator(".units figure").count() == 24
        assert opened.locator(".units svg").count() == 24
        images = opened.locator("img")
        assert images.count() == 2
        assert images.evaluate_all("all => all.every(i => i.naturalWidth == 8 && i.alt)")
        assert opened.get_by_alt_text("what arcs:6 looks for: nothing, it never fires").count() == 1
        assert "featviz <x>" in opened.locator("code").inner_text()
        assert opened.locator("nav a").all_inner_texts() == ["curve 1 (24)"]
        # Nothing sticks out of the window.
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert problems == []


def test_the_page_says_how_to_read_its_plots(page: Path, browser: Browser) -> None:
    opened, _ = open_offline(browser, page)
    text = opened.locator("body").inner_text()
    for said in (
        "right is 0°, clockwise",
        "thin grey lines",
        "The rim is the largest response",
        "orange mark at the rim is the true",
        "15° apart, so it may be off by a step",
    ):
        assert said in text
    assert "For lines and gratings" not in text
    captions = opened.locator(".pictures figcaption").all_inner_texts()
    zero = next(caption for caption in captions if caption.startswith("arcs:0"))
    assert re.fullmatch(r"arcs:0\n\d+°", zero)  # one line each


def test_the_page_says_what_shuffled_units_give(page: Path, arcs: FamilyMap) -> None:
    assert arcs.grouping is not None
    text = page.read_text("utf-8")
    assert "24 units in 1 families" not in text
    assert f"the same way, give groups of at most {arcs.grouping.by_chance}: as all tuned" in text
    assert f"the largest groups have {max(arcs.networks)}, " in text
    assert "<script" not in text


def test_no_such_channel(model: Model) -> None:
    with pytest.raises((UnitError, CircuitError), match="arcs:99"):
        map_families(model, "arcs", families=parse_families("a=arcs:99"), config=COARSE)
