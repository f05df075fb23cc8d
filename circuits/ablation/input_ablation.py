"""Whether a unit needs certain inputs: its response without them, beside random ones left out.

    replay = Replay(model, "inception_3a", "inception_3b")
    found = ablate_inputs(
        replay, maps, channel=326, inputs=(64, 173), read=largest_response(levels=4)
    )
    found.without / found.intact, found.share_above("matched")

Inputs that fire hard matter more than others whatever they mean, so one control draws inputs that
fire as hard on the same pictures.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.replay import Replay
from circuits.tuning.measuring import read_map
from featviz.errors import CircuitError

Read = Callable[[Float[Tensor, "n ..."]], float]
"""From what one unit gives, one map or number for each picture, to the number that is compared."""

CONTROLS = ("random", "matched")
SIDES = ("above", "below")
_NEAREST = 8
_SETS = ("random_sets", "matched_sets")


@dataclass(frozen=True)
class InputAblation:
    """What one unit gives without some of its inputs.

    Attributes:
        inputs: The channels that were set to zero.
        intact: The number with all inputs.
        without: The number without these.
        random: The number without as many others that fire on the pictures, one a draw.
        matched: The same for others of about the same mean activation, one a draw.
        random_sets: How many different sets the random draws hold; few are weak evidence, and of
            one set all draws agree whatever it is.
        matched_sets: The same of the matched draws.
    """

    inputs: tuple[int, ...]
    intact: float
    without: float
    random: tuple[float, ...]
    matched: tuple[float, ...]
    random_sets: int
    matched_sets: int

    def row(self, *, per: float = 1.0) -> dict[str, Any]:
        """Return the numbers for tables and JSON, with the means of the controls.

        Args:
            per: What responses are divided by, such as the peak of the unit's tuning.
        """
        means = {control: statistics.fmean(self._of(control)) / per for control in CONTROLS}
        shares = {
            f"{control}_{side}": share(control)
            for control in CONTROLS
            for side, share in (("above", self.share_above), ("below", self.share_below))
        }
        return {
            "inputs": list(self.inputs),
            "intact": self.intact / per,
            "without": self.without / per,
            **means,
            **shares,
            **{name: getattr(self, name) for name in _SETS},
        }

    def share_above(self, control: str) -> float:
        """Return the share of the draws of a control that give more than this.

        Args:
            control: `random` or `matched`.
        """
        drawn = self._of(control)
        return sum(value > self.without for value in drawn) / len(drawn)

    def share_below(self, control: str) -> float:
        """Return the share of the draws of a control that give less than this.

        Args:
            control: `random` or `matched`.
        """
        drawn = self._of(control)
        return sum(value < self.without for value in drawn) / len(drawn)

    def _of(self, control: str) -> tuple[float, ...]:
        if control not in CONTROLS:
            raise CircuitError(f"unknown control {control!r}; choose one of {', '.join(CONTROLS)}")
        return self.random if control == "random" else self.matched


def ablate_inputs(
    replay: Replay,
    activation: Float[Tensor, "n c *map"],
    *,
    channel: int,
    inputs: Sequence[int],
    read: Read,
    draws: int = 20,
    seed: int = 0,
) -> InputAblation:
    """Set inputs of a unit to zero, and as many others, and read its response each time.

    Args:
        replay: From the inputs' site to the unit's.
        activation: Of the inputs' site on some pictures.
        channel: The unit.
        inputs: Channels of the inputs' site, each once.
        read: Makes a number of the unit's maps.
        draws: Number of random sets of either kind, 1 or more.
        seed: Of the draws.

    Raises:
        CircuitError: If there are no such inputs, none or too few others fire on the pictures, or
            the number of draws is out of range.
    """
    chosen = list(inputs)
    channels = activation.shape[1]
    if (
        not chosen
        or len(set(chosen)) != len(chosen)
        or not 0 <= min(chosen) <= max(chosen) < channels
    ):
        raise CircuitError(
            f"inputs must be some of the channels 0 to {channels - 1}, each once, got {chosen}"
        )
    if draws < 1:
        raise CircuitError(f"draws must be 1 or more, got {draws}")
    axes = [axis for axis in range(activation.dim()) if axis != 1]
    strength = activation.float().clamp(min=0).mean(axes).cpu()
    others = [k for k in range(channels) if strength[k] > 0 and k not in set(chosen)]
    if len(others) < len(chosen):
        raise CircuitError(
            f"{len(chosen)} inputs are to be left out, and only {len(others)} others fire on these "
            "pictures, too few for a control; leave out fewer"
        )
    generator = torch.Generator().manual_seed(seed)

    def without(dropped: Sequence[int]) -> float:
        changed = activation.clone()
        changed[:, list(dropped)] = 0
        return read(replay(changed)[:, channel])

    random = [_drawn(others, len(chosen), generator) for _ in range(draws)]
    matched = [_matched(chosen, others, strength, generator) for _ in range(draws)]
    return InputAblation(
        inputs=tuple(chosen),
        intact=without([]),
        without=without(chosen),
        random=tuple(map(without, random)),
        matched=tuple(map(without, matched)),
        random_sets=len(set(map(frozenset, random))),
        matched_sets=len(set(map(frozenset, matched))),
    )


def largest_response(levels: int) -> Read:
    """Return a reading of the maps of orientations x levels: that of tuning curves.

    The largest of the 3x3 middle positions, its mean over the levels, and of these the largest over
    the orientations.

    Args:
        levels: How many pictures in a row show one orientation.
    """
    return lambda maps: float(read_map(maps[:, None], "center").view(-1, levels).mean(1).amax())


def summarise_rows(rows: Sequence[Mapping[str, Any]], *, side: str) -> dict[str, float]:
    """Return the means of rows of `InputAblation.row`, and in how many no draw went as far.

    With them stands the smallest number of different sets that the draws of a row hold.

    Args:
        rows: One a unit, one at least.
        side: Where the draws lie if the inputs matter: `above` what is left without them, or
            `below`.

    Raises:
        CircuitError: If there is no row, or no such side.
    """
    if not rows or side not in SIDES:
        raise CircuitError(
            f"{len(rows)} rows, side {side!r}; give one row at least, and one of {', '.join(SIDES)}"
        )
    means = {
        name: statistics.fmean(row[name] for row in rows)
        for name in ("intact", "without", *CONTROLS)
    }
    beyond = {
        f"beyond_{share:.0%}_of_{control}": sum(row[f"{control}_{side}"] >= share for row in rows)
        for control in CONTROLS
        for share in (1.0, 0.95)
    }
    inputs = statistics.fmean(len(row["inputs"]) for row in rows)
    fewest = {f"fewest_{name}": min(row[name] for row in rows) for name in _SETS}
    return {"units": len(rows), "inputs": inputs, **means, **beyond, **fewest}


def _drawn(pool: Sequence[int], count: int, generator: torch.Generator) -> list[int]:
    order = torch.randperm(len(pool), generator=generator)[:count]
    return [pool[k] for k in order.tolist()]


def _matched(
    chosen: Sequence[int], pool: Sequence[int], strength: Tensor, generator: torch.Generator
) -> list[int]:
    """Return for each chosen input one of the others nearest in strength, none twice."""
    left = list(pool)
    taken = []
    for channel in chosen:
        left.sort(key=lambda k: abs(float(strength[k] - strength[channel])))
        pick = int(torch.randint(min(_NEAREST, len(left)), (1,), generator=generator))
        taken.append(left.pop(pick))
    return taken
