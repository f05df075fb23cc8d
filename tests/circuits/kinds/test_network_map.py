import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import KindRules, map_network, photograph_evidence, probe_site, stimuli, unit_kinds
from circuits.angles import angle_between
from circuits.cli import circuit
from circuits.kinds.network_map import COLUMNS
from circuits.kinds.photographed import PhotographEvidence
from circuits.kinds.rules import FAMILIES, axis_deg
from featviz.errors import CircuitError, OutputError, PictureError, SiteError

REPO = Path(__file__).resolve().parents[3]
SHIPPED = REPO / "assets" / "families-squeezenet1_1.json"
SURE = KindRules(axis_error_deg=90)


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """A grating of 8 px, horizontal, in the colours of paper and ink."""
    image = stimuli.gratings(torch.zeros(1), size=(140, 140), wavelength_px=8.0)
    file = tmp_path / "stripes.png"
    Image.fromarray((image[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(file)
    return file


def answers(probed: object) -> PhotographEvidence:
    """Photographs that say nothing against the stimuli."""
    best = torch.stack(list(probed.best.values())).amax(0)  # type: ignore[attr-defined]
    fill = torch.full_like(best, 1.0)
    return PhotographEvidence("arcs", best, fill, fill, fill)


def test_the_hand_built_network_is_mapped_as_it_was_built() -> None:
    model = featviz.load("artificial_curves")
    for site, family in (("lines", "lines"), ("arcs", "curves")):
        probed = probe_site(model, site, angles=12)
        kinds = unit_kinds(probed, answers(probed), rules=SURE)
        right = [kind for kind in kinds if kind.family == family]
        assert len(right) >= 0.75 * len(kinds), site
        expected = [kind.curve for kind in right if kind.curve.error_deg is not None]
        assert expected
        assert max(curve.error_deg or 0.0 for curve in expected) <= 30


def test_weak_units_and_units_that_photographs_contradict_are_other() -> None:
    model = featviz.load("artificial_curves")
    probed = probe_site(model, "lines", angles=12)
    seen = answers(probed)
    right = torch.tensor([axis_deg(k.curve) for k in unit_kinds(probed, seen, rules=SURE)])
    kinds = unit_kinds(probed, PhotographEvidence("lines", seen.peak, right, *[seen.chroma] * 2))
    assert {kind.family for kind in kinds} == {"lines"}
    across = PhotographEvidence("lines", seen.peak, right + 90, *[seen.chroma] * 2)
    assert "lines" not in {kind.family for kind in unit_kinds(probed, across)}
    bright = PhotographEvidence("lines", seen.peak * 5, right, *[seen.chroma] * 2)
    weak = unit_kinds(probed, bright)
    assert {kind.family for kind in weak} == {"other"}
    assert all(kind.weak for kind in weak)
    silent = PhotographEvidence("lines", seen.peak * 0, right, *[seen.chroma] * 2)
    assert all(kind.weak for kind in unit_kinds(probed, silent))


def test_contours_in_photographs_are_found_at_their_angle(stripes: Path) -> None:
    model = featviz.load("artificial_curves")
    found = photograph_evidence(model, ["lines"], [stripes], turns=36)["lines"]
    known = [(90 - 10 * j) % 180 for j in range(18)]
    wrong = [angle_between(a, b, 180) for a, b in zip(found.axis_deg.tolist(), known, strict=True)]
    assert max(wrong) < 6
    assert float(found.axis_strength.amin()) > 0.5


def test_colour_is_found_where_a_unit_answers(tmp_path: Path) -> None:
    picture = torch.full((3, 90, 90), 0.5)
    picture[:, :45] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    file = tmp_path / "half.png"
    Image.fromarray((picture.permute(1, 2, 0) * 255).byte().numpy()).save(file)
    network = torch.nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.zero_()
        network.weight[0, 0, 1, 1], network.weight[0, 2, 1, 1] = 1, -1  # red, not blue
        network.weight[1, 2, 1, 1] = 1  # blue, which only the grey half has
    model = featviz.load(torch.nn.Sequential(network), size=60)
    found = photograph_evidence(model, ["0"], [file], turns=4)["0"]
    assert found.chroma[0] > 1.5
    assert found.chroma[1] < 0.3


def test_the_shipped_map_says_what_a_new_measurement_says() -> None:
    """One site, without photographs: tuning and answers of the file's own numbers."""
    shipped = json.loads(SHIPPED.read_text("utf-8"))
    assert list(shipped["columns"]) == list(COLUMNS)
    assert SHIPPED.stat().st_size < 500_000
    site = next(s for s in shipped["sites"] if s["site"] == "fire2")
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in site["units"]]
    assert {f: sum(r["family"] == f for r in rows) for f in FAMILIES} == site["counts"]
    model = featviz.load("squeezenet1_1")
    peaks = torch.tensor([float(row["photo_peak"]) for row in rows])
    axes = torch.tensor([float(row["photo_axis_deg"]) for row in rows])
    chroma = torch.tensor([float(row["photo_chroma"]) for row in rows])
    seen = PhotographEvidence("fire2", peaks, axes, torch.zeros_like(axes), chroma)
    kinds = unit_kinds(probe_site(model, "fire2"), seen, rules=KindRules(**shipped["thresholds"]))
    # Three digits of chroma and angle: one unit may lie on a threshold.
    assert sum(kind.family != row["family"] for kind, row in zip(kinds, rows, strict=True)) <= 1
    for kind, row in zip(kinds, rows, strict=True):
        assert kind.top == pytest.approx(row["top"], rel=0.01)
        if kind.family == row["family"]:
            assert kind.curve.peak == pytest.approx(row["peak"], rel=0.01)
            assert kind.curve.selectivity == pytest.approx(row["selectivity"], abs=0.01)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(circuit, ["map", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_command_writes_one_file_and_prints_counts(stripes: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "map.json"
    table = run("artificial_curves", "gabors", "-p", stripes, "-o", file, "-q")
    document = json.loads(file.read_text("utf-8"))
    assert document["photographs"] == ["stripes.png"]
    (site,) = document["sites"]
    assert sum(site["counts"].values()) == sum(site["control"].values()) == 72
    assert "shuffled" in table
    text = run("artificial_curves", "gabors", "-p", stripes, "-q", "--no-control", "--json")
    alone = json.loads(text)
    assert alone["control"] is alone["sites"][0]["control"] is None
    assert alone["sites"][0]["units"] == site["units"]
    with pytest.raises(OutputError, match="exists already; choose another or pass --overwrite"):
        run("artificial_curves", "-p", stripes, "-o", file)
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        run("artificial_curves", "-p", stripes, "-o", tmp_path)
    with pytest.raises(CircuitError, match="give some, -p FILE -p FILE"):
        run("artificial_curves", "gabors")
    with pytest.raises(SiteError, match="unknown site 'gabor' in 'artificial_curves'; did you mea"):
        run("artificial_curves", "gabor")


def test_bad_arguments_are_refused(stripes: Path, tmp_path: Path) -> None:
    model = featviz.load("artificial_curves")
    with pytest.raises(CircuitError, match="each once; got"):
        map_network(model, ["arcs", "arcs"], photographs=[stripes])
    with pytest.raises(PictureError):
        map_network(model, ["arcs"], photographs=[tmp_path / "none.png"])
    with pytest.raises(CircuitError, match="give one photograph at least"):
        photograph_evidence(model, ["arcs"], [])
    with pytest.raises(CircuitError, match="turns and batch of 1 or more; got 1, 0 and 12"):
        photograph_evidence(model, ["arcs"], [stripes], turns=0)
    with pytest.raises(CircuitError, match="sees the whole image, or nobody knows what"):
        photograph_evidence(featviz.load("squeezenet1_1", weights="random"), ["logits"], [stripes])
    grey = featviz.load(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)), size=32, channels=1)
    with pytest.raises(CircuitError, match="photographs are RGB"):
        photograph_evidence(grey, ["0"], [stripes])
    broken = torch.nn.Conv2d(3, 2, 3)
    with torch.no_grad():
        broken.weight.fill_(torch.nan)
    with pytest.raises(CircuitError, match="not a finite number"):
        probe_site(featviz.load(torch.nn.Sequential(broken), size=32), "0")
