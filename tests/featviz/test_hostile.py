"""Input that nobody means: each gets an answer that says what to do, before the work."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featviz.cli import run
from featviz.record import read_record

MODEL = ["nets:SmallNet", "--weights", "random"]
RENDER = ["render", *MODEL, "late:0", "--size", "32", "--steps", "1", "-q"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("a.png")
    Path("empty.png").touch()
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("table.toml").write_text("render = 3\n")
    Path("broken").mkdir()
    for k in range(2):
        Path("broken", f"{k}.png").write_bytes(b"no picture")


BAD = [
    ([*RENDER, "--seed", "9" * 30], "seed must be at most 18446744073709551615, got 999"),
    ([*RENDER, "--size", "9" * 20], "size must be at most 2147483647 px, got 999"),
    ([*RENDER, "--images", "99999999999"], r"images of 32x32 px take [\d,]+ GB together, .*fewer"),
    ([*RENDER, "--config", "table.toml"], r"'render' in 'table.toml' must be a table \[render\], "),
    ([*RENDER, "--config", "folder"], "cannot read 'folder': Is a directory"),
    ([*RENDER, "--start", ""], "start is empty; name a file or folder, or leave it out"),
    ([*RENDER, "--contrast", ""], "contrast is empty"),
    ([*RENDER, "--start", "folder"], "cannot read 'folder' as a picture: it is a folder"),
    ([*RENDER, "--start", "empty.png"], "its format is not known; give a whole picture"),
    ([*RENDER, "--mask", "loop"], "cannot read 'loop' as a picture: there is no such file"),
    ([*RENDER, "--param", "maco:spectrum=a.png"], "is no file of featviz spectrum: no .npz"),
    ([*RENDER, "--param", "maco:spectrum=folder"], "'folder' is no file of featviz spectrum"),
    ([*RENDER, "--param", "fourier:sd=1,sd=2"], "sd is set twice"),
    ([*RENDER, "--transforms", "lucid,jitter:3"], "preset 'lucid' .* stand alone; .*: jitter:8,sc"),
    ([*RENDER, "--transforms", "none,jitter:3"], "preset 'none' .* stand alone; leave it out"),
    ([*RENDER, "-o", "a.png"], "cannot make the folder 'a.png'"),
    ([*RENDER, "-o", "a.png/b"], "cannot make the folder 'a.png/b'"),
    ([*RENDER, "-o", "loop"], "cannot make the folder 'loop'"),
    ([*RENDER, "-o", "x" * 300], "cannot make the folder 'x+': File name too long"),
    ([*RENDER, "--device", "meta"], "cannot use device 'meta', which computes nothing"),
    (["demo", "-o", "a.png"], "'a.png' is no folder; choose another"),
    (["gallery", "--model", *MODEL, "-o", "a.png", "--units", "late:0"], "'a.png' is no folder"),
    (["gallery", "--model", *MODEL, "--units", "late:0", "--images", "broken"],
     "cannot read 'broken/0.png' as a picture: its format is not known"),
    (["spectrum", "a.png", "-o", "folder", "--overwrite"], "'folder' is no file that could be rep"),
    (["spectrum", "a.png", "-o", "/dev/null", "--overwrite"], "'/dev/null' is no file that could"),
    (["spectrum", "a.png", "-o", "x" * 300, "--size", "16", "--axes", "lucid"],
     "cannot write 'x+': File name too long"),
    (["sites", *MODEL, "--channels", "7"], "cannot run on a 7x224x224 image"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), BAD, ids=lambda value: " ".join(value)[-50:])
def test_bad_input(words, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("featviz.rendering.ascend", None)
    before = sorted(tmp_path.rglob("*"))
    assert run(words) == 2
    shown = capsys.readouterr()
    assert re.search(message, shown.err), shown.err
    assert shown.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def environment(**more):
    path = os.pathsep.join(part for part in sys.path if part)
    return os.environ | {"PYTHONPATH": path} | more


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_streams_that_are_closed():
    line = " ".join([sys.executable, "-m", "featviz", *RENDER])
    for closing in ("2>&-", "--json >&- 2>&-"):
        shell = f"{line} -o out{len(closing)} {closing}"
        done = subprocess.run(["sh", "-c", shell], env=environment(), check=False)
        assert done.returncode == 0, closing
        assert Path(f"out{len(closing)}", "nets_SmallNet_late_0.png").is_file()


def test_too_many_steps(capsys):
    assert run([*RENDER, "--steps", "99999999999"]) == 1
    assert "over 99999999999 steps; choose a smaller size or fewer steps" in capsys.readouterr().err


def test_a_disk_that_is_full_leaves_no_half_file(monkeypatch, capsys):
    def full(path, content):
        with path.open("wb") as file:
            file.write(content[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(["spectrum", "a.png", "-o", "b.npz", "--size", "16", "--axes", "lucid"]) == 2
    assert "cannot write 'b.npz': No space left on device" in capsys.readouterr().err
    assert run([*RENDER, "-o", "out"]) == 2
    assert not Path("b.npz").exists()
    assert list(Path("out").iterdir()) == []
    assert list(Path().glob(".*")) == []


def test_reproducing_again_and_into_the_same_folder(capsys):
    assert run(RENDER) == 0
    words = ["show", "out/nets_SmallNet_late_0.png", "--allow-factory", "--reproduce"]
    assert run([*words, "out/../out"]) == 2
    assert "itself; choose another folder" in capsys.readouterr().err
    assert run([*words, "again"]) == 0
    assert run([*words, "again"]) == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert run([*words, "again", "--overwrite"]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text():
    # In processes of their own, since it is their streams that are looked at.
    name, output = os.fsdecode(b"n\xff.png"), os.fsdecode(b"o\xff")
    Path("a.png").rename(name)
    words = [sys.executable, "-m", "featviz", *RENDER, "--start", name, "--overwrite"]
    for more, encoding in (["-o", output], "utf-8"), (["-o", output, "--json"], "ascii"):
        done = subprocess.run(
            [*words, *more],
            env=environment(PYTHONIOENCODING=encoding),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"nets_SmallNet_late_0.png" in done.stdout
    assert read_record(Path(output) / "nets_SmallNet_late_0.png")["config"]["start"] == name
