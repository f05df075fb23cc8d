import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from circuits.artificial.model import ARTIFICIAL_CURVES
from circuits.cli import circuit
from circuits.families.family import Family, read_families, write_families
from featviz.errors import CircuitError, OutputError

NAME = ARTIFICIAL_CURVES.name


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(circuit, ["families", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_one_json_document_a_page_and_a_file_of_families(tmp_path: Path) -> None:
    page, file = tmp_path / "new" / "families.html", tmp_path / "families.json"
    result = run(
        NAME, "arcs", "-o", page, "--save", file, "--images", 1, "--steps", 2, "--px", 32, "-q",
        "--stimuli", "curve", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert document["page"] == str(page)
    assert document["families"] == [{"name": "curve 1", "units": 24, "branches": {}}]
    assert len(document["units"]) == 24
    wanted = {
        "unit", "expected_deg", "preferred_deg", "fwhm_deg", "echo", "selectivity", "family",
    }  # fmt: skip
    assert wanted <= document["units"][0].keys()
    assert len(document["control"]["shuffled_largest"]) == 20
    assert max(document["control"]["networks_largest"]) < 12
    assert page.read_text("utf-8").count("data:image/png;base64,") == 1
    saved = read_families(file)
    assert saved[0].name == "curve 1"
    assert [str(unit) for unit in saved[0].units] == [row["unit"] for row in document["units"]]
    # What was saved can be given, and what is there is not replaced unasked.
    again = json.loads(
        run(NAME, "arcs", "--file", file, "--stimuli", "curve", "-q", "--json").stdout
    )
    assert again["by"] == "given"
    assert again["control"] is None
    assert again["units"] == document["units"]
    with pytest.raises(OutputError, match="exists already; choose another or pass --overwrite"):
        run(NAME, "arcs", "-o", page)
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        run(NAME, "arcs", "-o", tmp_path)
    with pytest.raises(OutputError, match="is no folder"):
        run(NAME, "arcs", "-o", file / "a.html")


def test_a_table_for_people(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_families(file, [Family.of("some", "arcs", [9, 3])])
    result = run(
        NAME, "arcs", "--file", file, "--stimuli", "curve", "-q",
        "--branches", "one=arcs:0-11; two=arcs:12-23",
    )  # fmt: skip
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "unit", "family", "expected", "preferred", "mean", "FWHM", "echo", "selectivity",
        "stimulus",
    ]  # fmt: skip
    assert lines[1].split()[:3] == ["arcs:3", "some", "45°"]
    assert lines[2].split()[:3] == ["arcs:9", "some", "135°"]
    assert "some: 2 units; 2 of 2 in one, 1.0 by chance (p = 0.48, corrected for 2 tests)" in lines
    assert "22 units of arcs are in no family" in lines


def test_weights_come_from_the_expansion() -> None:
    result = run(
        NAME, "arcs", "--by", "weights", "--source", "early_curves", "--count", 3, "-q",
        "--stimuli", "curve", "--json",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert document["by"] == "weights"
    assert sum(family["units"] for family in document["families"]) == 24


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "tuning", "--file", "f.json"), "--by has nothing to find"),
        (("--by", "weights"), "--by weights needs --source SITE"),
        (("--source", "lines"), "--source needs --by weights"),
        (("--inputs", "f.json"), "add --by weights --source SITE"),
        (("--file", "none.json"), "cannot read the families 'none.json'"),
        (("--stimuli", "square"), "square"),
        (("--branches", "arcs:1"), "names no family"),
        (("--count", "0"), "0 groups of 24 units: give a number from 1 to 24"),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        run(NAME, "arcs", "-q", *arguments)


def test_words_and_examples() -> None:
    assert run(NAME, "arcs", "--stimuli", "curve,curve").exit_code == 2
    text = run("--help").stdout
    assert "  featviz circuit families squeezenet1_1 fire3 -o families.html\n" in text
