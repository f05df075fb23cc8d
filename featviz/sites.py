"""Places in a network and their names.

    NAME          a short alias of the model, or a dotted module path; `logits` is the output;
                  Lucent's underscores, `layer1_0_conv1`, are understood if one path fits
    NAME#k        the k-th call, from 0, of a module that is called several times
    NAME.pre      what goes into the activation function(s) that NAME ends in
    NAME/a:b      channels a to b - 1

They combine in this order: `layer1.0.relu#1.pre/0:16`. Second stage of the flow: objectives.py
says which sites it needs, and the forward pass stops after the last of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from featviz.errors import SiteError, did_you_mean
from featviz.models.spec import SiteAlias
from featviz.receptive_field import Field
from featviz.tracing import Call, Trace

OUTPUT = "logits"
# 18 digits, because Python refuses to read numbers of thousands of them.
_SITE = re.compile(
    r"(?P<name>.+?)(?:#(?P<call>\d{1,18}))?(?P<pre>\.pre)?(?:/(?P<a>\d{0,18}):(?P<b>\d{0,18}))?\Z"
)


@dataclass(frozen=True)
class Part:
    """One call of one module, or its pre-activation."""

    path: str
    index: int
    pre: bool = False


@dataclass(frozen=True)
class Site:
    """A resolved place in a network.

    Attributes:
        name: As typed.
        parts: Where to record; several are concatenated along the channels.
        span: First channel and the one after the last.
        map_size: Height and width of its map at the traced image size; empty for vectors.
        field: What each position sees; that of the union of the parts.
        has_pre: Whether `NAME.pre` exists.
        order: Rank in the network's order of execution.
    """

    name: str
    parts: tuple[Part, ...]
    span: tuple[int, int]
    map_size: tuple[int, ...]
    field: Field
    has_pre: bool
    order: int

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.span[1] - self.span[0]


class SiteTable:
    """All names of places in one network.

    Args:
        trace: What one pass through the network showed.
        aliases: The short names of its spec, browsable ones in network order.
        model_name: For messages.
    """

    def __init__(self, trace: Trace, aliases: Sequence[SiteAlias], *, model_name: str) -> None:
        self._trace = trace
        self._aliases = {alias.name: alias for alias in aliases}
        self._model_name = model_name

    def names(self, *, every: bool = False) -> list[str]:
        """Return site names in network order.

        Args:
            every: Also list what browsing leaves out: with aliases, the module paths; without,
                norms, dropouts, and modules that only pass on another's output.
        """
        browsable = [alias.name for alias in self._aliases.values() if alias.browsable]
        if browsable and not every:
            return browsable
        paths = [self._path_name(call) for call in self._trace.calls if self._listed(call, every)]
        output = [OUTPUT] if any(_problem(call) is None for call in self._trace.of("")) else []
        return list(dict.fromkeys([*self._aliases, *paths, *output]))

    def _path_name(self, call: Call) -> str:
        several = len(self._trace.of(call.path)) > 1
        return f"{call.path}#{call.index}" if several else call.path

    @staticmethod
    def _listed(call: Call, every: bool) -> bool:
        if not call.path or _problem(call) is not None:
            return False
        skipped = any(word in call.kind for word in ("Norm", "Dropout", "Identity"))
        return every or (call.fresh and not skipped) or (skipped and call.has_pre)

    def resolve(self, name: str) -> Site:
        """Return the site of a name.

        Raises:
            SiteError: If there is none, it has no pre-activation, its slice is empty, or the
                module is called several times and the name does not say which call.
        """
        match = _SITE.match(name) if isinstance(name, str) else None
        if match is None:
            raise SiteError(f"{name!r} is not a site name; see 'featviz sites {self._model_name}'")
        base, pre = match["name"], bool(match["pre"])
        if f"{base}.pre" in self._known_paths() and pre:
            base, pre = f"{base}.pre", False
        calls = self._calls(name, base, match["call"])
        if pre and not all(call.has_pre for call in calls):
            raise SiteError(
                f"{base!r} in {self._model_name!r} does not end in an activation function, so it "
                f"has no pre-activation {name!r}; record {base!r} itself"
            )
        span = _span(name, match["a"], match["b"], sum(call.shape[1] for call in calls))
        field = calls[0].field
        for call in calls[1:]:
            field = field.union(call.field)
        return Site(
            name=name,
            parts=tuple(Part(call.path, call.index, pre) for call in calls),
            span=span,
            map_size=calls[0].shape[2:],
            field=field,
            has_pre=not pre and all(call.has_pre for call in calls),
            order=max(self._trace.calls.index(call) for call in calls),
        )

    def _lucent_path(self, name: str, base: str) -> str:
        """Return the path that Lucent writes with underscores for dots, `layer1_0_conv1`."""
        known = self._known_paths()
        meant = sorted(path for path in known if path.replace(".", "_") == base)
        if base in known or not meant:
            return base
        if len(meant) > 1:
            raise SiteError(
                f"{name!r} in {self._model_name!r} may be {' or '.join(map(repr, meant))}; write "
                "one of these, with dots"
            )
        return meant[0]

    def _known_paths(self) -> set[str]:
        return {call.path for call in self._trace.calls}

    def _calls(self, name: str, base: str, index: str | None) -> list[Call]:
        alias = self._aliases.get(base)
        if alias is None and base == OUTPUT and base not in self._known_paths():
            alias = SiteAlias(OUTPUT, ("",))
        paths = alias.parts if alias else (self._lucent_path(name, base),)
        calls = [self._call(name, path, index) for path in paths]
        for call in calls:
            if (problem := _problem(call)) is not None:
                raise SiteError(
                    f"{name!r} in {self._model_name!r} {problem}; choose a site that "
                    f"'featviz sites {self._model_name}' lists"
                )
        return calls

    def _call(self, name: str, path: str, index: str | None) -> Call:
        calls = self._trace.of(path)
        if not calls:
            known = [*self._aliases, *sorted(self._known_paths()), OUTPUT]
            raise SiteError(
                f"unknown site {name!r} in {self._model_name!r}{did_you_mean(name, known)} "
                f"'featviz sites {self._model_name}' lists all"
            )
        if index is None and len(calls) > 1:
            names = ", ".join(f"{path}#{call.index}" for call in calls)
            raise SiteError(
                f"{name!r} in {self._model_name!r} is called {len(calls)} times; choose one of "
                f"{names}"
            )
        if index is not None and int(index) >= len(calls):
            raise SiteError(
                f"{name!r} in {self._model_name!r}: the module is called {len(calls)} times, so "
                f"the last call is {path}#{len(calls) - 1}"
            )
        return calls[int(index or 0)]


def pre_activation_name(name: str) -> str:
    """Return the name of the pre-activation of a site: `fire4/0:8` -> `fire4.pre/0:8`."""
    match = _SITE.match(name)
    stop = match.end("call") if match and match["call"] else match.end("name") if match else None
    return name if stop is None else f"{name[:stop]}.pre{name[stop:]}"


def _problem(call: Call) -> str | None:
    """Return why the units of a call cannot be read; None if they can."""
    if call.channels_last:
        return "keeps its channels last, [b h w c], which featviz does not read"
    if len(call.shape) not in {2, 4}:
        return f"gives neither a [b c h w] map nor a [b c] vector but shape {call.shape}"
    if call.dtype is not None and not call.dtype.is_floating_point:
        return f"gives {call.dtype}, and units are real numbers with a gradient"
    return None


def _span(name: str, a: str | None, b: str | None, channels: int) -> tuple[int, int]:
    first, stop = int(a or 0), int(b) if b else channels
    if not 0 <= first < stop <= channels:
        raise SiteError(
            f"slice {first}:{stop} in {name!r} is empty or out of range: there are {channels} "
            f"channels, so write /a:b with 0 <= a < b <= {channels}"
        )
    return first, stop
