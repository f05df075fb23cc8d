import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from atlas_builds import files, small_request
from featviz.atlas.building.build import build_atlas
from featviz.atlas.building.ray_executor import import_ray
from featviz.errors import ConfigError

TESTS = Path(__file__).parents[3]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed"
)


def test_ray_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigError, match=r"pip install 'featviz\[ray\]', or take --executor spawn"
    ):
        build_atlas(tmp_path / "a", small_request(units="0"), executor="ray")


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "localhost:1"])
def test_a_cluster_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=f"cannot use Ray at RAY_ADDRESS '{address}'.*refused"):
        build_atlas(tmp_path / "a", small_request(units="0"), executor="ray")


def test_a_cluster_that_others_could_reach_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = []
    ray = types.ModuleType("ray")
    ray.is_initialized = lambda: False  # type: ignore[attr-defined]
    ray.init = lambda **given: None  # type: ignore[attr-defined] # noqa: ARG005
    ray.shutdown = lambda: shut.append(True)  # type: ignore[attr-defined]
    ray.util = types.SimpleNamespace(get_node_ip_address=lambda: "192.0.2.7")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert import_ray() is ray
    with pytest.raises(ConfigError, match=r"Ray would listen on 192.0.2.7, where others could run"):
        build_atlas(tmp_path / "a", small_request(units="0"), executor="ray")
    assert shut == [True]


PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from atlas_builds import small_request
from featviz.atlas.building.build import build_atlas, resume_atlas
from featviz.atlas.building.ray_executor import _connect, import_ray

ray = import_ray()
_connect(ray, 1)
listening = []
for line in (*Path("/proc/net/tcp").read_text().splitlines()[1:],
             *Path("/proc/net/tcp6").read_text().splitlines()[1:]):
    fields = line.split()
    if fields[3] == "0A":
        listening.append((fields[9], fields[1].split(":")[0]))
inodes = set()
own = ray.get_runtime_context()
for process in Path("/proc").glob("[0-9]*"):
    try:
        if os.getsid(int(process.name)) != os.getsid(0):
            continue
        for link in (process / "fd").iterdir():
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    except OSError:
        continue
root = sys.argv[1]
build_atlas(root + "/own", small_request(units="0-1"), executor="ray")
words = [sys.executable, "-m", "featviz", "atlas", "build", "nets:small_net", "--sites", "stem",
         "--units", "0-1", "--steps", "2", "--size", "32", "--precision", "float32", "--batch", "4",
         "--device", "cpu", "-o", root + "/joined", "--executor", "ray"]
joined = subprocess.run(words, env={**os.environ, "RAY_ADDRESS": own.gcs_address})
print(json.dumps([sorted(host for inode, host in listening if inode in inodes),
                  joined.returncode, ray.is_initialized()]))
ray.shutdown()
"""


@needs_ray
@pytest.mark.slow  # Ray starts
def test_ray_listens_here_alone_and_a_cluster_can_be_joined(tmp_path: Path) -> None:
    """In a process of its own, as what listens is told by its session."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment, stdout=subprocess.PIPE, text=True, check=True, start_new_session=True,
    )  # fmt: skip
    hosts, code, running = json.loads(done.stdout.splitlines()[-1])
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert hosts
    assert set(hosts) <= loopback
    # Who finds a cluster, whether at RAY_ADDRESS or in this process, leaves it running.
    assert (code, running) == (0, True)
    build_atlas(tmp_path / "serial", small_request(units="0-1"))
    assert files(tmp_path / "own") == files(tmp_path / "serial") == files(tmp_path / "joined")
