"""The hand-built network as a model of featviz: names, ranges, provenance."""

import json
import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from click.testing import CliRunner

import featviz
from circuits.artificial.model import ARTIFICIAL_CURVES, known_orientations_deg, orientations_deg
from circuits.artificial.network import ArtificialCurves, formula_weights
from featviz.cli.models import sites as list_sites
from featviz.models.weights import digest

SITES = {
    "gabors": 72,
    "phases": 18,
    "lines": 18,
    "early_curves": 24,
    "early_lines": 18,
    "arcs": 24,
}


def test_importing_it_imports_no_torch() -> None:
    script = "import sys, circuits.artificial.model; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sites_channels_and_what_they_see() -> None:
    model = featviz.load("artificial_curves")
    sites = {site.name: site for site in model.sites()}
    assert {name: site.channels for name, site in sites.items()} == SITES
    assert all(site.has_pre for site in sites.values())
    fields = {name: (site.field.x.size_px, site.field.x.stride_px) for name, site in sites.items()}
    assert fields["gabors"] == (7, 2)
    assert fields["lines"] == (11, 2)
    assert fields["early_curves"] == (23, 4)
    assert fields["arcs"] == (39, 4)


def test_white_is_nothing_and_ink_is_negative() -> None:
    model = featviz.load("artificial_curves")
    image = torch.full((1, 3, 96, 96), 0.24)
    image[..., :48] = 1
    seen = model.network_input(image)
    assert torch.equal(seen[..., :48], torch.zeros(1, 3, 96, 48))
    assert seen[..., 48:] == pytest.approx(torch.full((1, 3, 96, 48), -0.76))
    # Colours of one mean look the same.
    red = torch.stack([image[:, 0] + 0.2, image[:, 1] - 0.1, image[:, 2] - 0.1], 1)
    lines, again = (model.record(x, ["lines"])["lines"] for x in (image, red))
    assert lines.amax() > 0.1
    assert torch.allclose(lines, again, atol=1e-5)


def test_each_layer_is_the_convolution_of_the_one_before() -> None:
    model = featviz.load("artificial_curves")
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    found = model.record(image, ["early_curves", "early_lines", "arcs"])
    joined = torch.cat([found["early_curves"], found["early_lines"]], 1)
    weight = formula_weights()["arcs.conv.weight"]
    by_hand = torch.nn.functional.conv2d(joined, weight, padding=2).relu()
    assert torch.allclose(found["arcs"], by_hand, atol=1e-4)
    assert by_hand.amax() > 1


def test_its_weights_are_a_fixed_number() -> None:
    model = featviz.load("artificial_curves")
    assert model.weights_origin == "by formula"
    # Made by: digest(featviz.load("artificial_curves").module). Changes if a formula does.
    assert digest(model.module) == (
        "9222a8a0107144dc1fffab90cb8b27712efa80e130532f1c4e3263d5c7c63621"
    )
    random = featviz.load("artificial_curves", weights="random")
    assert random.weights_origin == "random initialisation, seed 0"
    assert digest(random.module) != digest(model.module)
    assert isinstance(random.module, ArtificialCurves)


def test_orientations_are_known_only_where_the_formula_made_them() -> None:
    model = featviz.load("artificial_curves")
    assert orientations_deg("arcs")[:3] == (0, 15, 30)
    assert orientations_deg("lines")[:3] == (90, 80, 70)
    assert orientations_deg("gabors")[:5] == (90, 90, 90, 90, 80)
    assert known_orientations_deg(model, "arcs", "curve") == orientations_deg("arcs")
    assert known_orientations_deg(model, "arcs.pre/2:4", "curve") == (30, 45)
    assert known_orientations_deg(model, "gabors.conv", "line") == orientations_deg("gabors")
    assert known_orientations_deg(model, "gabors.pre/4:9", "line") == (80, 80, 80, 80, 70)
    assert known_orientations_deg(model, "arcs", "line") is None
    assert known_orientations_deg(model, "pool", "curve") is None
    random = featviz.load("artificial_curves", weights="random")
    assert known_orientations_deg(random, "arcs", "curve") is None
    # Another network whose weights are said to be from a formula, with a site of that name.
    other = featviz.load(torch.nn.Sequential(OrderedDict(arcs=torch.nn.Conv2d(3, 24, 3))), size=16)
    other.weights_origin = model.weights_origin
    assert known_orientations_deg(other, "arcs", "curve") is None


def test_unit_labels_fit_the_channels_and_are_shown() -> None:
    labels = ARTIFICIAL_CURVES.unit_labels()
    assert {name: len(found) for name, found in labels.items()} == SITES
    assert labels["arcs"][6] == "90°"
    assert labels["gabors"][5] == "80° phase 90°"
    shown = CliRunner().invoke(list_sites, ["artificial_curves", "--json"])
    entries = {entry["site"]: entry for entry in json.loads(shown.stdout)["sites"]}
    assert entries["arcs"]["unit_labels"] == list(labels["arcs"])
    table = CliRunner().invoke(list_sites, ["artificial_curves"]).stdout
    assert "arcs.pre           0°, 15°, ..., 345°" in table
    without = CliRunner().invoke(list_sites, ["squeezenet1_1", "--json"])
    assert json.loads(without.stdout)["sites"][0].get("unit_labels") is None


def test_a_render_says_which_orientation_it_shows() -> None:
    model = featviz.load("artificial_curves")
    result = featviz.render(model, "arcs:6", steps=2, size=48)
    assert result.record["images"][0]["unit_label"] == "90°"
    assert result.captions()[0].startswith("arcs:6\n90°")
    assert result.record["model"]["weights"] == "by formula"
