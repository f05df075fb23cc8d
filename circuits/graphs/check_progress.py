"""How far a check of a circuit is, for those who wait."""

from collections.abc import Callable, Sequence

Tell = Callable[[int, int], None]
"""Told how many parts are done, and how many there are; what it raises ends the check."""

CONTROL_PARTS = 8
"""A circuit built in another network takes about as long as so many selections."""


class CheckProgress:
    """Counts parts of a check, each as long as one selection of units takes.

    Args:
        parts: How many there are, about.
        tell: Who is told; None: nobody.
    """

    def __init__(self, parts: int, tell: Tell | None) -> None:
        self._parts, self._tell, self._done = parts, tell, 0

    def add(self, parts: int = 1) -> None:
        """Count some as done; never more than there are."""
        self._done = min(self._done + parts, self._parts)
        if self._tell is not None:
            self._tell(self._done, self._parts)

    def end(self) -> None:
        """Count all as done."""
        self.add(self._parts)


def count_parts(
    site_sets: Sequence[Sequence[str]], *, controls: int, draws: int, minimality: int
) -> int:
    """Return how many parts a check has, about: what was run already is not run again.

    Args:
        site_sets: Whose other units are silenced, in turn.
        controls: Circuits of other networks.
        draws: Random selections of each.
        minimality: Units that are left out in turn; 0: none are.
    """
    silenced = len(set(map(tuple, site_sets))) * (1 + draws)
    faithfulness = 2 + draws + (minimality + draws if minimality else 0)
    return controls * CONTROL_PARTS + silenced + faithfulness
