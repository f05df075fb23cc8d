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
    assert random["draws"] == 2


def test_a_table_with_photographs_and_a_kept_family(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        pixels = generator.integers(0, 255, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    result = run(
        NAME, "arcs:6", "--keep", "early_curves:0-11", "--drop", "mean early_curves:2",
        "--images", tmp_path, "--draws", 1, "--angles", 12, "--levels", 28, "-q",
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0] == "drop mean early_curves:2"
    assert lines[1] == "keep inputs early_curves:0-11 of arcs:6"
    assert lines[2].split()[:4] == ["unit", "measure", "before", "after"]
    assert [line.split()[1] for line in lines[3:10]] == [
        "preferred_deg", "fwhm_deg", "echo", "selectivity", "peak", "correlation", "mean_change",
    ]  # fmt: skip
    assert lines[10].startswith("activation over photographs: 2 of ")


def test_wrong_input() -> None:
    with pytest.raises(CircuitError, match="nothing to change; give --drop"):
        run(NAME, "arcs:6")
    with pytest.raises(CircuitError, match="did you mean 'negative weights'"):
        run(NAME, "arcs:6", "--drop", "negativ weights")
    with pytest.raises(UnitError, match="channel 99 is out of range"):
        run(NAME, "arcs:99", "--drop", "negative weights")
    with pytest.raises(CircuitError, match="needs images"):
        run(NAME, "arcs:6", "--drop", "mean early_curves:0")
