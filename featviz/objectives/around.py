"""What stands around an objective and changes its score, but not what it is called."""

from collections.abc import Mapping

from featviz.objectives.base import Objective
from featviz.sites import Site


class Around(Objective):
    """Base of objectives that are another one with a condition on the image.

    Attributes:
        objective: The one inside.
    """

    objective: Objective

    @property
    def parts(self) -> tuple[Objective, ...]:
        """The objective."""
        return (self.objective,)

    @property
    def label(self) -> str:
        """That of the objective."""
        return self.objective.label

    def check(self, sites: Mapping[str, Site]) -> None:
        """Check the objective."""
        self.objective.check(sites)
