"""Where a pass over images stands, and how it went: files written whole, one pass at a time."""

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from featviz.atlas.canonical import content_key
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import held_alone
from featviz.atlas.passes.picture_sources import ImageSource
from featviz.atlas.passes.settings import PassReport
from featviz.atlas.store import write_durably
from featviz.errors import RecordError
from featviz.images import make_folder

_META = "pass"

StatePath = str | Path | Callable[[str], Path]
"""A file, or a function that names it by the key of the pass."""


class PassState:
    """The file of one pass.

    Args:
        path: The file; its folder is made when it is written.
        key: Of everything that decides the numbers: another pass must not go on from here.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from the same pass.

        Raises:
            OutputError: If one is at it, or the lock cannot be made.
        """
        make_folder(self.path.parent)
        lock = self.path.with_suffix(".lock")
        busy = f"another process is at this pass ({str(lock)!r} is locked); wait for it, or end it"
        with held_alone(lock, busy=busy):
            yield
            # While it is still locked, so that nobody locks a file without a name.
            lock.unlink(missing_ok=True)

    def save(self, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Write where the pass stands.

        Args:
            about: JSON.
            arrays: By name.

        Raises:
            OutputError: If it cannot be written.
        """
        text = json.dumps({"key": self.key, **about})
        buffer = io.BytesIO()
        everything: dict[str, Any] = {_META: np.frombuffer(text.encode(), np.uint8), **arrays}
        np.savez(buffer, **everything)
        make_folder(self.path.parent)
        write_durably(self.path, buffer.getvalue())

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """Return what `save` wrote; None if it did not.

        Raises:
            RecordError: If the file is damaged, or of another pass.
        """
        try:
            data = self.path.read_bytes()
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            about = json.loads(arrays.pop(_META).tobytes())
            key = about.pop("key")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise RecordError(
                f"cannot go on from {str(self.path)!r}: {error}; delete it to begin anew"
            ) from error
        if key != self.key:
            raise RecordError(
                f"{str(self.path)!r} is of another pass: other images, sites, weights or settings; "
                "delete it to begin anew"
            )
        return about, arrays


def open_state(path: StatePath | None, key: str) -> PassState | None:
    """Return the state of a pass; None where it is not to be saved.

    Args:
        path: The file, or a function that names it by the key.
        key: Of the pass.
    """
    if path is None:
        return None
    return PassState(path(key) if callable(path) else Path(path), key)


def record_pass(
    layout: Layout, about: Mapping[str, Any], report: PassReport, source: ImageSource
) -> None:
    """Write down what a pass was, what it left out and why.

    Args:
        layout: Of the atlas.
        about: All that decides its numbers; its content key names the pass.
        report: How it went.
        source: Where the images came from.

    Raises:
        OutputError: If it cannot be written.
    """
    told = {
        **about,
        "source": source.title,
        **asdict(report),
        "passed_over": asdict(source.passed_over),
    }
    make_folder(layout.passes)
    text = json.dumps(told, indent=1) + "\n"
    write_durably(layout.pass_record(content_key(about)), text.encode())


def forget_state(layout: Layout, key: str) -> None:
    """Take the state of a pass away, once all that it found is recorded."""
    layout.unfinished(key).unlink(missing_ok=True)
