"""Walk over the files of an atlas without following a symbolic link."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from featviz.atlas.canonical import is_key
from featviz.atlas.layout import Layout

_TEMPORARY = re.compile(r"\..+\.\d+\.tmp\Z")
_PREFIX = re.compile(r"[0-9a-f]{2}\Z")
_FOLDERS = ("records", "requests", "images", "thumbs", "examples", "passes")
# Folders of pictures, in folders below named by the first digits of keys, and their suffixes.
_SUFFIXES = {"images": ("webp", "png"), "thumbs": ("webp",), "examples": ("webp",)}
# What a pass has: how it went; where it stands; the lock of who is at it.
_OF_PASSES = {".json": None, ".npz": "unfinished", ".lock": None}


def walk(layout: Layout) -> Iterator[tuple[str, str]]:
    """Give the files of an atlas, below its folder, each with what it is.

    `file` is a picture by its name, whether recorded or not; else a kind of problem.
    """
    for folder in (".", *_FOLDERS):
        subfolders = folder in _SUFFIXES
        for path, kind in _scan(layout.root, folder):
            name = Path(path).name
            if kind == "folder":
                if subfolders and _PREFIX.match(name):
                    yield from _below(layout.root, path)
                elif folder != ".":
                    yield path, "foreign"
            elif kind != "file":
                if folder != "." or name in _FOLDERS:
                    yield path, kind
            elif _TEMPORARY.match(name):
                yield path, "temporary"
            elif folder == "passes":
                name_of = Path(name)
                known = is_key(name_of.stem) and name_of.suffix in _OF_PASSES
                said = _OF_PASSES[name_of.suffix] if known else "foreign"
                if said is not None:
                    yield path, said
            elif subfolders:
                yield path, "foreign"


def _below(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    for path, kind in _scan(root, folder):
        name = Path(path)
        known = _SUFFIXES[name.parts[0]]
        named = is_key(name.stem) and name.suffix[1:] in known and name.stem[:2] == name.parent.name
        if kind == "folder":
            yield path, "foreign"
        elif kind == "file" and _TEMPORARY.match(name.name):
            yield path, "temporary"
        else:
            yield path, kind if named or kind != "file" else "foreign"


def _scan(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Give what lies in a folder, sorted, each as a file, a folder, a link or unreadable."""
    if (root / folder).is_symlink() and folder != ".":
        return
    try:
        with os.scandir(root / folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError:
        yield folder, "unreadable"
        return
    for entry in entries:
        path = entry.name if folder == "." else f"{folder}/{entry.name}"
        if entry.is_symlink():
            yield path, "link"
        elif entry.is_dir(follow_symlinks=False):
            yield path, "folder"
        else:
            yield path, "file" if entry.is_file(follow_symlinks=False) else "foreign"
