"""From the form of the Render page to a task: what is asked for, checked, and written out."""

import dataclasses
import shlex

import pytest

from app.wishes import (
    MOST_IMAGES,
    Wish,
    accentuate_text,
    check_parts,
    command_text,
    make_task,
    python_text,
    wish_to_text,
)
from featviz.config import RenderConfig
from featviz.errors import ConfigError, ObjectiveError, SiteError, UnitError
from nets import small_model

QUICK = RenderConfig(steps=2, size=32)


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (Wish(unit="block:1"), "block:1"),
        (Wish(unit=" block:1 ", goal="negative"), "-block:1"),
        (Wish(unit="block:1", goal="neuron"), "block:1@center"),
        (Wish(unit="block:1@2,3", goal="neuron"), "block:1@2,3"),
        (Wish("sum", text="block:1 - 0.5*block:2"), "block:1 - 0.5*block:2"),
        (
            Wish("direction", site="block", weights="1:2, 3:-.5, 4", power=2.0),
            "direction(block, [0, 2, 0, -0.5, 1, 0, 0, 0], cosine_power=2)",
        ),
        (Wish("path", first="block:1", last="block:3"), "interpolation(block, 1, 3)"),
    ],
)
def test_a_wish_becomes_a_text_that_renders(wish: Wish, text: str) -> None:
    model = small_model()
    assert wish_to_text(wish, model.site_table()) == text
    config = dataclasses.replace(QUICK, images=2)
    task = make_task(model, text, config)
    assert (task.model, task.text, task.site) == (model.name, text, "block")
    assert task.config["images"] == 2


@pytest.mark.parametrize(
    ("wish", "error", "said"),
    [
        (Wish(unit="block"), UnitError, "names no unit"),
        (Wish("sum", text=" "), UnitError, "write what to maximise"),
        (Wish("direction", site="block", weights="x"), UnitError, "'x' is no weight; write"),
        (Wish("direction", site="block", weights="99"), UnitError, "channel 99 is out of range"),
        (Wish("direction", site="block", weights=""), UnitError, "has no weights"),
        (Wish("direction", site="blok", weights="1"), SiteError, "did you mean 'block'"),
        (Wish("path", first="block:1", last="stem:1"), UnitError, "both units must be of one"),
        (Wish("path", first="block:1", last="block:1-2"), UnitError, "stands for 2 units"),
    ],
)
def test_a_wrong_wish_is_told(wish: Wish, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        wish_to_text(wish, small_model().site_table())


@pytest.mark.parametrize(
    "text",
    ["style(block, /etc/hostname)", "direction(block, '/etc/passwd')", "facet(block:1, a, v.npy)"],
)
def test_no_text_names_a_file(text: str) -> None:
    with pytest.raises(ObjectiveError, match="files cannot be named here"):
        make_task(small_model(), text, QUICK)


@pytest.mark.parametrize("name", ["start", "mask", "contrast"])
def test_no_setting_names_a_file(name: str) -> None:
    config = dataclasses.replace(QUICK, **{name: "/etc/hostname"})
    with pytest.raises(ConfigError, match=f"{name} names a file"):
        make_task(small_model(), "block:1", config)


@pytest.mark.parametrize("param", ["maco:spectrum=/etc/passwd", "fourier:sd=1, colors =x.npz"])
def test_no_parameterisation_names_a_file(param: str) -> None:
    with pytest.raises(ConfigError, match="files cannot be named here"):
        check_parts(param, "lucid")
    check_parts("fourier:sd=0.1", "jitter:8,rotate:-5..5")


def test_a_page_renders_only_so_much() -> None:
    model = small_model()
    with pytest.raises(ConfigError, match="17 images of 32x32 px are too many for this page"):
        make_task(model, "block:1", dataclasses.replace(QUICK, images=MOST_IMAGES + 1))
    with pytest.raises(ConfigError, match="1,048,576 pixels together"):
        make_task(model, "block:1", dataclasses.replace(QUICK, images=5, size=512))


def test_the_command_and_python_say_the_same() -> None:
    model = small_model()
    assert command_text(model, "block:1", QUICK) is None, "a module has no name for a shell"
    model.arguments = ("small",)
    words = shlex.split(command_text(model, "-block:1", QUICK) or "")
    assert words[:2] == ["featviz", "render"]
    assert words[-3:] == ["--", "small", "-block:1"]
    assert words[words.index("--steps") + 1] == "2"
    text = python_text(model, "block:1", QUICK)
    assert "featviz.load('small')\nfeatviz.render(model, 'block:1', steps=2, size=32)" in text
    compile(text, "text", "exec")
    words = shlex.split(accentuate_text(model, "block:1", QUICK, 2.5) or "")
    assert words[:3] == ["featviz", "photo", "accentuate"]
    assert words[words.index("--keep") + 1] == "2.5"
    assert words[-3:] == ["small", "block:1", "photo.png"]
