import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from circuits.cli import circuit
from featviz.errors import CircuitError, FeatvizError, OutputError, SiteError, UnitError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(circuit, [*arguments, "--weights", "random", "--device", "cpu", "-q"])


def error_of(*arguments: str) -> FeatvizError:
    error = run(*arguments).exception
    assert isinstance(error, FeatvizError), error
    assert error.exit_code == 2
    return error


def test_weights_of_adjacent_sites(tmp_path: Path) -> None:
    result = run("weights", "squeezenet1_1", "features.6.squeeze_activation", "fire4:3,200",
                 "--top", "3", "--no-images", "-o", str(tmp_path))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "gates raw, by raw" in result.stdout
    assert result.stdout.count("fire4:200  ") == 3
    (archive,) = tmp_path.glob("*.npz")
    with np.load(archive) as arrays:
        assert arrays["kernels"].shape == (32, 2, 3, 3)
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 2
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width > 200


def test_weights_of_distant_sites_are_expanded_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("circuits.pictures.feature_images.feature_images.__kwdefaults__", {
        "size": 48, "steps": 2, "seed": 0, "progress": False})  # fmt: skip
    result = run("weights", "squeezenet1_1", "fire3", "fire4:141", "--top", "2", "--json",
                 "-o", str(tmp_path))  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "expanded with identity gates" in result.stderr
    document = json.loads(result.stdout)
    assert (document["method"], document["gates"]) == ("compose", "identity")
    (unit,) = document["units"]
    assert unit["unit"] == "fire4:141"
    assert len(unit["inputs"]) == 2
    assert np.shape(unit["inputs"][0]["kernel"]) == tuple(document["kernel_size"]) == (7, 7)
    assert len(document["files"]) == 3


def test_expand_shows_how_far_gates_agree(tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for k in range(3):
        pixels = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(k))
        Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / f"{k}.png")
    gates = "identity,positive_top,data_mean,attribution"
    arguments = ("expand", "squeezenet1_1", "fire2", "fire3:7", "--gates", gates,
                 "--images", str(folder), "--image-count", "2", "--top", "3")  # fmt: skip
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "How far the gates agree:" in result.stdout
    assert "identity / positive_top" in result.stdout
    assert "2 photographs of" in result.stdout
    result = run(*arguments, "--json", "--no-images", "-o", str(tmp_path / "out"))
    document = json.loads(result.stdout)
    assert len(document["agreement"]) == 6
    assert {"correlation", "chance_correlation"} <= document["agreement"][0].keys()
    assert [weights["gates"] for weights in document["weights"]] == gates.split(",")
    assert len(document["files"]) == 4 * 3
    assert all(Path(file).is_file() for file in document["files"])


def test_one_policy_alone_asks_for_another() -> None:
    result = run("expand", "squeezenet1_1", "fire2", "fire3:7", "--gates", "identity", "--top", "1")
    assert "name several in --gates" in result.stdout


def test_bad_input_is_told_before_anything_is_written(tmp_path: Path) -> None:
    net = "squeezenet1_1"
    out = ("-o", str(tmp_path / "out"))
    assert "comes after" in str(error_of("expand", net, "fire4", "fire2:1", *out))
    assert isinstance(error_of("weights", net, "fire4", "fire2:1", *out), CircuitError)
    assert isinstance(error_of("weights", net, "fire99", "fire4:1", *out), SiteError)
    assert isinstance(error_of("weights", net, "fire3", "fire4:999", *out), UnitError)
    assert "leave it out" in str(error_of("weights", net, "fire3", "fire4:1@2,3", *out))
    assert "did you mean 'identity'" in str(
        error_of("expand", net, "fire3", "fire4:1", "--gates", "idenity", *out)
    )
    assert run("expand", net, "fire3", "fire4:1", "--lrn-at", "x").exit_code == 2
    nan = error_of("expand", net, "fire3", "fire4:1", "--lrn-at", "nan", *out)
    assert "lrn_at must be a finite number" in str(nan)
    assert not (tmp_path / "out").exists()
    (tmp_path / "squeezenet1_1_fire3_to_fire4_identity.npz").touch()
    mine = error_of("weights", net, "fire3", "fire4:1", "-o", str(tmp_path))
    assert isinstance(mine, OutputError)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("command", ["weights", "expand"])
def test_help_needs_no_torch(command: str) -> None:
    script = (
        "import sys\nfrom circuits.cli import circuit\n"
        f"try: circuit.main([{command!r}, '--help'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"SOURCE" in done.stdout
