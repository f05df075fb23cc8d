"""Where the settings of a command-line render come from: flag > environment > file > default.

    featviz render --config my.toml      the file: a table [render], its keys the fields of
                                         RenderConfig
    FEATVIZ_RENDER_STEPS=64              the environment: one variable a field
    --steps 64                           the flag

Python callers name what they want: `featviz.render` reads neither files nor the environment.
"""

import dataclasses
import math
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import featviz.params
import featviz.transforms
from featviz.config import RenderConfig
from featviz.errors import ConfigError, did_you_mean

TABLE = "render"
PREFIX = "FEATVIZ_RENDER_"

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def read_settings(
    flags: Mapping[str, Any], *, environment: Mapping[str, str], file: Path | None
) -> RenderConfig:
    """Return the settings of a render.

    Args:
        flags: What the command line says, by field; None is left open.
        environment: Variables; those named FEATVIZ_RENDER_<FIELD> count, unless they are empty.
        file: A TOML file; None for none.

    Raises:
        ConfigError: If a name is unknown, a value is of the wrong type or out of its range, or
            the file cannot be read. It says where the value came from.
    """
    from_file = {} if file is None else read_table(file)
    from_environment = read_variables(environment)
    given = {name: value for name, value in flags.items() if value is not None}
    origins = {name: f"[{TABLE}] in {str(file)!r}" for name in from_file}
    origins |= {name: variable_name(name) for name in from_environment}
    origins = {name: origin for name, origin in origins.items() if name not in given}
    values = {**from_file, **from_environment, **given}
    try:
        return RenderConfig(**values)
    except ConfigError as error:
        blamed = [name for name in origins if _works_without(name, values)] or list(origins)
        sources = ", ".join(f"{name} comes from {origins[name]}" for name in blamed)
        raise ConfigError(f"{error} ({sources})" if sources else str(error)) from error


def _works_without(name: str, values: Mapping[str, Any]) -> bool:
    try:
        RenderConfig(**{key: value for key, value in values.items() if key != name})
    except ConfigError:
        return False
    return True


def read_table(file: Path) -> dict[str, Any]:
    """Return the settings in the table [render] of a TOML file.

    Raises:
        ConfigError: If the file cannot be read or holds something else.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {str(file)!r}: {error.strerror}; give a TOML file with a table [{TABLE}]"
        ) from error
    except (ValueError, RecursionError) as error:  # ValueError: not TOML, or not UTF-8
        raise ConfigError(f"{str(file)!r} is not TOML: {error}; correct it") from error
    kinds = _kinds()
    for name, value in document.items():
        if name == TABLE and isinstance(value, dict):
            continue
        if name == TABLE:
            raise ConfigError(f"{name!r} in {str(file)!r} must be a table [{TABLE}], got {value!r}")
        if name in kinds or not isinstance(value, dict):
            raise ConfigError(f"{name!r} in {str(file)!r} stands outside [{TABLE}]; move it there")
        raise ConfigError(
            f"unknown table [{name}] in {str(file)!r}{did_you_mean(name, [TABLE])} write [{TABLE}]"
        )
    table: dict[str, Any] = document.get(TABLE, {})
    for name in table:
        if name not in kinds:
            raise ConfigError(
                f"unknown setting {name!r} in {str(file)!r}{did_you_mean(name, kinds)} "
                f"there are {', '.join(kinds)}"
            )
    return {
        name: _from_toml(f"{name} in {str(file)!r}", value, kinds[name])
        for name, value in table.items()
    }


def variable_name(name: str) -> str:
    """Return the environment variable of a setting: `steps` -> `FEATVIZ_RENDER_STEPS`."""
    return f"{PREFIX}{name.upper()}"


def read_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in environment variables.

    Raises:
        ConfigError: If a variable FEATVIZ_RENDER_* names no setting, or cannot be read as its type.
    """
    fields = {variable_name(name): name for name in _kinds()}
    found = {}
    for variable in sorted(environment):
        text = environment[variable].strip()
        if not variable.startswith(PREFIX) or not text:
            continue
        if variable not in fields:
            raise ConfigError(
                f"unknown environment variable {variable!r}{did_you_mean(variable, fields)} "
                f"there are {', '.join(fields)}"
            )
        name = fields[variable]
        found[name] = _from_text(variable, text, _kinds()[name])
    return found


def settings_to_toml(config: RenderConfig) -> str:
    """Return the TOML that `read_table` reads back.

    Settings that are left to featviz have no value in TOML, so they are comments.
    """
    lines = [f"[{TABLE}]"]
    for name, value in config.to_json().items():
        lines.append(f"# {name}: featviz chooses" if value is None else f"{name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'
    return repr(value)


# ---- types: the annotations of RenderConfig, without what has no text ----


def _kinds() -> dict[str, tuple[Any, ...]]:
    """Return what each setting may be: the members of its annotation that a text can give."""
    # The annotations may name parts by their modules, which config.py need not import.
    hints = get_type_hints(RenderConfig, localns={"featviz": featviz})
    names = [field.name for field in dataclasses.fields(RenderConfig)]
    return {name: tuple(filter(_is_plain, _members(hints[name]))) for name in names}


def _members(hint: Any) -> list[Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        return [member for part in get_args(hint) for member in _members(part)]
    return [hint]


def _is_plain(kind: Any) -> bool:
    return kind in _WORDS or get_origin(kind) in {Literal, tuple}


def _from_toml(where: str, value: object, kinds: Sequence[Any]) -> object:
    for kind in kinds:
        if get_origin(kind) is Literal and value in get_args(kind):
            return value
        if get_origin(kind) is tuple and isinstance(value, list):
            items = _item_kinds(kind, len(value))
            if items and all(_fits(v, item) for v, item in zip(value, items, strict=True)):
                return tuple(value)
            if value == [] and get_args(kind)[-1] is ...:
                return ()
        if kind in _WORDS and _fits(value, kind):
            return float(value) if kind is float else value  # type: ignore[arg-type]
    raise ConfigError(f"{where} must be {_describe(kinds)}, got {value!r}")


def _fits(value: object, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float if kind is float else kind)


def _from_text(where: str, text: str, kinds: Sequence[Any]) -> object:
    for kind in kinds:
        if get_origin(kind) is Literal and text in get_args(kind):
            return text
        try:
            if get_origin(kind) is tuple:
                words = re.split(r"[,xX]", text)
                items = _item_kinds(kind, len(words))
                if items:
                    return tuple(_word(w, item) for w, item in zip(words, items, strict=True))
            elif kind in _WORDS:
                return _word(text, kind)
        except ValueError:
            continue
    raise ConfigError(f"{where} must be {_describe(kinds, text=True)}, got {text!r}")


def _word(text: str, kind: Any) -> object:
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise ValueError("not a truth value")
        return text.lower() in {"true", "1"}
    value = kind(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _item_kinds(kind: Any, length: int) -> tuple[Any, ...]:
    """Return the kinds of the items of a tuple; empty if it cannot have so many."""
    items = get_args(kind)
    if items[-1] is ...:
        return items[:1] * length
    return items if len(items) == length else ()


def _describe(kinds: Sequence[Any], *, text: bool = False) -> str:
    words = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            words += [repr(value) for value in get_args(kind)]
        elif get_origin(kind) is tuple and get_args(kind)[-1] is ...:
            words.append("numbers such as 16,64" if text else "a list such as [16, 64]")
        elif get_origin(kind) is tuple:
            words.append("HEIGHTxWIDTH such as 96x128" if text else "[height, width]")
        else:
            words.append(_WORDS[kind])
    return " or ".join(words)
