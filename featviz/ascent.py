"""The one optimisation loop: a batch of images climbs, each towards its own objective."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.backdrops import Backdrops
from featviz.climb import Climb
from featviz.climb_state import ClimbState
from featviz.config import RenderConfig
from featviz.inference import InferenceCopy
from featviz.interrupts import held_interrupts
from featviz.kept_memory import kept_memory
from featviz.objectives import Objective, Score, TermWatch, bind, rests
from featviz.params import ImageParameters
from featviz.starting import NOISE, Origin, start
from featviz.transforms import parse_transforms
from featviz.view import View

# Reading a number from a GPU waits for it; a batch that is lost to NaN, or has stopped, may run on
# for so long.
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
        stopped_at: For each image the steps after which it stopped climbing; 0 if it did not.
        terms: For each image the history of its terms; empty if not asked for.
        states: For each image what going on needs; empty if not asked for.
        steps_of_adam: How many steps Adam did in place of L-BFGS.
    """

    images: Float[Tensor, "b c h w"]
    history: Float[Tensor, "b steps"]
    frames: dict[int, Float[Tensor, "b c h w"]]
    steps_done: int
    interrupted: bool
    stopped_at: tuple[int, ...]
    terms: tuple[dict[str, Float[Tensor, " steps"]], ...]
    states: tuple[ClimbState, ...]
    steps_of_adam: int

    def steps_of(self, row: int) -> int:
        """Return how many steps an image did."""
        return self.stopped_at[row] or self.steps_done


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
    states: Sequence[ClimbState] = (),
    save_state: bool = False,
) -> Ascent:
    """Maximise one objective an image.

    Images share nothing but the computation: each has its own generator, score and parameters,
    and the gradient is that of the sum of the scores. All random numbers are drawn before the
    first step, on the CPU, and those of the first steps are the same however many follow; so a
    climb that goes on from a state is the climb that was never cut off.

    A contrasted image is shown as it is at every second step: a resampled one is blurred, and says
    nothing about rivals that see the finest detail of the finished image.

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
        states: One an image, all after equally many steps, to go on from; empty: from the start.
        save_state: Whether to keep what going on needs.

    Raises:
        ObjectiveError: If an objective does not depend on the image.
    """
    generators = [image_generator(config.seed, label) for label in labels]
    parameters = start(
        config, channels=channels, size=size, generators=generators, device=device, origin=origin
    )
    score = bind(objectives, device=device, together=config.images)
    watch = TermWatch(score, objectives, together=config.images) if config.terms else None
    resting = [rests(objective) for objective in objectives]
    view = _draw_view(
        config, parameters, network, watch or score, channels, size, generators, resting
    )
    climb = Climb(view, objectives, config=config, device=device, watch=watch, mask=origin.mask)
    if states:
        climb.resume(states)
    return _loop(
        climb,
        labels=tuple(labels),
        first=states[0].steps_done if states else 0,
        thresholds=config.thresholds,
        # On a CPU there is nothing to wait for.
        check_every=1 if device.type == "cpu" else _CHECK_EVERY,
        on_step=on_step,
        save_state=save_state,
    )


def _loop(
    climb: Climb,
    *,
    labels: tuple[str, ...],
    first: int,
    thresholds: Sequence[int],
    check_every: int,
    on_step: Callable[[Moment], None],
    save_state: bool,
) -> Ascent:
    """Take the steps from `first` on, until they are done or everything has stopped."""
    done = first
    frames: dict[int, Tensor] = {}
    whole, interrupted = True, False
    try:
        with held_interrupts() as check:
            for step in range(first, len(climb.history)):
                check()
                if step % check_every == 0 and climb.all_stopped():
                    break
                whole = False
                scores = climb.step(step, label=labels[0])
                done, whole = step + 1, True
                if done in thresholds:
                    frames[done] = _snapshot(climb.parameters)
                on_step(Moment(done, labels, scores, climb.parameters))
                if done % _CHECK_EVERY == 0 and not climb.history[step].isfinite().any():
                    break
    except KeyboardInterrupt:
        interrupted = True
    return Ascent(
        images=_snapshot(climb.parameters),
        history=climb.history.T.cpu(),
        frames=frames,
        steps_done=done,
        interrupted=interrupted,
        stopped_at=climb.stopped_at(),
        terms=climb.terms(),
        # An interrupt within a step may leave numbers of both before and after it.
        states=climb.states(done) if save_state and whole else (),
        steps_of_adam=climb.steps_of_adam,
    )


def _draw_view(
    config: RenderConfig,
    parameters: ImageParameters,
    network: InferenceCopy,
    score: Score,
    channels: int,
    size: tuple[int, int],
    generators: Sequence[torch.Generator],
    resting: Sequence[bool],
) -> View:
    """Draw what is random at every step: moves, and what is behind transparent images."""
    device = next(parameters.parameters()).device
    transforms = parse_transforms(config.transforms)
    moves = transforms.draw_batch(config.steps, channels=channels, size=size, generators=generators)
    moves = transforms.rested(moves, resting, size=size)
    backdrops = None
    if config.alpha is not None:
        backdrops = Backdrops.draw(
            config.steps, channels=channels, size=size, generators=generators, device=device
        )
    return View(parameters, transforms, moves.to(device), network, score, backdrops)


def _snapshot(parameters: ImageParameters) -> Tensor:
    with torch.no_grad():
        images: Tensor = parameters()
    return images.float().cpu()
