"""Work done by a few threads ahead of the one that needs it, in order, with bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def read_ahead(
    work: Callable[[_In], _Out], items: Iterable[_In], *, threads: int, ahead: int
) -> Generator[_Out, None, None]:
    """Yield what a function gives for each item, in their order.

    Args:
        work: The function; what it raises is raised here, in its turn.
        items: Its arguments, taken as they are needed.
        threads: How many work at a time.
        ahead: Most items in work or waiting to be taken.
    """
    waiting: deque[Future[_Out]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="featviz-reader")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
