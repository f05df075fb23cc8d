"""Images in two halves: one chooses the units of a circuit, the other checks it.

    halves = hold_out(images, seed=0)
    graph = build_graph(model, "fire5:38", score="contribution", images=halves.choosing)
    check_circuit(model, graph, halves)

Units chosen because they do much on some images do much on these: a check on the same ones
flatters the circuit. Drawn stimuli of both halves are alike, and photographs less so.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 16
"""Images, of which half are held out: a correlation over fewer than 8 says little."""


@dataclass(frozen=True)
class HeldOut:
    """Images that choose the units of a circuit, and others that check it.

    Attributes:
        choosing: For `build_graph`.
        checking: For the check.
        why_not: Why these are the same images; empty if they are not.
    """

    choosing: Float[Tensor, "n c h w"]
    checking: Float[Tensor, "m c h w"]
    why_not: str = ""

    @property
    def chosen_on(self) -> int:
        """How many other images choose the units; 0 if there are none."""
        return 0 if self.why_not else len(self.choosing)


def hold_out(images: Float[Tensor, "n c h w"], *, seed: int = 0) -> HeldOut:
    """Return images in two halves, drawn at random; all of them twice if they are too few.

    Args:
        images: Any; of an odd number, the one more is held out.
        seed: Of the draw.
    """
    count = len(images)
    if count < LEAST:
        why = f"{count} images are too few to hold half of them out, {LEAST} are needed"
        return HeldOut(images, images, why)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    # In the order given, so that a half is what it is whatever the draw.
    some, rest = (part.sort().values for part in (order[: count // 2], order[count // 2 :]))
    return HeldOut(images[some.to(images.device)], images[rest.to(images.device)])
