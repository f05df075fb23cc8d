"""`featviz photo`: everything that can be wrong is told before the first step."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featviz.cli import run
from nets import small_model

MODEL = ["nets:SmallNet", "--weights", "random"]
QUICK = ["--size", "64", "--steps", "1", "-q"]
COMMANDS = {
    "invert": ["invert", *MODEL, "block", "a.png"],
    "caricature": ["caricature", *MODEL, "block", "a.png"],
    "dream": ["dream", *MODEL, "block", "a.png", "--octaves", "1"],
    "accentuate": ["accentuate", *MODEL, "block:1", "a.png"],
    "restyle": ["restyle", *MODEL, "a.png", "b.png", "--content-site", "late", "--style-sites",
                "stem,block"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(random.integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(name)


@pytest.fixture
def no_steps(monkeypatch):
    def stop(*_args, **_options):
        raise AssertionError("the work began")

    monkeypatch.setattr("featviz.rendering.ascend", stop)


def photo(*words):
    return run(["photo", *words])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_run_is_refused_before_the_work(name, capsys, monkeypatch, tmp_path):
    assert photo(*COMMANDS[name], *QUICK, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (made,) = document["files"]
    assert (tmp_path / made).is_file()
    with monkeypatch.context() as patch:
        patch.setattr("featviz.rendering.ascend", None)
        assert photo(*COMMANDS[name], *QUICK) == 2
    assert f"{made!r} exists" in capsys.readouterr().err
    assert photo(*COMMANDS[name], *QUICK, "--overwrite") == 0


def test_several_units(capsys, monkeypatch):
    words = ["accentuate", *MODEL, "block:0-1", "a.png", *QUICK]
    assert photo(*words) == 0
    *images, sheet = capsys.readouterr().out.splitlines()
    for name in images:
        Path(name).unlink()
        Path(name).with_suffix(".json").unlink()
    monkeypatch.setattr("featviz.rendering.ascend", None)
    assert photo(*words) == 2
    assert f"{sheet!r} exists" in capsys.readouterr().err


def test_what_show_and_metrics_say_of_a_picture_that_no_record_repeats(capsys):
    assert photo(*COMMANDS["dream"], *QUICK) == 0
    made = capsys.readouterr().out.split()[0]
    assert run(["show", made]) == 0
    assert "Made by featviz photo, or from Python objects" in capsys.readouterr().out
    assert run(["show", made, "--reproduce", "again"]) == 2
    assert "run that command or script again" in capsys.readouterr().err
    assert run(["metrics", "out"]) == 0
    assert "all images were made by featviz photo, or" in "".join(capsys.readouterr())


def test_pictures_of_other_recipes_may_be_there(tmp_path):
    for name in ("invert", "accentuate"):
        assert photo(*COMMANDS[name], *QUICK) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


BAD = [
    (["invert", *MODEL, "bloc", "a.png"], "unknown site 'bloc'"),
    (["invert", *MODEL, "block", "no.png"], "cannot read 'no.png' as a picture: there is no such"),
    (["invert", *MODEL, "block", "."], "cannot read '.' as a picture: it is a folder"),
    (["invert", "no.such:thing", "block", "no.png"], "cannot read 'no.png'"),
    (
        ["invert", *MODEL, "block", "a.png", "--size", "-3"],
        "size must be a whole number, 1 or more",
    ),
    (["invert", *MODEL, "block", "a.png", "--size", "2"], "the smallest square"),
    (["invert", *MODEL, "block", "a.png", "--steps", "0"], "steps must be a whole number, 1 or"),
    (["invert", *MODEL, "block", "a.png", "--seed", "-1"], "seed must be a whole number, 0 or"),
    (["invert", *MODEL, "block", "a.png", "-o", "a.png"], "'a.png' is no folder; choose another"),
    (["invert", *MODEL, "block", "a.png", "-o", "a.png/b"], "'a.png' is no folder"),
    (["accentuate", *MODEL, "block", "a.png"], "'block' names no unit"),
    (["accentuate", *MODEL, "block:99", "a.png"], "channel 99 is out of range"),
    (
        ["accentuate", *MODEL, "block:1", "a.png", "--keep", "nan"],
        "keep must be 0 or more, got nan",
    ),
    (["accentuate", *MODEL, "block:1", "a.png", "--keep", "-1"], "keep must be 0 or more"),
    (
        ["dream", *MODEL, "block", "a.png", "--octaves", "1", "--keep", "inf"],
        "keep must be 0 or more, got inf",
    ),
    (["dream", *MODEL, "block", "a.png", "--octaves", "0"], "octaves must be 1 or more"),
    (["dream", *MODEL, "block", "a.png", "--octaves", "99999"], "the smallest of 99999 octaves"),
    ([*COMMANDS["restyle"][:-1], "stem,,x"], "unknown site 'x'"),
    ([*COMMANDS["restyle"][:-1], ""], "at least one site whose texture"),
    ([*COMMANDS["restyle"], "--style-weight", "nan"], "finite"),
]


@pytest.mark.usefixtures("no_steps")
@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda value: " ".join(value)[-60:])
def test_bad_input_leaves_nothing(words, message, capsys, tmp_path):
    size = [] if "--size" in words else ["--size", "64"]
    before = sorted(tmp_path.iterdir())
    assert photo(*words, *size, "-q") == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_hook_of_python_hears_the_label():
    import torch

    from featviz import recipes

    heard = []
    seen = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = small_model()
    made = recipes.accentuate(
        model, "block:1", seen, steps=1, progress=False, before=lambda labels: heard.extend(labels)
    )
    assert tuple(heard) == made.labels
