"""The server's end of the process that renders: started when needed, killed when told."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from multiprocessing import connection
from typing import Protocol

from app.render_task import Message, Task, Warm
from featviz.errors import RenderError

SILENCE_S = 300.0
"""After so long without a sign the process counts as lost."""
_GRACE_S = 5.0


class Host(Protocol):
    """What renders."""

    def begin(self, task: Task | Warm) -> None:
        """Hand a task over, or tell of one that is likely."""

    def receive(self) -> Message:
        """Return the next message."""

    def kill(self) -> None:
        """End what is rendered."""

    def close(self) -> None:
        """End everything."""


class RenderHost:
    """A process that renders, started with the first task and again after it ended.

    One thread begins, receives and closes; any thread may kill.

    Args:
        module: What the process runs.
        silence_s: After so long without a message the render has failed.
    """

    def __init__(self, module: str = "app.render_process", *, silence_s: float = SILENCE_S) -> None:
        self._module, self._silence_s = module, silence_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: connection.Connection | None = None
        self._alive: int | None = None
        self._unheard: Task | None = None

    @property
    def pid(self) -> int | None:
        """Of the process; None if there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def begin(self, task: Task | Warm) -> None:
        """Hand a task over.

        Args:
            task: What to do.

        Raises:
            RenderError: If the process cannot start.
        """
        self._unheard = task if isinstance(task, Task) else None
        if self._offer(task):
            return
        self.close()
        self._start()
        if not self._offer(task):
            raise RenderError(f"the process that renders ended at once: {self._fate()}")

    def receive(self) -> Message:
        """Return the next message, the last of which is no preview.

        Raises:
            RenderError: If the process ended, or is silent for too long.
        """
        try:
            message = self._next()
        except (EOFError, OSError) as error:
            task, self._unheard = self._unheard, None
            fate, idle = self._fate(), self._process is not None and self._process.poll() == 0
            self.close()
            if not idle or task is None:
                raise RenderError(f"the process that renders ended: {fate}") from error
            # It left for want of work just as the task came.
            self.begin(task)
            self._unheard = None
            return self.receive()
        self._unheard = None
        return message

    def _next(self) -> Message:
        if self._pipe is None:
            raise EOFError
        if not self._pipe.poll(self._silence_s):
            self.kill()
            raise RenderError(
                f"the render gave no sign for {self._silence_s:.0f} s, so it was ended; "
                "choose a smaller size or fewer images"
            )
        message = self._pipe.recv()
        assert isinstance(message, Message)
        return message

    def kill(self) -> None:
        """End the process at once, if there is one; who waits for a message hears of it."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process, and forget it.

        Raises:
            RenderError: If it does not end.
        """
        self.kill()
        with self._lock:
            process, self._process = self._process, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
        if process is None:
            return
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise RenderError(f"the process that renders, {process.pid}, does not end") from error

    def _offer(self, task: Task | Warm) -> bool:
        """Send a task, and tell whether there was somebody."""
        if self._pipe is None or self._process is None or self._process.poll() is not None:
            return False
        try:
            self._pipe.send(task)
        except OSError:
            return False
        return True

    def _start(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                self._pipe, theirs = connection.Pipe()
                stack.callback(theirs.close)
                alive_read, self._alive = os.pipe()
                stack.callback(os.close, alive_read)
                fds = (theirs.fileno(), alive_read)
                # -P: the working directory is no place to import from. A session of its own, so
                # that Ctrl-C in a terminal reaches the server alone.
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", self._module, *map(str, fds)],
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
        except OSError as error:
            raise RenderError(f"no process can be started to render: {error.strerror}") from error

    def _fate(self) -> str:
        """Say how the process ended."""
        process = self._process
        if process is None:
            return "it was killed"
        try:
            code = process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        if code < 0:
            name = signal.Signals(-code).name
            hint = ", perhaps for lack of memory: try a smaller size" * (name == "SIGKILL")
            return f"killed by {name}{hint}"
        return f"exit code {code}; the terminal of the server tells more"
