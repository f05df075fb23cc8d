import html
import json
import re
import shlex
import sys
from urllib.parse import unquote

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import featviz.gallery as module
from featviz.cli import run
from featviz.cli.gallery import split_units
from featviz.config import RenderConfig
from featviz.errors import ConfigError
from featviz.gallery import default_units, make_gallery
from featviz.images import png_bytes, to_picture, write_file
from featviz.metrics import read_render
from featviz.models import load
from featviz.params import PARAMETERISATIONS, Pixels
from featviz.record import read_record
from featviz.transforms import PRESETS
from featviz.variants import GOOD_FOR, Setting, good_for, list_settings

QUICK = ["--steps", "2", "--size", "32"]


class _Main:
    """What CliRunner needs of a command, around `run`, which handles the errors."""

    name = "featviz"

    def main(self, args, **_):
        sys.exit(run(args))


def command(*words):
    result = CliRunner().invoke(_Main(), [str(word) for word in words], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for k in range(3):
        pixels = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(k))
        write_file(folder / f"{k}.png", png_bytes(to_picture(pixels)))
    return folder


@pytest.mark.parametrize(
    ("registry", "option"), [(PARAMETERISATIONS, "--param"), (PRESETS, "--transforms")]
)
def test_every_registry_entry_is_shown(registry, option):
    names = [setting.name for setting in list_settings()]
    assert {f"{option} {name}" for name in registry} <= set(names)
    assert len(names) == len(set(names))


def test_a_new_parameterisation_is_shown_and_lacks_its_sentence(monkeypatch):
    monkeypatch.setitem(PARAMETERISATIONS, "new", Pixels)
    new = [setting for setting in list_settings() if setting.name not in GOOD_FOR]
    assert [setting.name for setting in new] == ["--param new"]
    assert good_for(new[0]).startswith("One value a pixel and channel")


def test_every_setting_has_its_sentence_and_no_sentence_is_left_over():
    assert [setting.name for setting in list_settings()] == list(GOOD_FOR)
    assert all(text.endswith(".") for text in GOOD_FOR.values())


def test_slow_settings_take_fewer_steps():
    base = RenderConfig(steps=80)
    steps = {setting.name: setting.config(base).steps for setting in list_settings()}
    slow = {name for name, count in steps.items() if count == 20}
    assert slow == {
        "--transforms maco",
        "--param maco --transforms maco",
        "--optimiser lbfgs",
    }
    assert set(steps.values()) == {20, 80}


def test_the_command_writes_a_page_of_everything(tmp_path, photographs):
    out = tmp_path / "a page"
    code, text, err = command(
        "gallery", "-o", out, *QUICK, "--units", "fire2:3", "--json", "-q",
        "--images", photographs,
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(text)
    assert list(document["units"]) == ["fire2:3"]
    page = (out / "index.html").read_text()
    names = [setting.name for setting in list_settings()]
    for found in document["units"].values():
        assert list(dict.fromkeys(entry["setting"] for entry in found)) == names
    entries = [entry for found in document["units"].values() for entry in found]
    assert page.count("<figure") == len(entries)
    assert all(html.escape(entry["command"]) in page for entry in entries)
    for name in names:
        assert f"<td><code>{name}</code></td><td>{html.escape(GOOD_FOR[name])}</td>" in page
    for source in re.findall(r'src="([^"]*)"', page):
        with Image.open(out / unquote(source)) as picture:
            assert picture.size == (32, 32)
    for unit in document["units"]:
        assert f"<h2>{unit}</h2>" in page
    assert "http" not in page
    first = entries[0]
    assert {"score", "slope", "high", "clipped", "saturation", "percentile", "self_rank"} <= set(
        first
    )
    assert f"<dt>slope</dt><dd>{first['slope']:.2f}</dd>" in page
    assert f"<dt>percentile</dt><dd>{first['percentile']:.1f}</dd>" in page
    config = read_record(out / entries[-1]["file"])["config"]
    assert (config["images"], config["diversity"]) == (4, 0.5)


def test_the_command_below_a_picture_makes_it_again(tmp_path):
    model = load("squeezenet1_1")
    config = RenderConfig(steps=2, size=32)
    settings = [s for s in list_settings() if s.name in {"--negative", "--param pixels"}]
    made = make_gallery(model, tmp_path, units=["fire2:3"], config=config, settings=settings)
    pictures = made.units["fire2:3"]
    assert [picture.setting.name for picture in pictures] == ["--param pixels", "--negative"]
    for picture in pictures:
        words = shlex.split(picture.figure.command)
        assert words[0] == "featviz"
        words[words.index("-o") + 1] = str(tmp_path / "again")
        code, _, err = command(*words[1:])
        assert code == 0, err
        again = tmp_path / "again" / picture.figure.path.name
        assert torch.equal(read_render(again).image, read_render(picture.figure.path).image)


def test_settings_that_come_to_the_same_share_a_picture(tmp_path):
    settings = [
        s for s in list_settings()
        if s.name in {"--param fourier", "--transforms lucid", "--optimiser adam", "--param cppn"}
        or s.name == "--param fourier:decay_power=1"
    ]  # fmt: skip
    made = make_gallery(
        load("squeezenet1_1"),
        tmp_path,
        units=["-(fire2:3 + fire2:4)"],
        config=RenderConfig(steps=1, size=32),
        settings=settings,
    )
    (pictures,) = made.units.values()
    assert len(pictures) == 5
    assert len({picture.figure.path for picture in pictures}) == 2
    assert pictures[0].row["score"] == pictures[0].figure.record["image"]["score"]


def test_an_expression_is_minimised_as_a_whole(tmp_path):
    made = make_gallery(
        load("squeezenet1_1"),
        tmp_path,
        units=["fire2:3 + fire2:4"],
        config=RenderConfig(steps=1, size=32),
        settings=[Setting("h", "--negative", negative=True)],
    )
    ((picture,),) = made.units.values()
    assert picture.figure.record["request"]["objectives"] == ["-(fire2:3 + fire2:4)"]


def test_default_units_are_early_middle_and_deep():
    model = load("squeezenet1_1")
    assert [unit.partition(":")[0] for unit in default_units(model)] == ["fire3", "fire5", "fire9"]
    units = default_units(load("efficientnet_lite0"))
    order = [site.name for site in load("efficientnet_lite0").sites()]
    places = [order.index(unit.removesuffix(":0")) for unit in units]
    assert len(units) == 3
    assert places == sorted(set(places))


def test_a_network_without_maps_has_no_default_units():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
    model = load(flat, size=8)
    with pytest.raises(ConfigError, match="no site with a map to choose units from; name some"):
        default_units(model)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--units", "fire2:999"], "channel 999 is out of range"),
        (["--units", "fire99:1"], "unknown site 'fire99'"),
        (["--units", "fire2"], "names no unit"),
        (["--model", "squeezenet9"], "unknown model 'squeezenet9'"),
        (["--images", "nowhere"], "there is no folder 'nowhere'"),
        (["--steps", "0"], "steps must be a whole number, 1 or more"),
        (["--size", "big"], "is no size"),
    ],
)
def test_bad_input_is_refused_before_the_first_render(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "render", None)
    code, _, err = command("gallery", "-q", *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "out").exists()


def test_an_interrupt_writes_no_page(tmp_path, monkeypatch):
    class Stopped:
        interrupted = True

    monkeypatch.setattr(module, "render", lambda *_, **__: Stopped())
    code, _, err = command("gallery", "-o", tmp_path / "out", "-q", "--units", "fire2:3")
    assert code == 130
    assert "Interrupted" in err
    assert not (tmp_path / "out" / "index.html").exists()


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("fire4:5", ["fire4:5"]),
        ("fire4:5,7,fire7:0-3", ["fire4:5,7", "fire7:0-3"]),
        ("fire4:17@7,9,fire5:2", ["fire4:17@7,9", "fire5:2"]),
        ("fire4:*,fire5:2", ["fire4:*", "fire5:2"]),
        ("fire4:5 - fire4:6", ["fire4:5 - fire4:6"]),
        ("channel(fire4, 5)", ["channel(fire4, 5)"]),
    ],
)
def test_commas_part_units_and_stay_inside_sets_and_positions(text, units):
    assert split_units(text) == units
