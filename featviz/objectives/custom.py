"""Objectives from any function of recorded activations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from featviz.errors import ObjectiveError
from featviz.objectives.activations import Activations
from featviz.objectives.base import Objective
from featviz.sites import Site


@dataclass(frozen=True)
class Custom(Objective):
    """Any function of recorded activations; make it with `objective`."""

    function: Callable[[Activations], Tensor]
    site_names: tuple[str, ...]
    name: str

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites handed to the function."""
        return self.site_names

    @property
    def label(self) -> str:
        """The name given."""
        return self.name

    def check(self, sites: Mapping[str, Site]) -> None:
        """Do nothing: only the function knows what it needs."""
        del sites

    def score(self, activations: Activations) -> Float[Tensor, "*b"]:
        """Call the function.

        Raises:
            ObjectiveError: If it does not return one number an image.
        """
        b = next(iter(activations.values())).shape[0]
        score = self.function(activations)
        if not isinstance(score, Tensor) or score.shape != (b,):
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise ObjectiveError(
                f"objective {self.name!r} must return one score an image, a tensor of shape "
                f"({b},); got {got}"
            )
        return score


def objective(
    function: Callable[[Activations], Tensor], *, sites: Sequence[str], label: str | None = None
) -> Custom:
    """Make an objective of any function of recorded activations.

    Args:
        function: Takes site name -> activation [b c h w], returns one score an image [b], each
            from its own image alone.
        sites: Sites to record.
        label: Readable name; None for the function's own.

    Raises:
        ObjectiveError: If no site is named.
    """
    if isinstance(sites, str) or not sites:
        raise ObjectiveError(f"sites must be a list with at least one site name, got {sites!r}")
    name = label if label is not None else getattr(function, "__name__", "objective")
    return Custom(function, tuple(sites), name)
