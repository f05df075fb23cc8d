"""The one optimisation loop: a batch of images climbs, each towards its own objective."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.config import RenderConfig
from featviz.errors import ObjectiveError
from featviz.inference import InferenceCopy
from featviz.kept_memory import kept_memory
from featviz.objectives import Activations, Objective, Score, bind
from featviz.params import ImageParameters, parse_parameterisation
from featviz.transforms import parse_transforms

# Reading a number from a GPU waits for it; a batch that is lost to NaN may run on for so long.
_CHECK_EVERY = 32


@dataclass(frozen=True)
class Ascent:
    """Where a batch of images got to.

    Attributes:
        images: Values 0..1, on the CPU.
        history: Score of the transformed images at each step; NaN for steps not done.
        frames: Threshold -> images after that step.
        steps_done: How many steps were done.
        interrupted: Whether the user stopped it.
    """

    images: Float[Tensor, "b c h w"]
    history: Float[Tensor, "b steps"]
    frames: dict[int, Float[Tensor, "b c h w"]]
    steps_done: int
    interrupted: bool


def image_generator(seed: int, label: str) -> torch.Generator:
    """Return the random generator of one image, the same whatever else is in the batch.

    Args:
        seed: The seed of the render.
        label: The label of the objective.
    """
    digest = hashlib.sha256(f"{seed}|{label}".encode()).digest()
    # Mersenne Twister fills its state well only from seeds of many set bits: use 63 of them.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@kept_memory()
def ascend(
    network: InferenceCopy,
    objectives: Sequence[Objective],
    *,
    config: RenderConfig,
    channels: int,
    size: tuple[int, int],
    device: torch.device,
    on_step: Callable[[int], None],
) -> Ascent:
    """Maximise one objective an image with Adam.

    Images share nothing but the computation: each has its own generator, score and parameters,
    and the gradient is that of the sum of the scores. All random numbers are drawn before the
    first step, on the CPU.

    An image that gets no gradient is asleep: as long as it is, ReLUs that block all of its
    gradient let through what pushes them up. Lucid does so for the first 16 steps; deep units may
    need longer, and images that are awake are not touched.

    Args:
        network: Open inference copy.
        objectives: One an image.
        config: The settings.
        channels: Channels of the images.
        size: Height and width of the images in pixels.
        device: Where to compute.
        on_step: Called after each step with the number of steps done.

    Raises:
        ObjectiveError: If an objective does not depend on the image.
    """
    generators = [image_generator(config.seed, objective.label) for objective in objectives]
    param = parse_parameterisation(config.param)
    parameters = param.start(channels=channels, size=size, generators=generators, device=device)
    transforms = parse_transforms(config.transforms)
    moves = transforms.draw_batch(
        config.steps, channels=channels, size=size, generators=generators
    ).to(device)
    score = _mean_over_views(bind(objectives, device=device), transforms.views)
    optimiser = torch.optim.Adam(
        parameters.parameters(), lr=config.learning_rate, fused=device.type in {"cpu", "cuda"}
    )
    history = torch.full((config.steps, len(objectives)), torch.nan, device=device)
    frames: dict[int, Tensor] = {}
    done, interrupted = 0, False
    asleep = torch.ones(len(objectives), dtype=torch.bool, device=device)
    waking = config.redirect_steps > 0
    try:
        for step in range(config.steps):
            # After every `redirect_steps` steps comes one without, to see who is still asleep.
            looking = waking and (step + 1) % (config.redirect_steps + 1) == 0
            images = parameters()
            moved = transforms.apply(images, moves[step])
            rows = asleep.repeat_interleave(transforms.views)
            scores = score(network(moved, asleep=rows if waking and not looking else None))
            if looking:
                images.retain_grad()
            _climb(scores, objectives, optimiser)
            if looking and images.grad is not None:
                asleep &= (images.grad == 0).flatten(1).all(1)
                waking = bool(asleep.any())
            history[step] = scores.detach()
            done = step + 1
            if done in config.thresholds:
                frames[done] = _snapshot(parameters)
            on_step(done)
            if done % _CHECK_EVERY == 0 and not history[step].isfinite().any():
                break
    except KeyboardInterrupt:
        interrupted = True
    return Ascent(_snapshot(parameters), history.T.cpu(), frames, done, interrupted)


def _mean_over_views(score: Score, views: int) -> Score:
    """Return a score of images from the activations of their views: the mean over these."""
    if views == 1:
        return score

    def mean(activations: Activations) -> Float[Tensor, " b"]:
        split = {
            name: rows.unflatten(0, (-1, views)).unbind(1) for name, rows in activations.items()
        }
        scores = [
            score({name: parts[view] for name, parts in split.items()}) for view in range(views)
        ]
        return torch.stack(scores).mean(0)

    return mean


def _climb(
    scores: Tensor, objectives: Sequence[Objective], optimiser: torch.optim.Optimizer
) -> None:
    if not scores.requires_grad:
        raise ObjectiveError(
            f"{objectives[0].label!r} does not depend on the image; use the activations that the "
            "objective is given, without detach() or torch.no_grad()"
        )
    optimiser.zero_grad(set_to_none=True)
    # Objectives are maximised everywhere; the sign is turned here and nowhere else.
    (-scores.sum()).backward()
    optimiser.step()


def _snapshot(parameters: ImageParameters) -> Tensor:
    with torch.no_grad():
        images: Tensor = parameters()
    return images.float().cpu()
