"""Objectives whose texts name files: vectors, photographs."""

import io
import pickle
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import FACTORY, QUICK, make_command
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from typecheck import unchecked

import featviz
from featviz import objectives as o
from featviz.config import RenderConfig
from featviz.errors import ObjectiveError, PictureError, RecordError
from featviz.named_files import check_files
from featviz.objectives import channel, direction, group, parse_expression
from featviz.objectives.calls import TEXT_FUNCTIONS
from featviz.objectives.spelling import numbers
from featviz.objectives.values import as_vector, without_files
from featviz.record import read_record
from featviz.rendering import list_labels
from nets import small_model, small_net

REPO = Path(__file__).resolve().parents[2]
VECTOR = [0.1, -2.0, 0.0, 3.5]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Files to name, in the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", np.array(VECTOR))
    save_file({"v": torch.tensor(VECTOR).bfloat16()}, "v.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save("cat.png")
    Path("my, pictures").mkdir()
    Image.fromarray(noise[::-1]).save("my, pictures/a 'cat'.png")
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "group(a, [5:1, 9:-0.5])",
        "group(a, [5:1, 9:0.1], region=[0, 4, 0, 8])",
        "direction(a, v.npy)",
        "direction(a, v.safetensors, cosine_power=0.123456789)",
        "direction(a, [1, -0.5, 0.1], cosine_power=2, position=center)",
        "direction(a, v.npy, position=[1, 4])",
        'direction("my conv", v.npy)',
        'group("a,b", [0:1])',
        'diversity("my conv")',
        'deepdream("a=b")',
        "caricature(a, cat.png)",
        "caricature(a, cat.png, cosine_power=0)",
        "inversion(a, cat.png)",
        "activation_difference(a, cat.png)",
        "style(a, cat.png)",
        "style(a, \"my, pictures/a 'cat'.png\")",
        "facet(b:3, a, v.npy)",
        "facet(b:3 + 2*b:1@center, a, [1, 2], strength=0.5)",
        "a:1 - 0.5*facet((b:3) * (b:1), a, v.npy) + 2*group(a, [5:1])",
    ],
)
def test_labels_read_back(text):
    made = parse_expression(text)
    assert made.label == text
    assert parse_expression(made.label) == made


def test_what_a_text_means():
    assert parse_expression("group(a, [5, 9])") == group("a", [5, 9])
    assert parse_expression("group(a, [5: 1, 9: -0.5])") == group("a", {5: 1.0, 9: -0.5})
    assert group("a", [5, 5]) == group("a", {5: 2.0})
    made = parse_expression("direction(a, v.npy, cosine_power=2)")
    assert made.vector.tolist() == torch.tensor(VECTOR).tolist()
    assert made != direction("a", VECTOR, cosine_power=2)  # another name, and so another label
    assert direction("a", Path("v.npy")) == direction("a", "v.npy")
    assert parse_expression("direction(a, v.safetensors)").vector[3] == 3.5


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=9).filter(any))
def test_numbers_read_back_exactly(values):
    made = parse_expression(f"direction(a, {numbers(values)})")
    assert made.vector.tolist() == torch.tensor(values).tolist()
    assert parse_expression(made.label) == made


def test_home_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_expression("direction(a, ~/v.npy)").vector[3] == 3.5


def test_tensors_have_labels_that_are_refused():
    photo = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    for made in (
        direction("a", torch.ones(4)),
        o.style("a", photo),
        o.facet(channel("b", 1), "a", torch.ones(4)),
    ):
        assert re.search(r"tensor-[0-9a-f]{6}", made.label)
        with pytest.raises(ObjectiveError, match="stands for a tensor that was given in Python"):
            parse_expression(made.label)
    with unchecked():  # an array is taken as a tensor is
        assert direction("a", np.ones(4, np.float32)) == direction("a", torch.ones(4))
    assert direction("a", torch.ones(4)) == direction("a", torch.ones(4))
    assert direction("a", torch.ones(4)) != direction("a", torch.ones(5))


def write_odd_files():
    np.save("two.npy", np.ones((2, 4)))
    np.save("nan.npy", np.array([1.0, np.nan, np.inf]))
    np.save("huge.npy", np.array([1e200]))
    np.save("zero.npy", np.zeros(3))
    np.save("empty.npy", np.zeros(0))
    np.save("words.npy", np.array(["a"]))
    np.save("flags.npy", np.array([True]))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez("several.npz", a=np.ones(2))
    Path("archive.npy").write_bytes(Path("several.npz").read_bytes())
    save_file({"a": torch.ones(2), "b": torch.ones(2)}, "two.safetensors")
    Path("cut.npy").write_bytes(Path("v.npy").read_bytes()[:-5])
    Path("cut.safetensors").write_bytes(Path("v.safetensors").read_bytes()[:-1])
    Path("pickled.npy").write_bytes(pickle.dumps([1.0]))


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        ("abcd", "there is no file 'abcd'; a direction is one of .npy .safetensors"),
        ("two.npy", r"a direction from 'two.npy' must be one row .* got shape \(2, 4\)"),
        ("nan.npy", "finite numbers, not all zero; got 2 of 3 that are not finite"),
        ("huge.npy", "got 1 of 1 that are not finite"),
        ("zero.npy", "got 3 zeros"),
        ("empty.npy", "got 0 zeros"),
        ("words.npy", "cannot read 'words.npy' as .npy"),
        ("flags.npy", "torch.bool"),
        ("objects.npy", "cannot read 'objects.npy' as .npy: .*allow_pickle=False"),
        ("archive.npy", "cannot read 'archive.npy' as .npy"),
        ("several.npz", "neither .npy nor .safetensors; save it with numpy.save"),
        ("cat.png", "neither .npy nor .safetensors"),
        ("two.safetensors", r"must hold a single tensor, holds 2 \(a, b\)"),
        ("cut.npy", "cannot read 'cut.npy' as .npy"),
        ("cut.safetensors", "cannot read 'cut.safetensors' as .safetensors"),
        ("pickled.npy", "cannot read 'pickled.npy' as .npy"),
        ("my, pictures", "there is no file 'my, pictures'"),
        ("v\0.npy", "cannot read|there is no file"),
    ],
)
def test_bad_vector_files(vector, said):
    write_odd_files()
    with pytest.raises(ObjectiveError, match=said):
        direction("a", vector)
    with pytest.raises(ObjectiveError, match=f"(?s)(?:{said}).*\\^"):
        parse_expression(f"1 * direction(a, '{vector}')")


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.sampled_from(["v.npy", "v.safetensors"]))
def test_broken_files_give_vectors_or_errors(place, value, name):
    files = {"v.npy": io.BytesIO(), "v.safetensors": io.BytesIO()}
    np.save(files["v.npy"], np.array(VECTOR))
    save_file({"v": torch.tensor(VECTOR)}, "whole.safetensors")
    files["v.safetensors"].write(Path("whole.safetensors").read_bytes())
    content = bytearray(files[name].getvalue())
    content[place % len(content)] = value
    Path(f"broken-{name}").write_bytes(bytes(content))
    try:
        made = as_vector(f"broken-{name}", what="a direction")
    except ObjectiveError:
        return
    assert made.vector.isfinite().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("style(a, dog.png)", "there is no file 'dog.png'; a photograph is a picture file"),
        ("style(a)", "style needs photo"),
        ("direction(a, [])", "got 0 zeros"),
        ("direction(a, [1, x])", "must be a list such as .1, 2. or a word"),
        ("direction(a, [1], cosine_power=-1)", "cosine_power must be 0 or more"),
        ("caricature(a, cat.png, cosine_power=-1)", "cosine_power must be 0 or more"),
        ("group(a, [])", "at least one channel"),
        ("group(a, 5)", r"a list such as \[5:1, 9:-0.5\] or a list such as \[1, 2\]; got '5'"),
        ("group(a, [5:1, 5:2])", "'weights' of group must be a list such as"),
        ("group(a, [5:1, 9])", "'weights' of group must be a list such as"),
        ("group(a, [5:])", "expected an argument"),
        ("group(a, [5:1], region=[0, 4])", "'region' of group must be"),
        ("facet(b:1, a)", "facet needs direction"),
        ("facet(b:1, a, [1], strength=x)", "'strength' of facet must be a number"),
    ],
)
def test_bad_texts(text, said):
    with pytest.raises(ObjectiveError, match=said):
        parse_expression(text)


@pytest.mark.parametrize(
    "text",
    ["direction(a, '/etc/passwd')", "style(a, no.png)", "facet(b:1, a, v.npy)", "2*style(a, x)"],
)
def test_files_can_be_left_out_and_then_none_is_looked_for(text):
    with without_files(), pytest.raises(ObjectiveError, match="files cannot be named here"):
        parse_expression(text)
    with without_files():
        assert parse_expression("direction(a, [1, 2])").label == "direction(a, [1, 2])"


def test_bad_values_in_python():
    with pytest.raises(ObjectiveError, match="the weight of channel 3 of 'a' is nan"):
        group("a", {3: float("nan")})
    with unchecked(), pytest.raises(ObjectiveError, match=r"a photograph must be .* got \(8, 8\)"):
        o.style("a", torch.rand(8, 8))
    with (
        unchecked(),
        pytest.raises(ObjectiveError, match="must be a tensor, a list of numbers, or the name"),
    ):
        as_vector([[1.0], [2.0, 3.0]], what="a direction")


def test_a_file_that_is_no_picture_ends_before_the_first_step():
    with pytest.raises(PictureError, match=r"cannot read 'v\.npy' as a picture"):
        list_labels(small_model(), "style(block, v.npy)", config=RenderConfig(size=32))


def test_a_photograph_in_a_file_is_cut_to_the_size():
    model = small_model()
    made = o.inversion("block", "cat.png").prepared(model, size=(32, 32))
    seen = featviz.images.read_photo("cat.png", (32, 32))
    with torch.no_grad():
        assert made.score(model.record(seen[None], ["block"])).item() == pytest.approx(0, abs=1e-6)


@pytest.fixture
def command(capsys):
    return make_command(capsys)


# ---- records -------------------------------------------------------------------------------------


@pytest.fixture
def weights():
    save_file(small_net().state_dict(), "small.safetensors")
    return "small.safetensors"


@pytest.mark.parametrize(
    "text",
    [
        "direction(late, v.npy)",
        "late:1 + style(block, cat.png)",
        "facet(late:1, block, [1, 0, 0, -1, 0, 2, 0, 0])",
        "group(late, [0:1, 2:-0.5], region=[0, 2, 0, 2])",
    ],
)
def test_the_record_makes_it_again(weights, text, command):
    code, out, err = command("render", FACTORY, text, "--weights", weights, *QUICK)
    assert code == 0, err
    file = out.split("\n")[0]
    assert read_record(file)["image"]["unit"] == text
    again = ["--allow-factory", "--reproduce", "again"]
    assert command("show", file, *again)[:2] == (0, "the same bytes\n")


def test_a_changed_file_is_refused(weights, command):
    code, out, err = command(
        "render", FACTORY, "direction(late, v.npy)", "--weights", weights, *QUICK
    )
    assert code == 0, err
    file = out.split("\n")[0]
    assert len(read_record(file)["ran"]["files"]["v.npy"]) == 64
    np.save("v.npy", np.ones(4))
    code, _, err = command("show", file, "--allow-factory", "--reproduce", "again")
    assert code == 2
    assert "'v.npy' has changed since the render took it" in err
    code, _, err = command("metrics", "out", "--allow-factory")
    assert code == 2
    assert "has changed" in err
    Path("v.npy").unlink()
    code, _, err = command("show", file, "--allow-factory", "--reproduce", "again")
    assert code == 2
    assert "took 'v.npy', which cannot be read" in err
    assert not Path("again").exists()
    with pytest.raises(RecordError, match="cannot be read"):
        check_files(read_record(file)["ran"]["files"])


def test_renders_of_texts_are_measured(weights, command):
    texts = [
        "direction(late, v.npy)",
        "style(block, cat.png)",
        "facet(late:1, block, [1,0,0,0,0,0,0,0])",
    ]
    code, _, err = command("render", FACTORY, *texts, "--weights", weights, *QUICK)
    assert code == 0, err
    Path("photos").mkdir()
    for k in range(3):
        noise = np.random.default_rng(k).integers(0, 256, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(noise).save(f"photos/{k}.png")
    words = ["metrics", "out", "--images", "photos", "--allow-factory", "--independent", FACTORY]
    code, out, err = command(*words)
    assert code == 0, err
    assert out.count("late") + out.count("block") >= 3


def test_every_line_of_the_readme_renders(command):
    # A few seconds, because the README names sites of a real network.
    readme = (REPO / "README.md").read_text("utf-8")
    table = readme.split("| text | what is maximised |\n")[1].split("\n\n")[0]
    texts = [
        text
        for row in table.splitlines()[1:]
        for text in re.findall(r"`([^`]+)`", row[2:].split(" | ")[0])
    ]
    named = set(re.findall(r"(\w+)\(", " ".join(texts)))
    assert named == set(TEXT_FUNCTIONS)
    np.save("v.npy", np.random.default_rng(0).normal(size=256))
    quick = ["--steps", "1", "--precision", "float32", "-q"]
    joint = [text for text in texts if parse_expression(text).joint]
    assert len(joint) == 3
    clear = [text for text in texts if "opacity" in text]
    assert command("render", "squeezenet1_1", *clear, "--alpha", "0", *quick, "-o", "clear")[0] == 0
    rest = [text for text in texts if text not in joint + clear]
    assert command("render", "squeezenet1_1", *rest, *quick)[0] == 0
    code, _, err = command(
        "render", "squeezenet1_1", *joint, "--images", "2", *quick, "-o", "joint"
    )
    assert code == 0, err


def test_the_facet_of_the_readme(command):
    readme = (REPO / "README.md").read_text("utf-8")
    (first, second) = re.findall(
        r"^featviz ((?:facet|render) .*church.npy.*)$", readme, re.MULTILINE
    )
    for k, name in enumerate(("churches", "others")):
        Path(name).mkdir()
        for j in range(2):
            noise = np.random.default_rng([k, j]).integers(0, 256, (240, 240, 3), dtype=np.uint8)
            Image.fromarray(noise // (1 + k)).save(f"{name}/{j}.png")
    code, out, err = command(*shlex.split(first))
    assert (code, out) == (0, "church.npy: 256 channels, from 2 and 2 photographs\n"), err
    assert np.load("church.npy").shape == (256,)
    assert np.linalg.norm(np.load("church.npy")) == pytest.approx(1, abs=1e-6)
    code, _, err = command(*shlex.split(second), "--steps", "1", "-q")
    assert code == 0, err
    code, _, err = command(*shlex.split(first))
    assert code == 2
    assert "'church.npy' exists; choose another name or pass --overwrite" in err
    code, _, err = command(*shlex.split(first.replace("church.npy", "church.txt")))
    assert code == 2
    assert "must end in .npy" in err
