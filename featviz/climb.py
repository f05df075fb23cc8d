"""One step of a batch of images, and what must be known for the next one."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featviz.climb_state import ClimbState, put, take
from featviz.config import RenderConfig
from featviz.errors import ObjectiveError, RecordError
from featviz.image_rows import list_pieces
from featviz.objectives import Objective, TermWatch, by_label
from featviz.optimisers import make_optimiser
from featviz.params import parse_parameterisation
from featviz.stalling import Stalling
from featviz.view import View


class Climb:
    """A batch of images on its way.

    An image that gets no gradient is asleep: as long as it is, ReLUs that block all of its
    gradient let through what pushes them up. Lucid does so for the first 16 steps; deep units may
    need longer, and images that are awake are not touched. A redirected gradient is that of no
    function, so L-BFGS, which searches along it, takes over from Adam when the image is awake.

    An image that has stopped keeps its parameters, whatever the rest of its batch does.

    Args:
        view: From parameters to scores; at the first step.
        objectives: One an image.
        config: The settings.
        device: Where to compute.
        watch: What keeps the terms of the scores; None if nothing does.
        mask: 0 where the images cannot change; None: nowhere.

    Attributes:
        parameters: Of the images.
        history: Score of each step, [steps b]; NaN where there is none.
        steps_of_adam: How many steps Adam did in place of L-BFGS.
    """

    def __init__(
        self,
        view: View,
        objectives: Sequence[Objective],
        *,
        config: RenderConfig,
        device: torch.device,
        watch: TermWatch | None,
        mask: Float[Tensor, "1 h w"] | None = None,
    ) -> None:
        count = len(objectives)
        self._view, self._config, self._objectives = view, config, objectives
        self.parameters = view.parameters
        self._pieces = list_pieces(view.parameters, count)
        self._waker, self._optimiser = self._make_optimisers(device)
        self.history = torch.full((config.steps, count), torch.nan, device=device)
        self._watch = watch
        self._terms: list[Tensor] = []
        self._asleep = torch.ones(count, dtype=torch.bool, device=device)
        self._waking = config.redirect_steps > 0
        self._mask = None if mask is None else mask.to(device)
        self._stalling = self._make_stalling(device)
        self.steps_of_adam = 0

    def _make_optimisers(
        self, device: torch.device
    ) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        """Return the optimiser as long as an image may be asleep, and the one for after that."""
        config, parameters = self._config, self.parameters
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

    def _make_stalling(self, device: torch.device) -> Stalling | None:
        if self._config.patience is None:
            return None
        together = parse_parameterisation(self._config.param).joint
        groups: dict[tuple[int, int], int] = {}
        numbers = []
        for k, objective in enumerate(self._objectives):
            key = (k // self._config.images, 0 if together or objective.joint else k + 1)
            numbers.append(groups.setdefault(key, len(groups)))
        return Stalling(
            patience=self._config.patience,
            min_delta=self._config.min_delta,
            groups=numbers,
            device=device,
        )

    def step(self, step: int, *, label: str) -> Float[Tensor, " b"]:
        """Take a step; return the scores before it, NaN for images that have stopped.

        Args:
            step: Counted from 0.
            label: Of the first image, for messages.
        """
        rest = self._config.redirect_steps + 1
        # After every `redirect_steps` steps comes one without, to see who is still asleep.
        looking = self._waking and (step + 1) % rest == 0
        redirected = self._asleep if self._waking and not looking else None
        stalling = self._stalling
        kept = [p.parameter.detach().clone() for p in self._pieces] if stalling else []
        self.steps_of_adam += self._waking and self._waker is not self._optimiser
        seen, scores = _climb(
            partial(self._view.look, step, asleep=redirected, keep_grad=looking),
            label,
            self._waker if self._waking else self._optimiser,
        )
        if looking and seen.grad is not None:
            self._asleep &= self._is_blank(seen.grad)
            self._waking = bool(self._asleep.any())
        terms = None if self._watch is None else self._watch.take(self._view.transforms.views)
        if stalling is not None:
            with torch.no_grad():
                for piece, before in zip(self._pieces, kept, strict=True):
                    still = piece.mask(stalling.stopped)
                    piece.parameter.copy_(torch.where(still, before, piece.parameter))
            stopped = stalling.stopped
            scores = scores.where(~stopped, torch.nan)
            terms = terms if terms is None else terms.where(~stopped[:, None], torch.nan)
            awake = ~self._asleep if self._config.redirect_steps else None
            stalling.watch(step + 1, scores, awake=awake)
        self.history[step] = scores
        if terms is not None:
            self._terms.append(terms)
        return scores

    def _is_blank(self, gradient: Float[Tensor, "b c h w"]) -> Bool[Tensor, " b"]:
        """Tell which images get no gradient where they can change."""
        blank = gradient == 0
        if self._mask is not None:
            blank = blank | (self._mask == 0)
        return blank.flatten(1).all(1)

    def all_stopped(self) -> bool:
        """Tell whether every image has stopped. Waits for the device."""
        return self._stalling is not None and bool(self._stalling.stopped.all())

    def stopped_at(self) -> tuple[int, ...]:
        """Return for each image the steps after which it stopped; 0 if it did not."""
        if self._stalling is None:
            return (0,) * len(self._objectives)
        return tuple(self._stalling.stopped_at.tolist())

    def terms(self) -> tuple[dict[str, Float[Tensor, " steps"]], ...]:
        """Return the history of each term of each image, on the CPU; empty if not asked for."""
        if self._watch is None:
            return tuple({} for _ in self._objectives)
        return tuple(
            by_label(o, v) for o, v in zip(self._objectives, self._all_terms(), strict=True)
        )

    def _all_terms(self) -> Float[Tensor, "b terms steps"]:
        """Return the history of the terms, NaN for steps not done."""
        assert self._watch is not None
        if not self._terms:
            shape = (len(self._objectives), self._watch.width, self._config.steps)
            return torch.full(shape, torch.nan)
        found = torch.stack(self._terms, 2).cpu()
        return torch.nn.functional.pad(
            found, (0, self._config.steps - found.shape[2]), value=torch.nan
        )

    def states(self, done: int) -> tuple[ClimbState, ...]:
        """Return where each image stands.

        Args:
            done: Steps done.
        """
        return tuple(self._state(k, done) for k in range(len(self._objectives)))

    def _state(self, k: int, done: int) -> ClimbState:
        optimiser = self._waker if self._waking else self._optimiser
        tensors, numbers = take(self._pieces, optimiser, k)
        tensors["history"] = self.history[:done, k].cpu().clone()
        if self._terms:
            tensors["terms"] = torch.stack(self._terms, 2)[k].cpu().contiguous()
        numbers |= {"asleep": int(self._asleep[k]), "steps_of_adam": self.steps_of_adam}
        if self._stalling is not None:
            tensors["stalling"] = self._stalling.numbers[k].cpu().clone()
            numbers["stopped_at"] = int(self._stalling.stopped_at[k])
        return ClimbState(done, tensors, numbers)

    def resume(self, states: Sequence[ClimbState]) -> None:
        """Go on from where images stand.

        Args:
            states: One an image, all after equally many steps of a climb with these settings.

        Raises:
            RecordError: If a state lacks something.
        """
        try:
            self._put(states)
        except KeyError as error:
            raise RecordError(
                f"the saved state lacks {error}; was it written by another version? Render from "
                "the start instead"
            ) from error

    def _put(self, states: Sequence[ClimbState]) -> None:
        done = states[0].steps_done
        device = self.history.device
        self._asleep = torch.tensor([bool(s.numbers["asleep"]) for s in states], device=device)
        self._waking = self._waking and bool(self._asleep.any())
        put(self._pieces, self._waker if self._waking else self._optimiser, states)
        self.history[:done] = torch.stack([s.tensors["history"] for s in states], 1).to(device)
        self.steps_of_adam = int(states[0].numbers["steps_of_adam"])
        if self._stalling is not None:
            numbers = torch.stack([s.tensors["stalling"] for s in states])
            stopped = [int(s.numbers["stopped_at"]) for s in states]
            self._stalling.numbers = numbers.to(device)
            self._stalling.stopped_at = torch.tensor(stopped, device=device)
        if self._watch is not None:
            earlier = _earlier_terms(states, self._watch.width).to(device)
            self._terms = list(earlier.unbind(2))


def _earlier_terms(states: Sequence[ClimbState], width: int) -> Float[Tensor, "b terms steps"]:
    """Return the terms of the steps done, all as wide as this batch is; see TermWatch."""
    rows = []
    for state in states:
        blank = torch.full((width, state.steps_done), torch.nan)
        found = state.tensors["terms"][:width]
        blank[: len(found)] = found
        rows.append(blank)
    return torch.stack(rows)


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
