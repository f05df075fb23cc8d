"""Hold Ctrl-C back until it does no harm: a step is done whole or not at all."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back; yields the function that raises KeyboardInterrupt if one came.

    A second Ctrl-C is raised at once, for code that hangs. Where Ctrl-C does something else than
    Python's own, and in other threads than the main one, which it does not reach, nothing changes.
    """
    came: list[int] = []

    def check() -> None:
        if came:
            came.clear()
            raise KeyboardInterrupt

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            signal.default_int_handler(number, frame)
        came.append(number)

    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield check
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield check
    except Exception as error:
        # Such as memory that ran out, which is tried again with less: the user wanted an end.
        if came:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check()
