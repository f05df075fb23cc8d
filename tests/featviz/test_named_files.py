"""A picture is not made again from files that have changed."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from featviz.cli import run
from featviz.config import RenderConfig
from featviz.errors import PictureError, RecordError
from featviz.named_files import check_files, hash_files
from featviz.params import PARAMETERISATIONS
from featviz.params.base import FILE_SETTINGS
from featviz.record import read_record
from nets import small_net


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name in ("start.png", "mask.png"):
        Image.fromarray(drawn).save(name)
    assert run(["spectrum", "start.png", "--size", "16", "-o", "mine.npz"]) == 0
    save_file(small_net().state_dict(), "small.safetensors")


def sha256(name):
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def test_every_file_of_the_settings_is_hashed():
    config = RenderConfig(start="start.png", mask="mask.png", param="pixels:colors=mine.npz")
    names = ["start.png", "mask.png", "mine.npz"]
    assert hash_files(config) == {name: sha256(name) for name in names}
    assert hash_files(RenderConfig()) == {}


@pytest.mark.parametrize("kind", PARAMETERISATIONS.values(), ids=lambda kind: kind.name)
def test_no_setting_that_names_a_file_is_forgotten(kind):
    texts = {name for name, value in vars(kind()).items() if isinstance(value, str)}
    assert texts <= set(FILE_SETTINGS)
    for name in texts:
        assert kind(**{name: "mine.npz"}).files == ("mine.npz",)
    assert kind().files == ()


def test_files_that_cannot_be_read():
    with pytest.raises(PictureError, match=r"cannot read 'no.png': No such file.*; give a file"):
        hash_files(RenderConfig(start="no.png"))
    with pytest.raises(RecordError, match=r"took 'no.png', which cannot be read: No such.*put it"):
        check_files({"no.png": "00"})
    with pytest.raises(RecordError, match=r"'mask.png' has changed since .*00\.\.\. then\); put"):
        check_files({"start.png": sha256("start.png"), "mask.png": "00"})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--start", "start.png"], "start.png"),
        (["--mask", "mask.png"], "mask.png"),
        (["--param", "maco:spectrum=mine.npz"], "mine.npz"),
    ],
)
def test_reproduce_refuses_a_changed_file(options, name, capsys):
    words = ["render", "nets:SmallNet", "late:0", "--weights", "small.safetensors", "--size", "32"]
    assert run([*words, *options, "--steps", "2", "--precision", "float32", "-q"]) == 0
    made = "out/nets_SmallNet_late_0.png"
    assert read_record(made)["ran"]["files"] == {name: sha256(name)}
    again = ["show", made, "--allow-factory", "--json", "--reproduce"]
    capsys.readouterr()
    assert run([*again, "one"]) == 0
    assert json.loads(capsys.readouterr().out)["same_bytes"] is True
    Path(name).write_bytes(Path(name).read_bytes() + b"\0")
    assert run([*again, "two"]) == 2
    assert f"'{name}' has changed since the render took it" in capsys.readouterr().err
