"""Files that a climb goes on from: safetensors beside each picture, with its record inside."""

import json
from pathlib import Path

import safetensors
import safetensors.torch

from featviz.climb_state import ClimbState
from featviz.errors import RecordError
from featviz.images import TEXT_KEY, write_file
from featviz.record import Record

_NUMBERS_KEY = "numbers"


def state_path(picture: Path) -> Path:
    """Return where the state of a picture lies."""
    return picture.with_suffix(".state.safetensors")


def write_state(path: Path, state: ClimbState, *, record: str) -> None:
    """Write a state, whole or not at all.

    Args:
        path: From `state_path`.
        state: Of one image.
        record: Its record as text.

    Raises:
        OutputError: If it cannot be written.
    """
    numbers = json.dumps({"steps_done": state.steps_done, **state.numbers})
    metadata = {TEXT_KEY: record, _NUMBERS_KEY: numbers}
    write_file(path, safetensors.torch.save(state.tensors, metadata=metadata))


def read_state(path: Path) -> tuple[ClimbState, Record]:
    """Return a state and the record of its image.

    Raises:
        RecordError: If it cannot be read, or was not written by `write_state`.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        numbers = json.loads(metadata[_NUMBERS_KEY])
        record = json.loads(metadata[TEXT_KEY])
        state = ClimbState(int(numbers.pop("steps_done")), tensors, numbers)
    except (OSError, safetensors.SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise RecordError(
            f"cannot read {str(path)!r} as a saved state: {error}; delete it, or leave out resume"
        ) from error
    return state, record
