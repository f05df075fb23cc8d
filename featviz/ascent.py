"""The one optimisation loop: a batch of images climbs, each towards its own objective."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featviz.backdrops import Backdrops
from featviz.config import RenderConfig
from featviz.errors import ObjectiveError
from featviz.inference import InferenceCopy
from featviz.kept_memory import kept_memory
from featviz.objectives import Objective, Score, bind
from featviz.optimisers import make_optimiser
from featviz.params import ImageParameters, parse_parameterisation
from featviz.starting import NOISE, Origin, start
from featviz.transforms import parse_transforms
from featviz.view import View

# Reading a number from a GPU waits for it; a batch that is lost to NaN may run on for so long.
_CHECK_EVERY = 32


@dataclass(frozen=True)
class Ascent:
    """Where a batch of images got to.

    Attributes:
        images: Values 0..1, on the CPU; of transparent images alpha last.
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


@dataclass(frozen=True)
class Moment:
    """Where a batch stands after a step: what callbacks are given.

    Attributes:
        step: Steps done, from 1 on.
        labels: One an image of the batch.
    """

    step: int
    labels: tuple[str, ...]
    _scores: Tensor
    _parameters: ImageParameters

    def scores(self) -> Float[Tensor, " b"]:
        """Return the scores of the moved images at this step, on the CPU."""
        return self._scores.cpu()

    def images(self) -> Float[Tensor, "b c h w"]:
        """Return the images, 0..1, alpha last if they have one, on the CPU.

        Valid while the callback runs.
        """
        return _snapshot(self._parameters)


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
    labels: Sequence[str],
    config: RenderConfig,
    channels: int,
    size: tuple[int, int],
    device: torch.device,
    on_step: Callable[[Moment], None],
    origin: Origin = NOISE,
) -> Ascent:
    """Maximise one objective an image.

    Images share nothing but the computation: each has its own generator, score and parameters,
    and the gradient is that of the sum of the scores. All random numbers are drawn before the
    first step, on the CPU.

    An image that gets no gradient is asleep: as long as it is, ReLUs that block all of its
    gradient let through what pushes them up. Lucid does so for the first 16 steps; deep units may
    need longer, and images that are awake are not touched. A redirected gradient is that of no
    function, so L-BFGS, which searches along it, takes over from Adam when the image is awake.

    Args:
        network: Open inference copy.
        objectives: One an image.
        labels: One an image; with the seed they decide its random numbers.
        config: The settings.
        channels: Channels that the network takes.
        size: Height and width of the images in pixels.
        device: Where to compute.
        on_step: Called after each step; a KeyboardInterrupt from it ends the climb.
        origin: What the images start from.

    Raises:
        ObjectiveError: If an objective does not depend on the image.
    """
    generators = [image_generator(config.seed, label) for label in labels]
    parameters = start(
        config, channels=channels, size=size, generators=generators, device=device, origin=origin
    )
    score = bind(objectives, device=device)
    view = _draw_view(config, parameters, network, score, channels, size, generators)
    mask = origin.mask if origin.mask is None else origin.mask.to(device)
    waker, optimiser = _make_optimisers(parameters, config=config, device=device)
    history = torch.full((config.steps, len(objectives)), torch.nan, device=device)
    frames: dict[int, Tensor] = {}
    done, interrupted = 0, False
    asleep = torch.ones(len(objectives), dtype=torch.bool, device=device)
    waking = config.redirect_steps > 0
    try:
        for step in range(config.steps):
            # After every `redirect_steps` steps comes one without, to see who is still asleep.
            looking = waking and (step + 1) % (config.redirect_steps + 1) == 0
            redirected = asleep if waking and not looking else None
            seen, scores = _climb(
                partial(view.look, step, asleep=redirected, keep_grad=looking),
                labels[0],
                waker if waking else optimiser,
            )
            if looking and seen.grad is not None:
                asleep &= _is_blank(seen.grad, mask)
                waking = bool(asleep.any())
            history[step] = scores
            done = step + 1
            if done in config.thresholds:
                frames[done] = _snapshot(parameters)
            on_step(Moment(done, tuple(labels), scores, parameters))
            if done % _CHECK_EVERY == 0 and not history[step].isfinite().any():
                break
    except KeyboardInterrupt:
        interrupted = True
    return Ascent(_snapshot(parameters), history.T.cpu(), frames, done, interrupted)


def _draw_view(
    config: RenderConfig,
    parameters: ImageParameters,
    network: InferenceCopy,
    score: Score,
    channels: int,
    size: tuple[int, int],
    generators: Sequence[torch.Generator],
) -> View:
    """Draw what is random at every step: moves, and what is behind transparent images."""
    device = next(parameters.parameters()).device
    transforms = parse_transforms(config.transforms)
    moves = transforms.draw_batch(config.steps, channels=channels, size=size, generators=generators)
    backdrops = None
    if config.alpha is not None:
        backdrops = Backdrops.draw(
            config.steps, channels=channels, size=size, generators=generators, device=device
        )
    return View(parameters, transforms, moves.to(device), network, score, backdrops)


def _make_optimisers(
    parameters: ImageParameters, *, config: RenderConfig, device: torch.device
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Return the optimiser as long as an image may be asleep, and the one for after that."""
    optimiser = make_optimiser(
        config.optimiser_used,
        parameters.parameters(),
        learning_rate=config.learning_rate_used,
        device=device,
    )
    if config.optimiser_used != "lbfgs":
        return optimiser, optimiser
    rate = parse_parameterisation(config.param).learning_rate
    waker = make_optimiser("adam", parameters.parameters(), learning_rate=rate, device=device)
    return waker, optimiser


def _climb(
    look: Callable[[], tuple[Tensor, Tensor]], label: str, optimiser: torch.optim.Optimizer
) -> tuple[Tensor, Tensor]:
    """Take one step; return what the network saw, and the scores, before it."""
    before: list[tuple[Tensor, Tensor]] = []

    def closure() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        seen, scores = look()
        if not scores.requires_grad:
            raise ObjectiveError(
                f"{label!r} does not depend on the image; use the activations that the objective "
                "is given, without detach() or torch.no_grad()"
            )
        # Objectives are maximised everywhere; the sign is turned here and nowhere else.
        loss = -scores.sum()
        loss.backward()
        if not before:
            before.append((seen, scores.detach()))
        return loss.detach()

    # Typed as a number, which would wait for the GPU; a tensor does as well.
    optimiser.step(closure)  # type: ignore[arg-type]
    return before[0]


def _is_blank(
    gradient: Float[Tensor, "b c h w"], mask: Float[Tensor, "1 h w"] | None
) -> Bool[Tensor, " b"]:
    """Tell which images get no gradient where they can change."""
    blank = gradient == 0
    if mask is not None:
        blank = blank | (mask == 0)
    return blank.flatten(1).all(1)


def _snapshot(parameters: ImageParameters) -> Tensor:
    with torch.no_grad():
        images: Tensor = parameters()
    return images.float().cpu()
