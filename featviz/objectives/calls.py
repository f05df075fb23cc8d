"""Functions that objective texts may call, and how their arguments are read.

    register_text("deepdream", deepdream)

makes `deepdream(fire4)` an objective text. What an argument may be is read off the annotations of
the factory: `str` (a site or another word, bare or in quotes), `int`, `float`, `bool`, a
`Literal`, a `Unit`, sequences and tuples of these as `[1, 2]`, a mapping of one to another as
`[5:1, 9:-0.5]`, an `Objective`, and unions.
"""

import inspect
import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from featviz.errors import ObjectiveError, UnitError
from featviz.objectives.base import Objective
from featviz.objectives.directions import direction
from featviz.objectives.facets import facet
from featviz.objectives.groups import deepdream, group
from featviz.objectives.joint import alignment, diversity, interpolation
from featviz.objectives.penalties import blur, boundary, l1, l2, total_variation
from featviz.objectives.references import activation_difference, caricature, inversion, style
from featviz.objectives.transparency import opacity
from featviz.objectives.unit import channel, class_logit, neuron
from featviz.units import Unit, parse_units

Given: TypeAlias = str | list[str]

_INT = re.compile(r"[+-]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word or a text in quotes",
    Unit: "one unit such as 'fire4:5'",
    Objective: "an objective",
}


@dataclass(frozen=True)
class TextFunction:
    """A function that a text may call.

    Attributes:
        name: Its name in texts.
        factory: Makes the objective, from keywords.
        parameters: What may be given: name -> kinds that are accepted.
        positional: How many of them, from the first, may come without their name.
        required: Those that must be given.
    """

    name: str
    factory: Callable[..., Objective]
    parameters: dict[str, tuple[Any, ...]]
    positional: int
    required: frozenset[str]

    def __str__(self) -> str:
        """Return how it is called: `channel(site, index)`."""
        words = [name if name in self.required else f"[{name}=]" for name in self.parameters]
        return f"{self.name}({', '.join(words)})"


TEXT_FUNCTIONS: dict[str, TextFunction] = {}


def register_text(name: str, factory: Callable[..., Objective]) -> None:
    """Let texts call a function that makes an objective.

    The label of what it makes should be the text of a call with the same result, since labels are
    read back.

    Args:
        name: In texts.
        factory: Its parameters are read as their annotations say. A parameter that cannot be
            written as text must have a default, and keeps it.

    Raises:
        ObjectiveError: If the name is taken or no name, or a parameter cannot be written as text.
    """
    if name in TEXT_FUNCTIONS or not name.isidentifier():
        raise ObjectiveError(f"cannot register {name!r}: it is taken, or not a Python identifier")
    hints = get_type_hints(factory)
    parameters, positional, required = {}, 0, set()
    for key, parameter in inspect.signature(factory).parameters.items():
        kinds = _kinds(hints.get(key))
        named = parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        if kinds and named:
            parameters[key] = kinds
            # A parameter left out shifts those after it, so these need their names.
            gap = parameter.kind == parameter.KEYWORD_ONLY or positional < len(parameters) - 1
            positional += 0 if gap else 1
        elif parameter.default is parameter.empty:
            raise ObjectiveError(
                f"cannot register {name!r}: its parameter {key!r} has no default and cannot be "
                "written as text; annotate it with str, int, float, bool, Literal, Unit, "
                "Objective or a sequence of these"
            )
        if kinds and named and parameter.default is parameter.empty:
            required.add(key)
    TEXT_FUNCTIONS[name] = TextFunction(name, factory, parameters, positional, frozenset(required))


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union that text can give; words last, because all text is one."""
    members = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    flat = [
        kind
        for member in members
        for kind in (_kinds(member) if get_origin(member) in {Union, types.UnionType} else [member])
    ]
    known = [k for k in flat if k in _WORDS or _is_literal(k) or _items(k) or _pair(k)]
    return tuple(sorted(known, key=lambda kind: kind is str))


def _is_literal(kind: Any) -> bool:
    return get_origin(kind) is Literal


def _items(kind: Any) -> tuple[Any, ...]:
    """Return the kinds of the items of a sequence, with ... where there may be any number."""
    origin, items = get_origin(kind), get_args(kind)
    if origin in {list, Sequence}:
        items = (*items, ...)
    elif origin is not tuple:
        return ()
    plain = [item for item in items if item is not ...]
    return (
        items if plain and all(item in _WORDS and item is not Objective for item in plain) else ()
    )


def _pair(kind: Any) -> tuple[Any, ...]:
    """Return the kinds of the keys and of the values of a mapping."""
    pair = get_args(kind) if get_origin(kind) is Mapping else ()
    return pair if all(item in _WORDS and item is not Objective for item in pair) else ()


def describe(kinds: Sequence[Any]) -> str:
    """Return what an argument may be, in words."""
    words = []
    for kind in kinds:
        if _is_literal(kind):
            words += [repr(value) for value in get_args(kind)]
        else:
            listed = "[5:1, 9:-0.5]" if _pair(kind) else "[1, 2]"
            words.append(_WORDS.get(kind) or f"a list such as {listed}")
    return " or ".join(words)


def read_argument(given: Given, kinds: Sequence[Any]) -> object:
    """Return the value of an argument.

    Args:
        given: A word, or the words of a list.
        kinds: What is accepted.

    Raises:
        ValueError: If it is none of these.
    """
    for kind in kinds:
        try:
            if pair := _pair(kind):
                return _read_mapping(given, *pair)
            return _read_list(given, _items(kind)) if _items(kind) else _read_word(given, kind)
        except ValueError:
            continue
    raise ValueError(f"{given!r} is not {describe(kinds)}")


def _read_list(given: Given, items: tuple[Any, ...]) -> tuple[object, ...]:
    if isinstance(given, str):
        raise ValueError("not a list")
    if items[-1] is ...:
        items = items[:1] * len(given)
    if len(items) != len(given):
        raise ValueError("of another length")
    return tuple(_read_word(word, item) for word, item in zip(given, items, strict=True))


def _read_mapping(given: Given, key: Any, value: Any) -> dict[object, object]:
    if isinstance(given, str):
        raise ValueError("not a list")
    found: dict[object, object] = {}
    for word in given:
        left, colon, right = word.rpartition(":")
        read = _read_word(left, key)
        if not colon or read in found:
            raise ValueError("no pair, or a key twice")
        found[read] = _read_word(right, value)
    return found


def _read_word(word: Given, kind: Any) -> object:
    if not isinstance(word, str):
        raise ValueError("a list")
    if kind is str:
        return word
    if kind is int and _INT.match(word):
        return int(word)
    if kind is float and _FLOAT.match(word) and math.isfinite(float(word)):
        return float(word)
    if kind is bool and word in {"true", "false"}:
        return word == "true"
    if kind is Unit:
        try:
            return read_unit(word)
        except UnitError as error:
            raise ValueError("malformed") from error
    if _is_literal(kind):
        for value in get_args(kind):
            if str(value) == word:
                return value
    raise ValueError("of another kind")


def read_unit(text: str) -> Unit:
    """Return the unit of a text that names exactly one.

    Raises:
        UnitError: If it is malformed.
        ValueError: If it is well formed, but a set.
    """
    units = parse_units(text)
    if units.spans is None or len(units.spans) > 1 or units.spans[0][0] != units.spans[0][1]:
        raise ValueError(f"{text!r} is a set of units")
    return Unit(units.site, units.spans[0][0], units.position)


for _factory in (
    activation_difference,
    alignment,
    blur,
    boundary,
    caricature,
    channel,
    class_logit,
    deepdream,
    direction,
    diversity,
    facet,
    group,
    interpolation,
    inversion,
    l1,
    l2,
    neuron,
    opacity,
    style,
    total_variation,
):
    register_text(_factory.__name__, _factory)
