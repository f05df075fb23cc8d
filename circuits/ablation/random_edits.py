"""Edits of the same size at random: what an ablation means nothing beside."""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor

from circuits.ablation.editing import planned, unedited
from circuits.ablation.edits import Edit
from circuits.ablation.plans import Choice, Plan, choices, together
from featviz.errors import CircuitError
from featviz.models import Model

MANY = 1_000_000
"""Where counting possible random edits stops."""


class RandomEdits:
    """Edits of the same kind and size as given ones, of units and weights chosen at random.

    Units are drawn among the others of their site, and inputs among the others that the targets
    read; where fewer others are left than are needed, among all. Dropped weights are drawn among
    those of the same units and inputs that are not 0, of both signs, as many in each layer.

    Args:
        model: The network; edits of blocks around this are not seen.
        edits: See `edited`.
        images: See `edited`.

    Attributes:
        distinct: How many different ones there are, at most `MANY`; 0: there is no control.
        overlap: Share of the edits' own units and weights that a random edit is expected to hold,
            the largest of all edits, 0..1.

    Raises:
        CircuitError: As `edited`.
        SiteError: As `edited`.
        UnitError: As `edited`.
    """

    def __init__(
        self,
        model: Model,
        edits: Sequence[Edit],
        *,
        images: Float[Tensor, "n c h w"] | None = None,
    ) -> None:
        self._edits, self._name = list(edits), model.name
        with unedited(model):
            self._choices = [c for edit in edits for c in choices(model, edit, images=images)]
        found = [_possible(choice) for choice in self._choices] or [0]
        self.distinct = min(math.prod(found), MANY)
        self.overlap = max((_overlap(choice) for choice in self._choices), default=0.0)

    def plan(self, seed: int) -> Plan:
        """Return one of them.

        Args:
            seed: Of the choice.

        Raises:
            CircuitError: If there is none.
        """
        return self._drawn(seed)[1]

    def plans(self, draws: int, *, seed: int) -> Iterator[Plan]:
        """Yield different ones: as many as asked for, or all there are if those are fewer.

        Args:
            draws: How many, 0 or more.
            seed: Of the first.

        Raises:
            CircuitError: If there is none and some are asked for.
        """
        seen: set[int] = set()
        while len(seen) < draws and (not seen or len(seen) < self.distinct):
            key, plan = self._drawn(seed)
            seed += 1
            if key not in seen:
                seen.add(key)
                yield plan

    def _drawn(self, seed: int) -> tuple[int, Plan]:
        if not self.distinct:
            said = ", ".join(f"'{edit}'" for edit in self._edits)
            raise CircuitError(
                f"there is no random edit of the size of {said} in {self._name!r}: nothing else "
                "can be chosen; edit less, or ask for no draws"
            )
        generator = random.Random(seed)
        places = [_draw(choice, generator) for choice in self._choices]
        plans = [c.plan(chosen) for c, chosen in zip(self._choices, places, strict=True)]
        return hash(tuple(tuple(sorted(chosen)) for chosen in places)), together(plans)


@contextmanager
def edited_at_random(
    model: Model,
    edits: Sequence[Edit],
    *,
    seed: int,
    images: Float[Tensor, "n c h w"] | None = None,
) -> Iterator[None]:
    """Make edits of the same kind and size, chosen at random as `RandomEdits` says.

    Args:
        model: See `edited`.
        edits: See `edited`.
        seed: Of the choice.
        images: See `edited`.

    Raises:
        CircuitError: As `edited`, or if nothing else can be chosen.
        SiteError: As `edited`.
        UnitError: As `edited`.
    """
    with planned(model, RandomEdits(model, edits, images=images).plan(seed)):
        yield


def _others(choice: Choice) -> list[int]:
    """Return what a random choice is made of."""
    own = set(choice.own)
    others = [place for place in choice.pool if place not in own]
    return others if choice.units and len(others) >= len(own) else list(choice.pool)


def _draw(choice: Choice, generator: random.Random) -> list[int]:
    others, own = _others(choice), set(choice.own)
    while True:
        chosen = generator.sample(others, len(own))
        if set(chosen) != own:
            return sorted(chosen)


def _possible(choice: Choice) -> int:
    """Count the choices other than the edit's own, up to `MANY`."""
    total, count = len(_others(choice)), len(choice.own)
    if not count:
        return 0
    logarithm = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    if logarithm > math.log(MANY):
        return MANY
    inside = set(choice.own) <= set(_others(choice))
    return math.comb(total, count) - inside


def _overlap(choice: Choice) -> float:
    others = set(_others(choice))
    shared = len(others & set(choice.own))
    return shared / len(others) if others else 0.0
