"""The one error tree of featviz, circuits and app.

Each message says what is wrong, what came, and what to do about it.

    FeatvizError              base: catch this to catch everything raised on purpose
    +-- InputError            bad input; the command line exits with 2
    |   +-- ModelError        unknown or unusable model
    |   +-- WeightsError      weights missing, unreadable, or not those of the model
    |   +-- SiteError         unknown or ambiguous place in a network
    |   +-- UnitError         channel or position out of range, empty or malformed unit set
    |   +-- ObjectiveError    an objective that cannot be evaluated
    |   +-- ConfigError       a setting out of its range
    |   +-- OutputError       a file or folder that cannot be written, or exists already
    |   +-- RecordError       a file that cannot be read, or holds no record
    |   +-- PictureError      a picture, or a folder of pictures, that cannot be read
    |   +-- CircuitError      a circuit that cannot be computed, read, or checked as asked
    +-- RenderError           the work itself failed; the command line exits with 1
"""

import difflib
from collections.abc import Iterable


class FeatvizError(Exception):
    """Base of every error that featviz raises on purpose."""

    exit_code = 1


class InputError(FeatvizError):
    """The input is wrong; running again without changing it cannot help."""

    exit_code = 2


class ModelError(InputError):
    """A model is unknown, cannot be built, or cannot run on the images given."""


class WeightsError(InputError):
    """Weights are missing, unreadable, unsafe to read, or do not fit the model."""


class SiteError(InputError):
    """A site is unknown or names more than one place."""


class UnitError(InputError):
    """A unit set is malformed, empty, or outside its site."""


class ObjectiveError(InputError):
    """An objective cannot be built from, or evaluated on, what it was given."""


class ConfigError(InputError):
    """A setting lies outside its range."""


class OutputError(InputError):
    """A result cannot be written where it was asked to go."""


class RecordError(InputError):
    """A file cannot be read, or carries no featviz record."""


class PictureError(InputError):
    """A picture cannot be read, or a folder holds none."""


class CircuitError(InputError):
    """A circuit cannot be computed from, or checked on, what it was given."""


class RenderError(FeatvizError):
    """The optimisation failed: the network gave no number, or memory ran out."""


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of Python or torch means that memory ran out."""
    import torch  # here alone, so that listing models need not import it

    text = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "DefaultCPUAllocator" in text
        or "out of memory" in text
    )


def too_large(model_name: str, size: tuple[int, int]) -> RenderError:
    """Return the error for an image that does not fit into memory even alone."""
    return RenderError(
        f"memory does not suffice for a single {size[0]}x{size[1]} px image of {model_name!r}; "
        "choose a smaller size"
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'a' or 'b'?` for near misses of a word, else a semicolon alone.

    What to do instead follows, after a space.

    Args:
        word: What the user typed.
        known: The names that would have been right.
    """
    near = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ";"
