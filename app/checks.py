"""Checks of circuits: in threads of their own, one at a time, shared by all who look at one.

Whoever waits for a check looks at it again and again; one that nobody looks at ends.
"""

import atexit
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from circuits.graphs.check import CircuitCheck
from circuits.graphs.check_progress import Tell
from featviz.errors import FeatvizError

Work = Callable[[Tell], CircuitCheck]
_POLL_S = 0.2


class _LeftAloneError(Exception):
    """Nobody looks any more."""


@dataclass(eq=False)
class Check:
    """One check. Its thread changes it; pages read it.

    Attributes:
        looked: When somebody looked, by a clock that never goes back, s.
        waiting: Whether another one must end first.
        share: How far it is, 0..1.
        found: What it found.
        error: Why it could not be made.
    """

    looked: float
    waiting: bool = False
    share: float = 0.0
    found: CircuitCheck | None = None
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is something to be shown."""
        return self.found is not None or bool(self.error)


class Checks:
    """Checks of everybody.

    Args:
        patience_s: A check that nobody has looked at for so long ends.
        most: Ended ones that are kept.
    """

    def __init__(self, *, patience_s: float = 5.0, most: int = 16) -> None:
        self._patience_s, self._most = patience_s, most
        self._checks: dict[Hashable, Check] = {}
        self._changing, self._turn = threading.Lock(), threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._closed = False

    def ended(self, key: Hashable) -> Check | None:
        """Return a check that has ended; None if there is none, or not yet."""
        with self._changing:
            check = self._checks.get(key)
            return check if check is not None and check.ended else None

    def look(self, key: Hashable, work: Work) -> Check:
        """Return a check, begun now if it was not; who waits for it must look again within seconds.

        Args:
            key: Tells what is checked.
            work: Checks it, in another thread.
        """
        with self._changing:
            check = self._checks.get(key)
            if check is None:
                self._forget()
                check = self._checks[key] = Check(time.monotonic())
                words = (key, check, work)
                thread = threading.Thread(target=self._run, args=words, daemon=True, name="check")
                self._threads = {each for each in self._threads if each.is_alive()} | {thread}
                thread.start()
            check.looked = time.monotonic()
            return check

    def close(self, *, patience_s: float = 30.0) -> None:
        """End all checks and wait for them; Python must not end while one is within torch."""
        with self._changing:
            self._closed = True
        for thread in self._threads:
            thread.join(patience_s)

    def _forget(self) -> None:
        ended = [key for key, check in self._checks.items() if check.ended]
        for key in ended[: max(0, len(ended) - self._most + 1)]:
            del self._checks[key]

    def _run(self, key: Hashable, check: Check, work: Work) -> None:
        def tell(done: int, parts: int) -> None:
            with self._changing:
                if self._closed or time.monotonic() - check.looked > self._patience_s:
                    del self._checks[key]
                    raise _LeftAloneError
            check.share = done / parts

        try:
            while not self._turn.acquire(timeout=_POLL_S):
                check.waiting = True
                tell(0, 1)
            check.waiting = False
            try:
                check.found = work(tell)
            finally:
                self._turn.release()
        except _LeftAloneError:
            pass
        except FeatvizError as error:
            check.error = str(error)
        except Exception as error:  # noqa: BLE001 - it is told, and the server goes on
            check.error = f"the check failed: {type(error).__name__}: {error}"


CHECKS = Checks()
"""Those of this process."""
atexit.register(CHECKS.close)
