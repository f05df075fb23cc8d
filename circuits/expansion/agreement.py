"""How much the gate policies disagree: the check that belongs beside every expanded weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.expansion.expand import expand
from circuits.expansion.gates import NormPoint
from circuits.expansion.observed import Images
from circuits.expansion.weight_map import WeightMap
from featviz.errors import CircuitError
from featviz.models import Model

_DRAWS = 20


@dataclass(frozen=True, eq=False)
class GateReport:
    """Expanded weights under several policies, and how far they agree.

    Attributes:
        maps: The weights, one for each policy, of the same sources and targets.
        correlation: Pearson's correlation of the kernels of each target, between policies; not a
            number where a target has no weights.
        cosine: Cosine of the same.
        overlap: Share of the `top` strongest inputs (L2) that two policies have in common.
        top: How many inputs count as the strongest.
        chance_overlap: Overlap of two random choices.
        chance_correlation: Mean magnitude of the correlation after the inputs of one policy were
            shuffled, 20 times.
    """

    maps: tuple[WeightMap, ...]
    correlation: Float[Tensor, "t p p"]
    cosine: Float[Tensor, "t p p"]
    overlap: Float[Tensor, "t p p"]
    top: int
    chance_overlap: float
    chance_correlation: Float[Tensor, "t p p"]

    @property
    def gates(self) -> tuple[str, ...]:
        """The policies."""
        return tuple(weights.gates for weights in self.maps)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each target and pair of policies, with the random baselines."""
        pairs = list(combinations(range(len(self.maps)), 2))
        return [
            {
                "unit": f"{self.maps[0].target}:{channel}",
                "gates": [self.gates[a], self.gates[b]],
                "correlation": _number(self.correlation[row, a, b]),
                "chance_correlation": _number(self.chance_correlation[row, a, b]),
                "cosine": _number(self.cosine[row, a, b]),
                "top": self.top,
                "overlap": _number(self.overlap[row, a, b]),
                "chance_overlap": self.chance_overlap,
            }
            for row, channel in enumerate(self.maps[0].targets)
            for a, b in pairs
        ]


def _number(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None


def compare_gates(
    model: Model,
    source: str,
    target: str,
    *,
    units: Sequence[int] | None = None,
    gates: Sequence[str] = ("identity", "positive_top"),
    images: Images | None = None,
    lrn_at: NormPoint = None,
    pool: str = "average",
    times_activation: bool = True,
    method: str = "auto",
    size: tuple[int, int] | None = None,
    top: int = 12,
    seed: int = 0,
) -> GateReport:
    """Expand weights under several policies and say how far they agree.

    Args:
        model: See `expand`.
        source: See `expand`.
        target: See `expand`.
        units: See `expand`.
        gates: The policies, each once.
        images: See `expand`.
        lrn_at: See `expand`.
        pool: See `expand`.
        times_activation: See `expand`.
        method: See `expand`; `attribution` always takes gradients.
        size: See `expand`.
        top: How many of the strongest inputs to compare.
        seed: Decides how inputs are shuffled for the baseline.

    Raises:
        CircuitError: As `expand`; if a policy is named twice, or none is.
    """
    if not gates or len(set(gates)) != len(gates):
        raise CircuitError(f"name each gate policy once, and at least one; got {list(gates)}")
    maps = tuple(
        expand(
            model,
            source,
            target,
            units=units,
            gates=policy,
            images=images,
            lrn_at=lrn_at,
            pool=pool,
            times_activation=times_activation,
            method="auto" if policy == "attribution" else method,
            size=size,
        )
        for policy in gates
    )
    return measure_agreement(maps, top=top, seed=seed)


def measure_agreement(maps: Sequence[WeightMap], *, top: int = 12, seed: int = 0) -> GateReport:
    """Return how far weights agree that were expanded between the same sites.

    Args:
        maps: Of the same sources and targets; their kernels are aligned.
        top: How many of the strongest inputs to compare.
        seed: Decides how inputs are shuffled for the baseline.

    Raises:
        CircuitError: If the maps do not fit each other.
    """
    first = maps[0]
    for weights in maps:
        if (weights.sources, weights.targets, weights.stride) != (
            first.sources,
            first.targets,
            first.stride,
        ):
            raise CircuitError(f"{weights!r} and {first!r} do not belong together")
    kernels = torch.stack(_aligned(maps), 1)  # [t p i kh kw]
    count = min(top, kernels.shape[2])
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.zeros(len(kernels), len(maps), len(maps), dtype=torch.float64)
    for _ in range(_DRAWS):
        order = torch.randperm(kernels.shape[2], generator=generator)
        shuffled += _correlation(kernels, kernels[:, :, order]).abs() / _DRAWS
    return GateReport(
        maps=tuple(maps),
        correlation=_correlation(kernels, kernels),
        cosine=_cosine(kernels.flatten(2), kernels.flatten(2)),
        overlap=_overlap(kernels, count),
        top=count,
        chance_overlap=count / kernels.shape[2],
        chance_correlation=shuffled,
    )


def _aligned(maps: Sequence[WeightMap]) -> list[Tensor]:
    """Return the kernels with zeros around them, so that all cover the same window."""
    first = [min(m.offset[k] for m in maps) for k in (0, 1)]
    stop = [max(m.offset[k] + m.kernel.shape[2 + k] for m in maps) for k in (0, 1)]
    padded = []
    for m in maps:
        (top, left), (kh, kw) = m.offset, m.kernel.shape[2:]
        pads = (left - first[1], stop[1] - left - kw, top - first[0], stop[0] - top - kh)
        padded.append(torch.nn.functional.pad(m.kernel.double(), pads))
    return padded


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    norms = a.norm(dim=2)[:, :, None] * b.norm(dim=2)[:, None]
    cosine: Tensor = a @ b.mT / norms  # 0 / 0 where a target has no weights
    return cosine


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = (x.flatten(2) - x.flatten(2).mean(2, keepdim=True) for x in (a, b))
    return _cosine(a, b)


def _overlap(kernels: Tensor, count: int) -> Tensor:
    strength = kernels.flatten(3).norm(dim=3)  # [t p i]
    order = strength.argsort(dim=2, descending=True, stable=True)
    chosen = torch.zeros_like(strength)
    chosen.scatter_(2, order[..., :count], 1.0)
    shared: Tensor = chosen @ chosen.mT / count
    return shared
