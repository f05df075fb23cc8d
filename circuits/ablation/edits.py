"""What can be changed in a network, as data, and as text.

    units fire3:0-15                        those units give 0
    mean fire3:0-15                         those units give their mean over images
    negative weights [of SITE[:UNITS]]      negative weights into units count as 0
    positive weights [of SITE[:UNITS]]      likewise
    negative weights fire3:4->fire4:7       only those of the kernels between some units
    inputs fire3:0-15 [of SITE[:UNITS]]     units read nothing but these of a site, or, dropped,
                                            everything but these
    edge fire3:4->fire4:7 [x0.5]            what units give to others is scaled; without a factor, 0

Signs and means are those of the network without any edit, so the order of edits does not matter.
editing.py makes the changes and takes them back.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from featviz.errors import CircuitError, UnitError, did_you_mean
from featviz.units import UnitSet, parse_units

Sign = Literal["negative", "positive"]
_KINDS = ("units", "mean", "negative weights", "positive weights", "inputs", "edge")
_FACTOR = re.compile(r"\s+x\s*(?P<factor>\S+)\Z")


@dataclass(frozen=True)
class SetUnits:
    """Units of one site give a constant, everywhere on their map.

    Attributes:
        units: Which.
        to: `zero`, or `mean`: of each unit over images and positions.
    """

    units: UnitSet
    to: Literal["zero", "mean"] = "zero"

    def __str__(self) -> str:
        """Return the text that `parse_edit` reads."""
        return f"{'units' if self.to == 'zero' else 'mean'} {self.units.text}"


@dataclass(frozen=True)
class DropWeights:
    """Weights of one sign into some units become 0.

    Signs are those that count: behind a batch norm with a negative scale they are turned round.

    Attributes:
        targets: The units that are built; all weights of a site: `SITE:*`.
        sign: Which weights go.
        sources: Only weights from these units; None: from all.
    """

    targets: UnitSet
    sign: Sign = "negative"
    sources: UnitSet | None = None

    def __str__(self) -> str:
        """Return the text that `parse_edit` reads."""
        between = "" if self.sources is None else f"{self.sources.text}->"
        return f"{self.sign} weights {between or 'of '}{self.targets.text}"


@dataclass(frozen=True)
class SelectInputs:
    """Units lose all their inputs but a family, or that family alone.

    Attributes:
        inputs: The family, units of one site.
        targets: The units that read them.
        keep: Whether the family stays and all other inputs go, those from other sites too.
    """

    inputs: UnitSet
    targets: UnitSet
    keep: bool = True

    def __str__(self) -> str:
        """Return the text that `parse_edit` reads; whether it is kept or dropped stands outside."""
        return f"inputs {self.inputs.text} of {self.targets.text}"


@dataclass(frozen=True)
class ScaleEdge:
    """What some units give to others is scaled.

    Where one layer reads the sources, its weights are scaled. Elsewhere, target units take the
    activation that they have in a second pass in which the source units are scaled: all ways
    between them are scaled at once, and nothing else reads the scaled source.

    Attributes:
        sources: Units that are read.
        targets: Units that are built.
        factor: 0 removes the edge.
    """

    sources: UnitSet
    targets: UnitSet
    factor: float = 0.0

    def __post_init__(self) -> None:
        """Check the factor."""
        if not math.isfinite(self.factor):
            raise CircuitError(f"the factor of an edge must be a finite number, got {self.factor}")

    def __str__(self) -> str:
        """Return the text that `parse_edit` reads."""
        return f"edge {self.sources.text}->{self.targets.text} x{self.factor:g}"


Edit: TypeAlias = SetUnits | DropWeights | SelectInputs | ScaleEdge


def parse_edit(text: str, *, of: str | None = None, keep: bool = False) -> Edit:
    """Read one edit, as in the module docstring.

    Args:
        text: The edit.
        of: Units (`SITE:UNITS`) or the site that are meant where the text names none.
        keep: Whether the family of `inputs` is kept, not dropped; other edits cannot be kept.

    Raises:
        CircuitError: If the text is no edit, or lacks units.
        UnitError: If units in it are malformed.
    """
    text = " ".join(text.split())
    kind = next((kind for kind in _KINDS if text == kind or text.startswith(f"{kind} ")), None)
    if kind is None:
        first = " ".join(text.split()[: 2 if "weights" in text else 1])
        raise CircuitError(
            f"{text!r} is no edit{did_you_mean(first, _KINDS)} write 'units SITE:CHANNELS', "
            "'mean SITE:CHANNELS', 'negative weights [of SITE]', 'inputs SITE:CHANNELS [of SITE]' "
            "or 'edge SITE:CHANNELS->SITE:CHANNELS [xFACTOR]'"
        )
    if keep and kind != "inputs":
        raise CircuitError(f"{text!r} cannot be kept; keep 'inputs SITE:CHANNELS', or drop it")
    return _READERS[kind](text[len(kind) :].strip(), kind, of, keep)


def _units(rest: str, kind: str, of: str | None, keep: bool) -> Edit:
    del of, keep
    if not rest:
        raise CircuitError(f"{kind!r} names no units; write '{kind} SITE:CHANNELS'")
    return SetUnits(_unit_set(rest), "zero" if kind == "units" else "mean")


def _weights(rest: str, kind: str, of: str | None, keep: bool) -> Edit:
    del keep
    sign: Sign = "negative" if kind.startswith("negative") else "positive"
    if "->" in rest:
        sources, targets = _ends(rest.removeprefix("of "), kind)
        return DropWeights(targets, sign, sources)
    return DropWeights(_of(rest, kind, of), sign)


def _inputs(rest: str, kind: str, of: str | None, keep: bool) -> Edit:
    inputs, found, targets = rest.partition(" of ")
    if not inputs:
        raise CircuitError("'inputs' names no units; write 'inputs SITE:CHANNELS [of SITE]'")
    return SelectInputs(_unit_set(inputs), _of(f"of {targets}" if found else "", kind, of), keep)


def _edge(rest: str, kind: str, of: str | None, keep: bool) -> Edit:
    del of, keep
    match = _FACTOR.search(rest)
    factor = 0.0
    if match is not None:
        try:
            factor = float(match["factor"])
        except ValueError:
            raise CircuitError(
                f"bad factor {match['factor']!r} in 'edge {rest}'; write a number, such as x0.5"
            ) from None
        rest = rest[: match.start()]
    return ScaleEdge(*_ends(rest, kind), factor)


def _of(rest: str, kind: str, of: str | None) -> UnitSet:
    if rest and not rest.startswith("of "):
        raise CircuitError(f"cannot read {rest!r} after {kind!r}; write '{kind} of SITE:CHANNELS'")
    named = rest.removeprefix("of ").strip() if rest else of
    if not named:
        raise CircuitError(f"{kind!r} names no layer; write '{kind} ... of SITE'")
    try:
        return _unit_set(named)
    except UnitError:
        if ":" in named:
            raise
        return UnitSet(f"{named}:*", named, None)


def _ends(rest: str, kind: str) -> tuple[UnitSet, UnitSet]:
    sources, arrow, targets = rest.partition("->")
    if not arrow or not sources.strip() or not targets.strip():
        raise CircuitError(
            f"'{kind} {rest}' names no two ends; write '{kind} SITE:CHANNELS->SITE:CHANNELS'"
        )
    return _unit_set(sources), _unit_set(targets)


def _unit_set(text: str) -> UnitSet:
    found = parse_units(text.strip())
    if found.position is not None:
        raise UnitError(f"{text.strip()!r} names a position; edits change units everywhere")
    return found


_READERS: dict[str, Callable[[str, str, str | None, bool], Edit]] = {
    "units": _units,
    "mean": _units,
    "negative weights": _weights,
    "positive weights": _weights,
    "inputs": _inputs,
    "edge": _edge,
}
