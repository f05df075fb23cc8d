"""The record that travels with every image, and what makes the image again in a shell or Python.

A record is JSON: what was rendered, of which weights, with which settings and versions, and how
it went. It lies beside the image and inside the PNG. It holds no time and no folder, so the same
command gives the same bytes.
"""

import json
import platform
import shlex
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from featviz.config import RenderConfig
from featviz.errors import RecordError
from featviz.images import read_text
from featviz.record_form import wrong_part

SCHEMA = 1

Record = dict[str, Any]

_LOADING: dict[str, tuple[str, Callable[[str], object]]] = {
    # Option of the command line that loads a network: argument of `load`, its value.
    "--weights": ("weights", str),
    "--mean": ("mean", lambda text: [float(number) for number in text.split(",")]),
    "--std": ("std", lambda text: [float(number) for number in text.split(",")]),
    "--input-size": ("size", lambda text: [int(side) for side in text.split("x")]),
    "--channels": ("channels", int),
}


def environment(device: torch.device) -> dict[str, Any]:
    """Return what the numbers depend on besides the settings."""
    packages = ("featviz", "torch", "torchvision", "timm", "numpy", "pillow")
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def read_record(path: str | Path) -> Record:
    """Return the record inside a PNG file, or in a JSON file.

    Raises:
        RecordError: If the file cannot be read or holds no record.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"there is no file {str(path)!r}; give a PNG or JSON file of featviz")
    if path.suffix.lower() == ".json":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"cannot read {str(path)!r}: {error}") from error
    else:
        text = read_text(path)
    try:
        record = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"the record of {str(path)!r} is not JSON: {error}") from error
    parts = {"schema", "request", "model", "config", "ran", "environment"}
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or parts - record.keys():
        found = record.get("schema") if isinstance(record, dict) else None
        raise RecordError(
            f"{str(path)!r} holds no featviz record of schema {SCHEMA} (found {found!r}); "
            "was it made by another version?"
        )
    wrong = wrong_part(record)
    if wrong is not None:
        raise RecordError(
            f"the record of {str(path)!r} lacks {wrong}, or has something else there; it was "
            "changed since featviz wrote it, so render it again"
        )
    return record


def record_to_text(record: Record) -> str:
    """Return a record as text that can be written as UTF-8, the same for the same record."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode()
    except UnicodeEncodeError:  # names of files may hold bytes that are no text
        return json.dumps(record, indent=2, allow_nan=False) + "\n"
    return text


def command(
    record: Record, *, output: str = "out/", ignore_environment: bool = False
) -> str | None:
    """Return the shell command that makes the image of a record again.

    Args:
        record: From `read_record`.
        output: Folder in the command.
        ignore_environment: Whether to say that FEATVIZ_RENDER_* variables do not count, where
            there are any.

    Returns:
        The command, or None where a Python object has no name to give to a shell: an objective
        that is not a unit, a module that was handed over, or an image to start from.
    """
    request = record["request"]
    if request["arguments"] is None or not _begins_at_files(record):
        return None
    name, *load_options = request["arguments"]
    options = ["--ignore-environment"] * ignore_environment
    defaults = RenderConfig().to_json()
    for key, value in record["config"].items():
        if key not in defaults or value != defaults[key]:
            flag = f"--{key.replace('_', '-')}"
            options += [flag] if value is True else [flag, _option(value)]
    objectives = list(request["objectives"])
    # A unit that starts with a minus must not look like an option.
    dashes = ["--"] if any(text.startswith("-") for text in objectives) else []
    words = ["featviz", "render", *load_options, *options, "-o", output, *dashes, name, *objectives]
    return shlex.join(words)


def python_lines(record: Record) -> str:
    """Return Python that makes the image of a record again.

    Args:
        record: With the request, as `read_record` or an atlas gives it. Where a Python object has
            no name, the lines have a name that the reader must give a value.
    """
    request = record["request"]
    name, *words = request["arguments"] or [None]
    named = "network" if name is None else repr(name)
    options = dict(zip(words[::2], words[1::2], strict=True))  # the last of each counts
    device = options.pop("--device", None)
    loading = "".join(
        f", {_LOADING[option][0]}={_LOADING[option][1](text)!r}" for option, text in options.items()
    )
    moved = "" if device is None else f".to({device!r})"
    defaults = RenderConfig().to_json()
    settings = "".join(
        f", {key}={value!r}"
        for key, value in record["config"].items()
        if key not in defaults or value != defaults[key]
    )
    objectives = list(request["objectives"])
    asked = objectives[0] if len(objectives) == 1 else objectives
    return (
        "import featviz\n\n"
        f"model = featviz.load({named}{loading}){moved}\n"
        f'featviz.render(model, {asked!r}{settings}).save("out/")\n'
    )


def _begins_at_files(record: Record) -> bool:
    """Tell whether what the images started from, if it was not noise, has a name."""
    ran, config = record["ran"], record["config"]
    return all(config.get(k) or not ran.get(f"{k}_sha256") for k in ("start", "mask"))


def _option(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)
