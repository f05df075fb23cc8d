"""Which weights build the units of a site, and through which of them a unit of another is read.

Found on the tape of one pass, not by names of modules, so that branches that are concatenated,
batch norms and pools on the way are understood. weight_edits.py changes what is found here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from circuits.ablation.activation_hooks import hooks_asleep
from circuits.tracing.operations import ACTIVATIONS, UNCHANGED, Operation, Ref, Tape, cat_axis
from circuits.tracing.opgraph import run_tape
from featviz.borrowing import own_settings
from featviz.errors import CircuitError
from featviz.models import Model
from featviz.sites import Part, Site

NORMS = frozenset({"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"})
_POOLS = frozenset(
    {
        *("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d"),
        *("adaptive_avg_pool2d", "constant_pad_nd", "upsample_nearest2d", "upsample_bilinear2d"),
    }
)
_RESHAPED = frozenset({"view", "_unsafe_view", "reshape", "squeeze", "mean", "flatten"})
_CHANNELWISE = NORMS | _POOLS | UNCHANGED | ACTIVATIONS
_MATRIX = {"addmm": 1, "mm": 0, "linear": 0}


class NotDirectError(CircuitError):
    """No layer of weights stands for what units of one site give to another, and for that alone."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of one layer that builds units of a site.

    Attributes:
        name: Of the parameter, such as `arcs.conv.weight`.
        parameter: [o i] or [o i/groups kh kw].
        first: Channel of the site that its output 0 is.
        signs: +1, or -1 where a batch norm turns the sign of an output round.
        groups: Of the convolution.
        origins: For each input, the channel of the source that it is; None if it is none.
    """

    name: str
    parameter: nn.Parameter
    first: int
    signs: Float[Tensor, " o"]
    groups: int
    origins: tuple[int | None, ...]

    def mask(
        self, targets: Iterable[int], sources: Iterable[int] | None = None
    ) -> Bool[Tensor, "o i *kernel"]:
        """Tell which weights lead from some units to others.

        Args:
            targets: Channels of the site; those that other layers build are passed over.
            sources: Channels of the source; None: all inputs.
        """
        weight = self.parameter
        chosen = torch.zeros_like(weight, dtype=torch.bool)
        rows = [t - self.first for t in targets if 0 <= t - self.first < len(weight)]
        if sources is None:
            chosen[rows] = True
            return chosen
        wanted = set(sources)
        width, height = weight.shape[1], len(weight) // self.groups
        for place, origin in enumerate(self.origins):
            if origin in wanted:
                group, column = divmod(place, width)
                reached = [row for row in rows if row // height == group]
                chosen[reached, column] = True
        return chosen

    def sources_of(self, targets: Iterable[int]) -> set[int]:
        """Return the channels of the source that units read; groups read none of the others.

        Args:
            targets: Channels of the site.
        """
        rows = [t - self.first for t in targets if 0 <= t - self.first < len(self.parameter)]
        width, height = self.parameter.shape[1], len(self.parameter) // self.groups
        groups = {row // height for row in rows}
        return {
            origin
            for place, origin in enumerate(self.origins)
            if origin is not None and place // width in groups
        }

    def signed(self) -> Tensor:
        """Return the weights with the signs that count."""
        signs = self.signs.to(self.parameter)
        return self.parameter.detach() * signs.view(-1, *[1] * (self.parameter.dim() - 1))


def layers_into(model: Model, target: str, source: str | None = None) -> list[Layer]:
    """Return the layers that build the units of a site, in the order of its channels.

    Args:
        model: Any model that runs eagerly; it is left as it was.
        target: Site whose units are built.
        source: Site whose units are looked for among the inputs; None for none.

    Raises:
        CircuitError: If weights are no parameter; a `NotDirectError` if a part of the target is
            not built by one layer of weights, does not read the source channel by channel, or is
            built by weights that build something else too.
        SiteError: If a site is unknown.
    """
    table = model.site_table()
    built = table.resolve(target)
    ends = (built if source is None else table.resolve(source), built)
    size = model.spec.size
    image = torch.rand(1, model.spec.channels, *size, generator=torch.Generator().manual_seed(0))
    with own_settings(), hooks_asleep():
        # To the end, since weights may be used again behind the target.
        tape = run_tape(model, image, (*ends, replace(built, parts=(Part("", 0),))))
    origin = _Origins(tape, ends[0] if source is not None else None, model.name, target)
    found, first = [], 0
    for part in built.parts:
        for value in tape.parts[part]:
            for before in tape.before_activation(value) or (value,):
                made, signs = _maker(tape, before, f"{target!r} in {model.name!r}")
                found.append(_layer(model, tape, made, signs, first, origin))
                first += tape.shapes[before][1]
    return found


def _maker(tape: Tape, value: int, said: str) -> tuple[Operation, Tensor]:
    """Return the layer that made a value, and the signs that norms behind it gave."""
    signs = torch.ones(tape.shapes[value][1])
    while (made := tape.maker(value)) is not None:
        if made.name == "convolution" and not made.args[6]:
            return made, signs
        if made.name in _MATRIX:
            return made, signs
        if made.name in NORMS:
            scale = made.args[1]
            if isinstance(scale, Tensor):
                signs = signs * scale.detach().cpu().sign()
        elif made.name not in UNCHANGED:
            break
        value = made.inputs[0]
    what = "the image" if made is None else str(made)
    raise NotDirectError(
        f"{said} is not built by one layer of weights, but by {what}; name the convolution or "
        "linear layer whose weights are meant, or edit units"
    )


def _layer(
    model: Model, tape: Tape, made: Operation, signs: Tensor, first: int, origin: "_Origins"
) -> Layer:
    place = _MATRIX.get(made.name, 0)
    weight = made.args[place + 1]
    name, parameter = _parameter(model, weight, made)
    _check_used_once(model, tape, name, parameter)
    ref = made.args[place]
    groups = int(made.args[8]) if made.name == "convolution" else 1
    origins = origin.of(ref.value) if isinstance(ref, Ref) else ()
    return Layer(name, parameter, first, signs, groups, tuple(origins))


def _parameter(model: Model, weight: object, made: Operation) -> tuple[str, nn.Parameter]:
    if isinstance(weight, Tensor):
        for name, parameter in model.module.named_parameters():
            same = parameter.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()
            if same and parameter.numel() == weight.numel():
                return name, parameter
    raise CircuitError(
        f"the weights of {made} in {model.name!r} are no parameter of it but computed on the way, "
        "as by weight norm, and cannot be edited; edit units instead"
    )


def _check_used_once(model: Model, tape: Tape, name: str, parameter: nn.Parameter) -> None:
    same = (parameter.data_ptr(), parameter.numel())
    users = [
        operation
        for operation in tape.operations
        if any((each.data_ptr(), each.numel()) == same for each in operation.constants)
    ]
    if len(users) > 1:
        raise NotDirectError(
            f"{name!r} in {model.name!r} is used {len(users)} times in one pass, and an edit of it "
            "would change all of them; edit units of the call that is meant, or give each call a "
            "layer of its own"
        )


class _Origins:
    """Follows the channels of a value back to those of a site."""

    def __init__(self, tape: Tape, source: Site | None, model_name: str, target: str) -> None:
        self._tape = tape
        self._start: dict[int, int] = {}
        self._said = (source.name if source else "", target, model_name)
        first = -source.span[0] if source else 0
        for part in source.parts if source else ():
            for value in tape.parts[part]:
                self._start[value] = first
                first += tape.shapes[value][1]
        self._count = source.channels if source else 0
        self._after = self._descendants(self._start)

    def _descendants(self, values: Mapping[int, int]) -> set[int]:
        found = set(values)
        for operation in self._tape.operations:
            if found & set(operation.inputs):
                found.update(v for v in operation.outputs if v is not None)
        return found

    def of(self, value: int) -> list[int | None]:
        """Return, for each channel of a value, the channel of the source that it is.

        Raises:
            NotDirectError: If the value depends on the source in another way.
        """
        channels = self._tape.shapes[value][1]
        if value in self._start:
            first = self._start[value]
            places = range(first, first + channels)
            return [place if 0 <= place < self._count else None for place in places]
        if value not in self._after:
            return [None] * channels
        made = self._tape.maker(value)
        if made is not None and made.name == "cat":
            if cat_axis(made) in (1, 1 - len(self._tape.shapes[value])):
                return [place for part in made.inputs for place in self.of(part)]
        elif made is not None and len(made.inputs) == 1:
            before = self._tape.shapes[made.inputs[0]]
            if made.name in _CHANNELWISE and before[1] == channels:
                return self.of(made.inputs[0])
            if made.name in _RESHAPED and channels % before[1] == 0:
                # Flattened maps: all positions of a channel, then those of the next.
                each = channels // before[1]
                return [place for place in self.of(made.inputs[0]) for _ in range(each)]
        source, target, name = self._said
        raise NotDirectError(
            f"{target!r} in {name!r} does not read {source!r} directly: {made} lies between; "
            "name the site that its layer reads"
        )
