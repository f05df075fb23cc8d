"""The app in a process of its own: one App a process is what Streamlit allows."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_S = 60


@contextmanager
def serve(*words: str | Path) -> Iterator[str]:
    """Run `featviz app` with some arguments, and give its address once it answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "featviz", "app", "--no-browser", "--port", str(port)]
    base = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*command, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                urllib.request.urlopen(f"{base}/_stcore/health", timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.1)
        yield base
    finally:
        process.kill()
        process.wait()
