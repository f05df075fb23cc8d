import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from commands import make_command

from atlas_builds import check_clean, files, lines
from counted_net import BROKEN, FILE, SLEEP, noted
from featviz.atlas.building.builder_lock import Builder, build_lock
from featviz.atlas.layout import create_layout

SMALL = ("--sites", "stem", "--steps", "2", "--size", "32", "--precision", "float32")
TESTS = Path(__file__).parents[3]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Any:
    return make_command(capsys)


def test_build_status_and_resume(command: Any, tmp_path: Path) -> None:
    root = tmp_path / "a"
    words = ("nets:small_net", *SMALL, "--variants", "positive, diverse:2", "--units", "0-3")
    code, out, _ = command("atlas", "build", *words, "-o", root)
    assert (code, out) == (0, "12 of 12 images are there, 12 of them new\n")
    code, out, _ = command("atlas", "status", root)
    assert code == 0
    assert "nets:small_net" in out
    assert "12/12" in out
    code, out, _ = command("atlas", "status", root, "--json")
    document = json.loads(out)
    assert (document["running"], document["builder"]["executor"]) == (False, "serial")
    assert document["requests"][0]["to_do"] == 0
    code, out, _ = command("atlas", "resume", root, "--json", "--allow-factory")
    assert (code, json.loads(out)["made"]) == (0, 0)
    check_clean(root)


def test_resume_runs_no_code_that_the_folder_names_unless_told(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a"
    code, _, _ = command("atlas", "build", "nets:small_net", *SMALL, "--units", "0", "-o", root)
    assert code == 0
    (path,) = (root / "requests").iterdir()
    path.write_text(path.read_text().replace("nets:small_net", "planted:net"))
    (tmp_path / "planted.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, err = command("atlas", "resume", root)
    assert code == 2
    assert "'planted:net', whose code would run; if you trust it, add --allow-factory" in err
    assert not (tmp_path / "ran").exists()
    command("atlas", "resume", root, "--allow-factory")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("emptied", [False, True])
def test_pictures_that_are_gone_as_a_whole_are_told(
    command: Any, tmp_path: Path, emptied: bool
) -> None:
    root = tmp_path / "a"
    words = ("nets:small_net", *SMALL, "--units", "0-1", "-o", root)
    assert command("atlas", "build", *words)[0] == 0
    shutil.rmtree(root / "images")
    if emptied:
        (root / "images").mkdir()
    advice = f"'featviz atlas verify {root} --repair' takes the records back"
    assert advice in command("atlas", "status", root)[1]
    assert advice in json.loads(command("atlas", "status", root, "--json")[1])["lost"]
    for again in (("resume", root, "--allow-factory"), ("build", *words)):
        code, _, err = command("atlas", *again)
        assert code == 2
        assert advice in err
    (root / "images").mkdir(exist_ok=True)
    assert command("atlas", "verify", root, "--repair")[0] == 0
    out = command("atlas", "resume", root, "--allow-factory")[1]
    assert out.startswith("2 of 2 images are there, 2 of them new")
    assert json.loads(command("atlas", "status", root, "--json")[1])["lost"] == ""


def test_an_atlas_of_which_nothing_is_asked_says_so(command: Any, tmp_path: Path) -> None:
    root = create_layout(tmp_path / "a").root
    code, out, _ = command("atlas", "status", root)
    assert code == 0
    assert f"nothing is asked of {root} (there is nothing in {root / 'requests'})" in out
    assert f"'featviz atlas build MODEL -o {root}' asks" in out
    assert "model" not in out


def test_progress_is_read_by_programs(command: Any, tmp_path: Path) -> None:
    words = ("nets:small_net", *SMALL, "--batch", "4", "-o", tmp_path / "a", "--progress", "json")
    code, out, _ = command("atlas", "build", *words)
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(e["event"], e.get("done", e.get("images"))) for e in events] == [
        ("progress", 0), ("progress", 4), ("progress", 8), ("end", 8)
    ]  # fmt: skip


def test_a_failed_unit_gives_three(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a"
    code, out, err = command("atlas", "build", "counted_net:raising_net", *SMALL, "-o", root)
    assert code == 3
    assert "7 of 8 images are there" in out
    assert "failed: stem:2 positive: RuntimeError: stem:2 does not like" in err
    assert "'featviz atlas resume' tries them again, three times in all" in err
    _, out, _ = command("atlas", "status", root)
    assert "failed: stem:2 positive: RuntimeError" in out
    assert f"'featviz atlas resume {root}' goes on" in out
    for _ in range(2):
        code, _, err = command("atlas", "resume", root, "--allow-factory")
        assert code == 3
    assert "--retry-failed tries them again" in err
    monkeypatch.setenv(BROKEN, str(tmp_path))
    code, out, err = command("atlas", "build", "counted_net:net", *SMALL, "-o", tmp_path / "b")
    assert (code, out[:6]) == (3, "0 of 8")
    code, out, _ = command("atlas", "resume", tmp_path / "b", "--json", "--allow-factory")
    assert (code, json.loads(out)["failures"][7]["attempt"]) == (3, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "sqeezenet1_1"), "sqeezenet1_1"),
        (("build", "nets:small_net", "--sites", "sten*"), "no site of 'nets:small_net' fits"),
        (("build", "nets:small_net", "--sites", "stem", "--units", "9"), "9"),
        (("build", "nets:small_net", "--variants", "sideways"), "unknown variant 'sideways'"),
        (("build", "nets:small_net", "--executor", "slurm"), "the executor is serial, spawn, ray"),
        (("build", "nets:small_net", "--workers", "3"), "so 3 workers need another"),
        (("build", "nets:small_net", "--format", "gif"), "the format is webp or png"),
        (("resume", "nowhere"), "holds no atlas"),
        (("status", "nowhere"), "holds no atlas"),
    ],
)
def test_bad_input_gives_two(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = command("atlas", *words)
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_a_second_builder_gives_two(command: Any, tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    with build_lock(layout, Builder(4321, "spawn", 2)):
        code, _, err = command("atlas", "build", "nets:small_net", *SMALL, "-o", tmp_path / "a")
        assert code == 2
        assert "another build is at work" in err
        assert "(process 4321)" in err


def test_ctrl_c_says_what_goes_on(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a"
    words = ("atlas", "build", "nets:small_net", *SMALL, "--batch", "2", "-o", root)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("featviz.atlas.building.build.make_atlas_plan", stop)
        code, _, err = command(*words)
    assert (code, err.strip()) == (130, "Interrupted.")
    monkeypatch.setattr("featviz.atlas.building.build._drive", stop)
    code, _, err = command(*words)
    assert code == 130
    assert f"'featviz atlas resume {root}' goes on\n" in err


def test_ctrl_c_on_a_terminal_gives_130_and_resume_goes_on(command: Any, tmp_path: Path) -> None:
    """Slow as it starts Python: a bar is shown on a terminal only, and Ctrl-C is a signal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    notes, root = tmp_path / "noted", tmp_path / "a"
    words = ("counted_net:net", *SMALL, "--batch", "2", "-o", str(root))
    path = os.pathsep.join([str(TESTS), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-m", "featviz", "atlas", "build", *words],
        stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=TESTS,
        env={**os.environ, "PYTHONPATH": path, FILE: str(notes), SLEEP: "0.1"},
    ) as process:  # fmt: skip
        os.close(theirs)
        while len(noted(notes, "step")) < 5:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "/8 images" in shown
    check_clean(root)
    assert 0 < len(lines(root)) < 8
    assert command("atlas", "resume", root, "--allow-factory")[0] == 0
    assert len(files(root)) == 2 * 8
    check_clean(root)
