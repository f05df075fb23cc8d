import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli import circuit
from featviz.errors import CircuitError, UnitError

NAME = ARTIFICIAL_CURVES.name


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(circuit, ["ablate", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_echo_of_a_curve_detector_without_its_negative_weights() -> None:
    result = run(
        NAME, "arcs:6", "--drop", "negative weights", "--levels", 28, "--draws", 2, "-q", "--json"
    )
    document = json.loads(result.stdout)
    assert document["edits"] == ["drop negative weights of arcs:*"]
    assert document["images"] is None
    (unit,) = document["units"]
    assert (unit["unit"], unit["label"], unit["activation"]) == ("arcs:6", "90°", None)
    echo = unit["tuning"]["echo"]
    assert echo["before"] == 0
    assert echo["after"] > 0.5
    random = echo["random"]
    assert random["low"] <= random["mean"] <= random["high"]
    assert (random["draws"], random["unknown"]) == (2, 0)
    reached = sum(value >= echo["after"] for value in (random["low"], random["high"]))
    assert (random["reached"], random["p_value"]) == (
        reached / 2,
        pytest.approx((1 + reached) / 3, abs=1e-5),
    )
    assert document["control"]["distinct"] == 1_000_000
    assert 0.5 < document["control"]["overlap"] < 0.7
    assert (document["mean"], document["agreement"]) == (None, None)


def test_a_table_with_photographs_and_a_kept_family(tmp_path: Path) -> None:
    folder_of_noise(tmp_path)
    result = run(
        NAME, "arcs:6", "--keep", "early_curves:0-11", "--drop", "mean early_curves:2",
        "--images", tmp_path, "--draws", 1, "--angles", 12, "--levels", 28, "-q",
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0] == "drop mean early_curves:2"
    assert lines[1] == "keep inputs early_curves:0-11 of arcs:6"
    assert lines[2].split()[:4] == ["unit", "measure", "before", "after"]
    assert lines[2].split()[-2:] == ["reached", "p"]
    assert [line.split()[1] for line in lines[3:10]] == [
        "preferred_deg", "fwhm_deg", "echo", "selectivity", "peak", "correlation", "mean_change",
    ]  # fmt: skip
    assert lines[10].startswith("photographs: 2 of ")


def folder_of_noise(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        pixels = generator.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_the_mean_of_several_units() -> None:
    options = ("--levels", 28, "--angles", 12, "--draws", 2, "-q")
    result = run(NAME, "arcs:6,7", "--drop", "negative weights", *options, "--json")
    document = json.loads(result.stdout)
    echo = document["mean"]["tuning"]["echo"]
    each = [unit["tuning"]["echo"]["after"] for unit in document["units"]]
    assert echo["after"] == pytest.approx(sum(each) / 2, abs=1e-5)
    assert "preferred_deg" not in document["mean"]["tuning"]
    table = run(NAME, "arcs:6,7", "--drop", "negative weights", *options).stdout
    assert sum(line.startswith("mean of 2 ") for line in table.splitlines()) == 4


def test_classes_and_photographs(tmp_path: Path) -> None:
    pictures = folder_of_noise(tmp_path)
    common = ("squeezenet1_1", "logits:207", "--drop", "units fire9:0-63", "-q")
    result = run(*common, "--images", pictures, "--draws", 1, "--json")
    document = json.loads(result.stdout)
    (unit,) = document["units"]
    assert (unit["tuning"], unit["activation"], document["stimulus"]) == (None, None, None)
    assert set(unit["class"]) == {"logit", "probability", "rank"}
    assert unit["class"]["logit"]["before"] != unit["class"]["logit"]["after"]
    assert 1 <= unit["class"]["rank"]["before"] <= 1000
    assert document["agreement"]["before"] == 1
    with pytest.raises(CircuitError, match=r"one number for a whole picture.*--images FOLDER"):
        run(*common)


def test_few_random_edits_or_none() -> None:
    common = (NAME, "arcs:6", "--levels", 28, "--angles", 12, "-q")
    half = run(*common, "--drop", "units early_curves:0-11").stdout
    assert "only 1 different random edits of this size: all were made" in half
    none = run(*common, "--drop", "units early_curves:*").stdout
    assert "no random edits: nothing else of this size can be chosen" in none
    shared = run(*common, "--drop", "units early_curves:0-17", "--draws", 1).stdout
    assert "a random edit holds 75% of what the edit changes, on average" in shared


def test_an_edit_behind_the_unit() -> None:
    with pytest.raises(CircuitError, match="'arcs' comes after 'lines'"):
        run(NAME, "lines:1", "--drop", "units arcs:1")
    with pytest.raises(CircuitError, match="each --keep drops what the other keeps"):
        run(NAME, "arcs:6", "--keep", "early_curves:0", "--keep", "early_curves:2")


def test_wrong_input() -> None:
    with pytest.raises(CircuitError, match="nothing to change; give --drop"):
        run(NAME, "arcs:6")
    with pytest.raises(CircuitError, match="did you mean 'negative weights'"):
        run(NAME, "arcs:6", "--drop", "negativ weights")
    with pytest.raises(UnitError, match="channel 99 is out of range"):
        run(NAME, "arcs:99", "--drop", "negative weights")
    with pytest.raises(CircuitError, match="needs images"):
        run(NAME, "arcs:6", "--drop", "mean early_curves:0")
