"""Names of images: text for people, never a way out of a folder."""

from pathlib import PurePosixPath, PureWindowsPath

_MAX_NAME = 4096


def is_below(name: str) -> bool:
    """Tell whether a name, taken for a path, stays below its folder on any system."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    outside = any(path.anchor or ".." in path.parts for path in paths)
    return 0 < len(name) <= _MAX_NAME and "\0" not in name and not outside
