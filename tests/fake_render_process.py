"""Stands in for app.render_process in tests: does at once what the text of a task says."""

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from app.render_task import Finished, Preview, Refused, Rendered, Task, Warm


def preview(step: int) -> Preview:
    return Preview(("a:0",), step, (float(step),), ("data:,x",), (0.1, 0.2), ((2.0, 1.0),))


def finished(task: Task) -> Finished:
    own = {"unit": "a:0", "objective": "a:0", "score": 1.5, "dead": False, "metrics": {}}
    image = Rendered("net_a_0", own, b"png", b"webp", "data:,y", (8, 8))
    shared = {"model": {"name": task.model, "weights_sha256": "0" * 64}, "config": {}, "ran": {}}
    return Finished((image,), shared, {"a:0": (1.0, 2.0)}, (0.1, 0.2), {"a:0": (2.0, 1.0)}, 0.5)


def act(pipe: Connection, task: Task) -> None:
    if task.text == "left" and not Path(task.config["mark"]).exists():
        Path(task.config["mark"]).touch()
        os._exit(0)
    if task.text == "gone":
        os._exit(0)
    pipe.send(preview(1))
    if task.text == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.text == "leave":
        sys.exit(3)
    if task.text == "silent":
        time.sleep(60)
    step = 2
    while task.text == "endless":
        pipe.send(preview(step))
        step += 1
        time.sleep(0.02)
    pipe.send(Refused("unknown site") if task.text == "refused" else finished(task))


def main() -> None:
    pipe, alive = Connection(int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=lambda: (os.read(alive, 1), os._exit(1)), daemon=True).start()
    while True:
        task = pipe.recv()
        if not isinstance(task, Warm):
            act(pipe, task)


if __name__ == "__main__":
    main()
