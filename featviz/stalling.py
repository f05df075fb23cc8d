"""When an image has stopped climbing: its smoothed score no longer rises."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Scores of moved images scatter by 4 to 8 percent of their mean from step to step, so that the
# highest of them is luck: taken as it is, it stops images that still climb. A mean over much more
# than half the patience would lag behind what it watches.
_MEMORY_SHARE = 0.5


class Stalling:
    """Which images of a batch have stopped, each by its own scores; nothing waits for the device.

    Early stopping as Keras and Lightning have it: an image stops when its score has not been above
    the best one by more than `min_delta` times its size for `patience` steps. What counts is not
    the score of a step but the exponentially weighted mean over the steps so far, whose weights
    fall to 1/e over half the patience, divided by the sum of its weights (as Kingma and Ba 2015,
    section 3, correct for the start). Steps at which an image is asleep do not count.

    The images of one group stop together, at the first step at which each of them has stalled.

    Args:
        patience: Steps.
        min_delta: What counts as a rise, relative to the best.
        groups: For each image the number of its group, 0 or more.
        device: Where the scores are.

    Attributes:
        stopped_at: Steps done when an image stopped; 0 for those that go on.
        numbers: Weighted sum of scores, sum of weights, best mean, steps since then.
    """

    def __init__(
        self, *, patience: int, min_delta: float, groups: Sequence[int], device: torch.device
    ) -> None:
        self._patience, self._min_delta = patience, min_delta
        self._fade = 1 - 1 / max(1.0, _MEMORY_SHARE * patience)
        self._groups = torch.tensor(groups, device=device)
        self.stopped_at = torch.zeros(len(groups), dtype=torch.int64, device=device)
        start = torch.tensor([0.0, 0.0, -torch.inf, 0.0], device=device)
        self.numbers: Float[Tensor, "b 4"] = start.repeat(len(groups), 1)

    @property
    def stopped(self) -> Bool[Tensor, " b"]:
        """Which images have stopped."""
        return self.stopped_at > 0

    def watch(
        self, done: int, scores: Float[Tensor, " b"], *, awake: Bool[Tensor, " b"] | None
    ) -> None:
        """Take in the scores of a step.

        Args:
            done: Steps done, this one included.
            scores: Of all images.
            awake: Images for which the step counts; None: all.
        """
        counts = ~self.stopped if awake is None else awake & ~self.stopped
        total, weight, best, age = self.numbers.unbind(1)
        new_total, new_weight = self._fade * total + scores, self._fade * weight + 1
        mean = new_total / new_weight
        # The first mean is above minus infinity by any measure; times 0.01 that is no number.
        margin = self._min_delta * best.abs().nan_to_num(posinf=0.0)
        risen = mean > best + margin
        new = [new_total, new_weight, best.where(~risen, mean), (age + 1).where(~risen, 0.0)]
        self.numbers = torch.stack(new, 1).where(counts[:, None], self.numbers)
        stalled = (self.numbers[:, 3] >= self._patience).int()
        whole = torch.ones_like(stalled).scatter_reduce(0, self._groups, stalled, "amin")
        stops = whole[self._groups].bool() & ~self.stopped
        self.stopped_at = self.stopped_at.where(~stops, done)
