"""A process that renders for another one: `python -m featviz.atlas.building.process PIPE ALIVE`.

It loads the model once, says that it is ready, and answers each batch with what became of it. It
ends when its driver does, also if that was killed: the other end of ALIVE closes then.
"""

import contextlib
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection


def serve(pipe: Connection) -> None:
    """Answer batches until the other end closes.

    Args:
        pipe: First a `Setup` comes in; None goes out once the model is loaded, or the error.
    """
    from featviz.atlas.building.worker import Worker
    from featviz.errors import FeatvizError

    setup = pipe.recv()
    try:
        worker = Worker(setup)
    except FeatvizError as error:
        pipe.send(error)
        return
    pipe.send(None)
    while True:
        pipe.send(worker.render(pipe.recv()))


def _end_with_driver(alive: int) -> None:
    os.read(alive, 1)
    os._exit(1)


def main() -> None:
    """Serve the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    pipe, alive = map(int, sys.argv[1:])
    threading.Thread(target=_end_with_driver, args=(alive,), daemon=True).start()
    # What a network prints must not come between the results of the driver.
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(EOFError, OSError):
        serve(Connection(pipe))


if __name__ == "__main__":
    main()
