"""What the settings of a render put around an objective: diversity, a start to keep, transparency.

The one list of them, for all that looks past them at the objective that was asked for.
"""

from typing import TypeAlias

from featviz.objectives.base import Objective
from featviz.objectives.joint import Diverse
from featviz.objectives.near import Near
from featviz.objectives.transparency import Transparent

Shaped: TypeAlias = Diverse | Near | Transparent

SETTINGS: dict[type[Objective], str] = {Diverse: "diversity", Near: "keep", Transparent: "alpha"}
"""The setting that each comes from, which is also what its term is called."""


def unshaped(objective: Objective) -> Objective:
    """Return the objective that settings were put around, or one that stands alone as it is."""
    while isinstance(objective, Shaped):
        objective = objective.objective
    return objective
