import subprocess
import sys
import time
from pathlib import Path

import pytest

from featviz.atlas.lock_files import locked

HOLD = """
import sys, time
from pathlib import Path
from featviz.atlas.lock_files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_once_and_freed_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        begun = time.monotonic()
        with pytest.raises(BlockingIOError), locked(path, wait_s=0.2):
            pass
        assert time.monotonic() - begun >= 0.2
        holder.kill()
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        pass
    with locked(path):
        pass


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "x.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "x.lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()
