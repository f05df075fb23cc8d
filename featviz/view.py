"""What the network sees of a batch of images at a step, and the scores it gets for that."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featviz.inference import InferenceCopy
from featviz.objectives import IMAGE, Activations, Part, Score
from featviz.params import ImageParameters
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
    """

    parameters: ImageParameters
    transforms: Transforms
    moves: Moves
    network: InferenceCopy
    score: Score

    def look(
        self, step: int, *, asleep: Bool[Tensor, " b"] | None, keep_grad: bool
    ) -> tuple[Float[Tensor, "rows c h w"], Float[Tensor, " b"]]:
        """Return what the network saw of the images, moved, and their scores at a step.

        Args:
            step: Which moves to make.
            asleep: The images whose blocked gradients are redirected; None: none.
            keep_grad: Whether what the network saw is to keep its gradient, that of what reads the
                network alone: penalties on the image have another way.
        """
        images: Tensor = self.parameters()
        views = self.transforms.views
        moved = self.transforms.apply(images, self.moves[step])
        if keep_grad:
            moved = moved.view_as(moved)  # apart from the images, also where nothing moves
            moved.retain_grad()
        rows = asleep if asleep is None else asleep.repeat_interleave(views)
        found = self.network(moved, asleep=rows)
        return moved, mean_over_views(self.score, views)({IMAGE: images, **found})


def mean_over_views(score: Score, views: int) -> Score:
    """Return a score of images from the activations of their views: the mean over these.

    Scored view by view, so that objectives of several images see one view of each.

    Args:
        score: Scores one view of each image.
        views: How many there are; those of an image lie next to each other. The images themselves
            are there once.
    """
    if views == 1:
        return score

    def mean(activations: Activations) -> Float[Tensor, " b"]:
        split = {
            name: (rows,) * views if name == IMAGE else rows.unflatten(0, (-1, views)).unbind(1)
            for name, rows in activations.items()
        }
        scores = []
        for view in range(views):
            found = {name: parts[view] for name, parts in split.items()}
            rows = slice(view, None, views)
            scores.append(score(Part(found, whole=activations, rows=rows)))
        return torch.stack(scores).mean(0)

    return mean
