"""What breaks when a network is edited: units, their tuning, classes; each beside random edits."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.ablation.chance import DRAWS
from circuits.ablation.editing import edited, planned
from circuits.ablation.edits import Edit
from circuits.ablation.random_edits import RandomEdits
from circuits.ablation.reach import check_reach
from circuits.tuning.curve import TuningCurve
from circuits.tuning.measuring import TuningConfig, measure_tuning
from featviz.borrowing import own_settings
from featviz.errors import CircuitError, UnitError
from featviz.models import Model

_BATCH = 16
_T = TypeVar("_T")
Images = Float[Tensor, "n c h w"]


@dataclass(frozen=True)
class UnitEffect:
    """What an edit does to the activation of one unit over images and positions.

    Attributes:
        correlation: Pearson's, of before and after; not a number where either is constant.
        mean_before: Mean activation.
        mean_after: Mean activation.
    """

    correlation: float
    mean_before: float
    mean_after: float

    @property
    def mean_change(self) -> float:
        """Mean activation after minus that before."""
        return self.mean_after - self.mean_before


@dataclass(frozen=True, eq=False)
class TuningEffect:
    """The tuning of a unit before, after, and under random edits of the same size.

    Attributes:
        before: Of the network as it is.
        after: Of the edited one.
        random: One for each random draw; chance.py compares them.
    """

    before: TuningCurve
    after: TuningCurve
    random: tuple[TuningCurve, ...]


@dataclass(frozen=True)
class ClassEffect:
    """What an edit does to some classes.

    Attributes:
        classes: Outputs of the network.
        logit: Mean logit of each.
        probability: Mean softmax probability of each.
        rank: Mean rank of each among all, 1 for the largest output.
        agreement: Share of the images whose largest output is that of the full network.
    """

    classes: tuple[int, ...]
    logit: tuple[float, ...]
    probability: tuple[float, ...]
    rank: tuple[float, ...]
    agreement: float


@own_settings()
def tuning_effects(
    model: Model,
    edits: Sequence[Edit],
    site: str,
    units: Sequence[int],
    *,
    stimulus: str = "curve",
    config: TuningConfig | None = None,
    images: Images | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[TuningEffect]:
    """Measure the tuning of units before and after edits.

    Args:
        model: The network; restored.
        edits: What is changed, see `edited`.
        site: Site of the units.
        units: Channels.
        stimulus: See `measure_tuning`.
        config: See `measure_tuning`.
        images: For edits to the mean.
        draws: How many random edits of the same size to measure too; fewer are if there are fewer
            different ones.
        seed: Of the random edits.

    Returns:
        One a unit.

    Raises:
        CircuitError: As `edited` and `measure_tuning`; if an edit cannot change the units, or
            there is no random edit and one is asked for.
    """
    check_reach(model, edits, site, units)

    def measure() -> list[TuningCurve]:
        return measure_tuning(model, site, units, stimulus=stimulus, config=config)

    before, after, drawn = _runs(model, edits, measure, images=images, draws=draws, seed=seed)
    return [
        TuningEffect(one, other, tuple(curves[k] for curves in drawn))
        for k, (one, other) in enumerate(zip(before, after, strict=True))
    ]


@own_settings()
def unit_effects(
    model: Model,
    edits: Sequence[Edit],
    site: str,
    units: Sequence[int],
    images: Images,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[tuple[UnitEffect, tuple[UnitEffect, ...]]]:
    """Compare the activations of units before and after edits.

    Args:
        model: The network; restored.
        edits: What is changed, see `edited`.
        site: Site of the units.
        units: Channels.
        images: RGB (or the network's own channels), 0..1; also for edits to the mean.
        draws: How many random edits of the same size to measure too; fewer are if there are fewer
            different ones.
        seed: Of the random edits.

    Returns:
        For each unit, the effect and those of the random edits.

    Raises:
        CircuitError: As `edited`; if there are no images, an edit cannot change the units, or
            there is no random edit and one is asked for.
    """
    channels = list(units)
    check_reach(model, edits, site, channels)

    def measure() -> Tensor:
        return _activations(model, images, site)[:, channels].transpose(0, 1).flatten(1)

    before, after, drawn = _runs(model, edits, measure, images=images, draws=draws, seed=seed)
    return [
        (_compared(before[k], after[k]), tuple(_compared(before[k], x[k]) for x in drawn))
        for k in range(len(channels))
    ]


@own_settings()
def class_effects(
    model: Model,
    edits: Sequence[Edit],
    classes: Sequence[int],
    images: Images,
    *,
    site: str = "logits",
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[ClassEffect, ClassEffect, tuple[ClassEffect, ...]]:
    """Compare what a network says about classes before and after edits.

    Args:
        model: The network; restored.
        edits: What is changed, see `edited`.
        classes: Channels of the output.
        images: RGB (or the network's own channels), 0..1.
        site: The output, before softmax; of maps, the mean over positions counts.
        draws: How many random edits of the same size to measure too; fewer are if there are fewer
            different ones.
        seed: Of the random edits.

    Returns:
        Before (agreement 1), after, and one for each random edit.

    Raises:
        CircuitError: As `unit_effects`.
        UnitError: If there is no such class.
    """
    outputs = model.site_table().resolve(site).channels
    for name in classes:
        if not 0 <= name < outputs:
            raise UnitError(f"class {name} is out of range: {site!r} has {outputs}")
    # All outputs: probabilities and ranks hang on the others.
    check_reach(model, edits, site, range(outputs))

    def measure() -> Tensor:
        return _activations(model, images, site).flatten(2).mean(2)

    before, after, drawn = _runs(model, edits, measure, images=images, draws=draws, seed=seed)
    found = [_about(outputs, before, classes) for outputs in (before, after, *drawn)]
    return found[0], found[1], tuple(found[2:])


def _about(outputs: Tensor, full: Tensor, classes: Sequence[int]) -> ClassEffect:
    probability = outputs.softmax(1).mean(0)
    logit = outputs.mean(0)
    above = [(outputs > outputs[:, k : k + 1]).sum(1).double().mean() for k in classes]
    return ClassEffect(
        classes=tuple(classes),
        logit=tuple(float(logit[k]) for k in classes),
        probability=tuple(float(probability[k]) for k in classes),
        rank=tuple(1 + float(each) for each in above),
        agreement=float((outputs.argmax(1) == full.argmax(1)).double().mean()),
    )


def _runs(
    model: Model,
    edits: Sequence[Edit],
    measure: Callable[[], _T],
    *,
    images: Images | None,
    draws: int,
    seed: int,
) -> tuple[_T, _T, list[_T]]:
    """Measure the network as it is, edited, and edited at random."""
    before = measure()
    with edited(model, edits, images=images):
        after = measure()
    drawn = []
    if draws:
        for plan in RandomEdits(model, edits, images=images).plans(draws, seed=seed):
            with planned(model, plan):
                drawn.append(measure())
    return before, after, drawn


@torch.no_grad()
def _activations(model: Model, images: Images, site: str) -> Tensor:
    if not len(images):
        raise CircuitError("no images to measure on; give one at least")
    batches = (model.record(b.to(model.device), [site])[site].cpu() for b in images.split(_BATCH))
    found = torch.cat(list(batches))
    return found if found.dim() == 4 else found[:, :, None, None]


def _compared(before: Tensor, after: Tensor) -> UnitEffect:
    return UnitEffect(
        correlation=correlation(before, after),
        mean_before=float(before.double().mean()),
        mean_after=float(after.double().mean()),
    )


def correlation(a: Tensor, b: Tensor) -> float:
    """Return Pearson's correlation of all numbers of two tensors; not a number if one is constant.

    Args:
        a: Any shape.
        b: The same.
    """
    a, b = (x.detach().double().flatten() - x.detach().double().mean() for x in (a, b))
    spread = float(a.norm() * b.norm())
    return float(a @ b) / spread if spread > 0 else math.nan
