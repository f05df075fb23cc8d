"""What the network sees of a batch of images at a step, and the scores it gets for that."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featviz.backdrops import Backdrops
from featviz.inference import InferenceCopy
from featviz.objectives import OUTSIDE, Activations, Part, Score, outside
from featviz.params import ImageParameters
from featviz.params.alpha import over
from featviz.transforms import Moves, Transforms


@dataclass(frozen=True)
class View:
    """Everything between the parameters of images and their scores.

    Attributes:
        parameters: Of the images.
        transforms: What moves them.
        moves: The numbers drawn for every step.
        network: Open inference copy.
        score: Scores image k by its objective.
        backdrops: What is behind transparent images; None: they are opaque.
    """

    parameters: ImageParameters
    transforms: Transforms
    moves: Moves
    network: InferenceCopy
    score: Score
    backdrops: Backdrops | None = None

    def look(
        self, step: int, *, asleep: Bool[Tensor, " b"] | None, keep_grad: bool
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, " b"]]:
        """Return the images as the network is given them to move, and their scores at a step.

        Args:
            step: Which moves to make.
            asleep: The images whose blocked gradients are redirected; None: none.
            keep_grad: Whether these images are to keep their gradient, that of what reads the
                network alone: penalties on the image have another way.
        """
        images: Tensor = self.parameters()
        alpha = None
        if self.backdrops is not None:
            alpha = images[:, -1:]
            images = over(images, self.backdrops[step])
        seen = images
        if keep_grad:
            seen = images.view_as(images)  # apart from what penalties read
            seen.retain_grad()
        views = self.transforms.views
        rows = asleep if asleep is None else asleep.repeat_interleave(views)
        found = self.network(self.transforms.apply(seen, self.moves[step]), asleep=rows)
        return seen, mean_over_views(self.score, views)({**outside(images, alpha), **found})


def mean_over_views(score: Score, views: int) -> Score:
    """Return a score of images from the activations of their views: the mean over these.

    Scored view by view, so that objectives of several images see one view of each.

    Args:
        score: Scores one view of each image.
        views: How many there are; those of an image lie next to each other. The images themselves
            and their alpha are there once.
    """
    if views == 1:
        return score

    def mean(activations: Activations) -> Float[Tensor, " b"]:
        split = {
            name: (rows,) * views if name in OUTSIDE else rows.unflatten(0, (-1, views)).unbind(1)
            for name, rows in activations.items()
        }
        scores = []
        for view in range(views):
            found = {name: parts[view] for name, parts in split.items()}
            rows = slice(view, None, views)
            scores.append(score(Part(found, whole=activations, rows=rows)))
        return torch.stack(scores).mean(0)

    return mean
