"""Where everything lies in the folder of an atlas.

    atlas.json              format of the folder
    requests/KEY.json       what was asked for, one a build; `resume` needs nothing else
    records/WRITER.jsonl    what was made: the truth
    images/ab/KEY.webp      pictures, by key; PNG where asked
    thumbs/ab/KEY.webp      small ones
    examples/ab/KEY.webp    photographs and what units saw of them; KEY is the SHA-256 of the file
    passes/KEY.json         a pass over photographs: its settings, what was skipped and why
    passes/KEY.npz          where it stands; gone when it is done
    index.sqlite            made of the records, at any time anew
    index.lock, build.lock  held by who writes the index, and by who builds

Names are made of keys alone, so that nothing in a record can point elsewhere.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from featviz.atlas.canonical import is_key
from featviz.errors import OutputError, RecordError
from featviz.images import make_folder, write_file

FORMAT = 1
FORMATS = ("webp", "png")
"""Kinds of picture files, the default first."""

THUMB_PX = 96
"""Longer side of the small pictures, unless another is asked for."""

_FOLDERS = ("requests", "records", "images", "thumbs")
_LOG = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,120}\.jsonl\Z")


@dataclass(frozen=True)
class Layout:
    """The folder of an atlas.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def requests(self) -> Path:
        """Folder of what was asked for."""
        return self.root / "requests"

    @property
    def records(self) -> Path:
        """Folder of the logs."""
        return self.root / "records"

    @property
    def images(self) -> Path:
        """Folder of the pictures."""
        return self.root / "images"

    @property
    def thumbs(self) -> Path:
        """Folder of the small pictures."""
        return self.root / "thumbs"

    @property
    def build_lock(self) -> Path:
        """Held by who adds images, or removes any."""
        return self.root / "build.lock"

    @property
    def index_lock(self) -> Path:
        """Held by who writes the index."""
        return self.root / "index.lock"

    @property
    def examples(self) -> Path:
        """Folder of photographs and crops."""
        return self.root / "examples"

    @property
    def passes(self) -> Path:
        """Folder of unfinished passes over photographs."""
        return self.root / "passes"

    @property
    def index(self) -> Path:
        """The index."""
        return self.root / "index.sqlite"

    def image(self, key: str, kind: str) -> Path:
        """Return where the picture of a key lies.

        Raises:
            RecordError: If the key or the kind of file is none.
        """
        if kind not in FORMATS:
            raise RecordError(f"{kind!r} is no kind of picture; an atlas has {', '.join(FORMATS)}")
        return self.images / _below(key, kind)

    def thumb(self, key: str) -> Path:
        """Return where the small picture of a key lies.

        Raises:
            RecordError: If the key is none.
        """
        return self.thumbs / _below(key, "webp")

    def log(self, name: str) -> Path:
        """Return where the log of a name lies.

        Raises:
            RecordError: If the name is not that of a log.
        """
        if not is_log_name(name):
            raise RecordError(f"{name!r} is no log; delete {str(self.index)!r}, it is made anew")
        return self.records / name

    def example(self, key: str) -> Path:
        """Return where a photograph or crop lies.

        Raises:
            RecordError: If the key is none.
        """
        return self.examples / _below(key, "webp")

    def unfinished(self, key: str) -> Path:
        """Return where the state of a pass lies.

        Raises:
            RecordError: If the key is none.
        """
        return self.passes / _file(key, "npz")

    def pass_record(self, key: str) -> Path:
        """Return where it is told how a pass went.

        Raises:
            RecordError: If the key is none.
        """
        return self.passes / _file(key, "json")

    def logs(self) -> list[Path]:
        """Return the logs, sorted by name; symbolic links are left out."""
        found = (path for path in self.records.glob("*.jsonl") if is_log_name(path.name))
        return sorted(path for path in found if path.is_file() and not path.is_symlink())


def is_log_name(name: object) -> bool:
    """Tell whether something is the name of a log, and so safe as a file name."""
    return isinstance(name, str) and _LOG.match(name) is not None


def _below(key: str, kind: str) -> str:
    name = _file(key, kind)
    return f"{key[:2]}/{name}"


def _file(key: str, kind: str) -> str:
    if not is_key(key):
        raise RecordError(f"{key!r} is no key: 64 hexadecimal digits; was the record edited?")
    return f"{key}.{kind}"


def open_layout(root: str | Path) -> Layout:
    """Return the layout of a folder that holds an atlas.

    Raises:
        RecordError: If it holds none, or one of another format.
    """
    layout = Layout(Path(root))
    path = layout.root / "atlas.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if _lacks_its_name(layout):
            raise RecordError(
                f"there are records in {str(root)!r}, but {str(path)!r} is gone; 'featviz atlas "
                f"verify {root} --repair' writes it again"
            ) from None
        raise RecordError(
            f"{str(root)!r} holds no atlas (there is no {str(path)!r}); make one with "
            "'featviz atlas build MODEL -o FOLDER'"
        ) from None
    except OSError as error:
        raise RecordError(f"cannot read {str(path)!r}: {error}; is it an atlas?") from error
    except (ValueError, RecursionError) as error:
        advice = "is it an atlas?"
        if _lacks_its_name(layout):
            advice = f"'featviz atlas verify {root} --repair' writes it again"
        raise RecordError(f"cannot read {str(path)!r}: {error}; {advice}") from error
    got = found.get("format") if isinstance(found, dict) else None
    if got != FORMAT:
        raise RecordError(
            f"{str(root)!r} has format {got!r}, this version reads {FORMAT}; use the version of "
            "featviz that wrote it"
        )
    return layout


def restore_layout(root: str | Path) -> bool:
    """Write `atlas.json` again where it is gone or no JSON, and there are records beside it.

    Returns:
        Whether it was written.

    Raises:
        OutputError: If it cannot be written.
    """
    layout = Layout(Path(root))
    if not _lacks_its_name(layout):
        return False
    _write_name(layout)
    return True


def _write_name(layout: Layout) -> None:
    write_file(layout.root / "atlas.json", json.dumps({"format": FORMAT}).encode() + b"\n")


def _lacks_its_name(layout: Layout) -> bool:
    """Tell whether there are logs, and no `atlas.json` that is JSON."""
    try:
        json.loads((layout.root / "atlas.json").read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return not (layout.root / "atlas.json").is_symlink() and bool(layout.logs())
    except OSError:
        pass
    return False


def _is_begun(path: Path) -> bool:
    """Tell whether something is left of making an atlas that was cut short."""
    if path.name in _FOLDERS:
        return path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    return path.name.startswith(".atlas.json.") and path.suffix == ".tmp"


def create_layout(root: str | Path) -> Layout:
    """Return the layout of a folder, made an atlas if it is new or empty.

    Raises:
        OutputError: If the folder cannot be written to, or holds other things.
        RecordError: If it holds an atlas of another format, or one that lacks its `atlas.json`.
    """
    layout = Layout(Path(root))
    if not (layout.root / "atlas.json").exists():
        if layout.root.is_dir() and not all(map(_is_begun, layout.root.iterdir())):
            if _lacks_its_name(layout):
                open_layout(root)  # says what to do
            raise OutputError(f"{str(root)!r} is neither empty nor an atlas; choose another folder")
        make_folder(layout.root)
        for name in _FOLDERS:
            make_folder(layout.root / name)
        # Last, so that a folder with this file is whole.
        _write_name(layout)
    found = open_layout(root)
    make_folder(found.root)
    for path in (found.requests, found.thumbs):  # may be empty, and git keeps no empty folders
        make_folder(path)
    return found
