"""`featviz app` as far as the server: that one is in test_serving.py."""

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import app.cores
import app.serving
import app.shipped
import featviz.kept_memory
from app.command import app as command
from app.library import Library
from app.shipped import own_atlas
from featviz.atlas.layout import create_layout
from featviz.errors import ConfigError, ModelError, RecordError


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Library, int]]:
    """What the command would have served, instead of serving it."""
    found: list[tuple[Library, int]] = []
    shared: list[bool] = []

    class Server:
        def run(self) -> None:
            assert shared == [True], "threads share a heap if it is said before they start"

    def make(library: Library, *, port: int) -> Server:
        found.append((library, port))
        return Server()

    monkeypatch.setattr(app.serving, "make_server", make)
    # These tests keep their cores, and their heaps.
    monkeypatch.setattr(app.cores, "leave_a_core", lambda: None)
    monkeypatch.setattr(featviz.kept_memory, "share_one_heap", lambda: shared.append(not found))
    return found


def test_it_serves_what_it_is_told_and_says_where(
    started: list[tuple[Library, int]], tmp_path: Path
) -> None:
    root = create_layout(tmp_path / "a").root
    words = [
        str(root),
        "--port",
        "8765",
        "--no-browser",
        "--model",
        "nets:small_net",
        "--renders",
        "r",
    ]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    assert done.output == "http://127.0.0.1:8765  (Ctrl-C ends it)\n"
    ((library, port),) = started
    assert (list(library.roots), library.models, port) == (["a"], ("nets:small_net",), 8765)
    assert library.renders == ("renders", Path("r").resolve())


def test_networks_that_it_is_told_are_loaded_before_the_server_starts(
    started: list[tuple[Library, int]], tmp_path: Path
) -> None:
    root = create_layout(tmp_path / "a").root
    words = [str(root), "--no-browser", "--model", "nets:no_such_net"]
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, ModelError)
    assert started == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system tells no cores")
def test_the_server_leaves_a_core() -> None:
    code = (
        "import os, torch; torch.set_num_threads(64); "
        "from app.cores import leave_a_core; leave_a_core(); "
        "assert torch.get_num_threads() == max(1, len(os.sched_getaffinity(0)) - 1)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("folder", ["assets/atlas", "app/assets/atlas"])  # a checkout, a wheel
def test_without_an_atlas_it_opens_its_own(
    folder: str,
    started: list[tuple[Library, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own = create_layout(tmp_path / folder).root
    monkeypatch.setattr(app.shipped, "__file__", str(tmp_path / "app" / "shipped.py"))
    assert own_atlas() == own
    done = CliRunner().invoke(command, ["--no-browser", "--renders", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    assert list(started[0][0].roots) == ["atlas"]


def test_an_installation_without_assets_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(app.shipped, "__file__", str(tmp_path / "app" / "shipped.py"))
    with pytest.raises(RecordError, match=r"no atlas of its own.*open it with 'featviz app atlas'"):
        own_atlas()


def test_without_streamlit_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def lacking(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "app.serving":
            raise ModuleNotFoundError("No module named 'streamlit.web'", name="streamlit.web")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", lacking)
    done = CliRunner().invoke(command, [str(tmp_path), "--no-browser"])
    assert isinstance(done.exception, ConfigError)
    assert "pip install 'featviz[app]'" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{folder}"], "holds no atlas"),
        (["{folder}/nowhere"], "holds no atlas"),
        (["{atlas}", "{atlas}"], "is named twice"),
        (["{atlas}", "--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["{atlas}", "--prot", "1"], "--prot"),
    ],
)
def test_mistakes_end_with_2_and_a_message(words: list[str], said: str, tmp_path: Path) -> None:
    atlas = create_layout(tmp_path / "atlas").root
    filled = [word.format(folder=tmp_path, atlas=atlas) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "featviz", "app", *filled, "--no-browser"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
