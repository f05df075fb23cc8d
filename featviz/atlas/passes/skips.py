"""What was left out of a pass over images, and why: all counted, the first ones by name."""

from dataclasses import dataclass, field

_NAMED = 1000
_REASONS = 100
_OTHERS = "other reasons"


@dataclass
class Skips:
    """Files or images that were left out; a bounded amount, however many there are.

    Attributes:
        counts: Reason -> how many; beyond 100 reasons the rest count as `other reasons`.
        first: Names and reasons of the first 1000.
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: list[list[str]] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Count one, and name it if there is room."""
        if len(self.first) < _NAMED:
            self.first.append([name, reason])
        key = reason if reason in self.counts or len(self.counts) < _REASONS else _OTHERS
        self.counts[key] = self.counts.get(key, 0) + 1

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(self.counts.values())
