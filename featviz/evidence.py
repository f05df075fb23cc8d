"""What is known about finished images: scores by the unchanged network, flags, the record."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featviz.ascent import Ascent
from featviz.climb_state import ClimbState
from featviz.contrasting import unit_threshold
from featviz.errors import RenderError, is_out_of_memory
from featviz.metrics import pixel_metrics, score_images
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.objectives import OUTSIDE, Channel, Objective, TermWatch, bind, by_label, outside
from featviz.params import parse_parameterisation
from featviz.params.alpha import over_grey
from featviz.plan import Plan
from featviz.record import SCHEMA, environment
from featviz.result import RenderResult
from featviz.sites import OUTPUT


@dataclass
class Progress:
    """What has been rendered so far.

    Attributes:
        batch: Images rendered together; shrinks when memory runs out.
        ascents: Index of the objective -> its batch and its row there.
        folded: Norms folded in the inference copies, at most.
        interrupted: Whether the user stopped it.
        states: Index of the objective -> where an earlier render left it.
        frames: Index of the objective -> images at the thresholds that it passed there.
        save_state: Whether to keep what going on needs.
    """

    batch: int
    ascents: dict[int, tuple[Ascent, int]] = field(default_factory=dict)
    folded: int = 0
    interrupted: bool = False
    states: dict[int, ClimbState] = field(default_factory=dict)
    frames: dict[int, dict[int, Tensor]] = field(default_factory=dict)
    save_state: bool = False

    def steps_before(self, k: int) -> int:
        """Return how many steps an earlier render did for an objective."""
        return self.states[k].steps_done if k in self.states else 0


def make_result(plan: Plan, so_far: Progress) -> RenderResult:
    """Measure the images of a render and put the result together.

    Args:
        plan: What was to be rendered.
        so_far: What was.

    Raises:
        KeyboardInterrupt: If nothing was rendered before the user stopped it.
        RenderError: If no image is finite.
    """
    done = sorted(k for k, (ascent, _) in so_far.ascents.items() if ascent.steps_done)
    if not done:
        raise KeyboardInterrupt
    rows = [so_far.ascents[k] for k in done]
    images = torch.stack([ascent.images[row] for ascent, row in rows])
    history = torch.stack([ascent.history[row] for ascent, row in rows])
    objectives = [plan.objectives[k] for k in done]
    clear = plan.config.alpha is not None
    alpha = images[:, -1:] if clear else None
    seen = over_grey(images) if clear else images
    score, flat = _measure(plan, objectives, seen, alpha, batch=so_far.batch)
    failed = ~(score.isfinite() & images.isfinite().flatten(1).all(1))
    # Flat is also an image that got all there is, such as a ReLU6 at 6 everywhere: it has risen.
    dead = flat & ~(score > _start_scores(plan, done, history)) & ~failed
    if failed.all():
        raise _no_number(plan, objectives)
    labels = tuple(plan.labels[k] for k in done)
    pixels = pixel_metrics(seen, alpha=alpha)
    terms = _final_terms(plan, done, seen, alpha, batch=so_far.batch)
    entries = [
        {
            "unit": labels[k],
            "objective": objective.label,
            "steps_done": ascent.steps_of(row),
            "score": score[k].item() if not failed[k] else None,
            "dead": bool(dead[k]),
            "failed": bool(failed[k]),
            "metrics": pixels[k],
            **_unit_name(plan.model, objective),
            **_course(plan, ascent, row),
            **({"terms": terms[k]} if plan.config.terms and not failed[k] else {}),
        }
        for k, (objective, (ascent, row)) in enumerate(zip(objectives, rows, strict=True))
    ]
    return RenderResult(
        images=images,
        labels=labels,
        score=score,
        history=history,
        dead=dead,
        failed=failed,
        frames=_frames(rows, [so_far.frames.get(k, {}) for k in done]),
        record=describe(plan, so_far, entries),
        config=plan.config,
        interrupted=so_far.interrupted,
        terms=tuple(ascent.terms[row] for ascent, row in rows),
        states=tuple(ascent.states[row] if ascent.states else None for ascent, row in rows),
    )


def _no_number(plan: Plan, objectives: Sequence[Objective]) -> RenderError:
    some = ", ".join(o.label for o in objectives[:3])
    return RenderError(
        f"{plan.model.name!r} gave no finite number for {some}; check its weights, or try "
        "precision 'float32' or a smaller learning rate"
    )


def _start_scores(
    plan: Plan, done: Sequence[int], history: Float[Tensor, "b steps"]
) -> Float[Tensor, " b"]:
    """Return what each score is to be above to have risen, on the scale of the score."""
    floors = [unit_threshold(plan.climbed[k]) for k in done]
    known = torch.tensor([floor is not None for floor in floors])
    return torch.tensor([floor or 0.0 for floor in floors]).where(known, history[:, 0])


def _unit_name(model: Model, objective: Objective) -> dict[str, str]:
    """Return the name of the class whose logit, or of the unit that, is maximised, if any."""
    if not isinstance(objective, Channel):
        return {}
    if objective.site == OUTPUT and model.spec.labels:
        return {"class": model.spec.labels()[objective.index]}
    named = model.spec.unit_labels() if model.spec.unit_labels else {}
    names = named.get(objective.site)
    return {"unit_label": names[objective.index]} if names else {}


def _course(plan: Plan, ascent: Ascent, row: int) -> dict[str, int | None]:
    """Return how an image got to its end, where there is more to say than the steps done."""
    found: dict[str, int | None] = {}
    if plan.config.patience is not None:
        found["stopped_at"] = ascent.stopped_at[row] or None
    if plan.config.optimiser_used == "lbfgs":
        found["steps_of_adam"] = ascent.steps_of_adam
    return found


def _frames(
    rows: Sequence[tuple[Ascent, int]], earlier: Sequence[dict[int, Tensor]]
) -> dict[int, Tensor]:
    """Return the thresholds that all images reached, with the images there."""
    frames = [
        {**before, **{step: images[row] for step, images in ascent.frames.items()}}
        for (ascent, row), before in zip(rows, earlier, strict=True)
    ]
    steps = set.intersection(*(set(kept) for kept in frames))
    return {step: torch.stack([kept[step] for kept in frames]) for step in sorted(steps)}


def _final_terms(
    plan: Plan,
    done: Sequence[int],
    images: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 h w"] | None,
    *,
    batch: int,
) -> list[dict[str, float]]:
    """Return the terms of what was climbed, for the finished images by the unchanged network."""
    if not plan.config.terms:
        return []
    found: list[dict[str, float]] = []
    batch = plan.whole(batch)
    for first in range(0, len(done), batch):
        rows = slice(first, first + batch)
        objectives = [plan.climbed[k] for k in done[rows]]
        # Gradients at a site need an image that has one.
        looks_back = any(objective.looks_back for objective in objectives)
        shown = images[rows].to(plan.model.device).requires_grad_(looks_back)
        clear = None if alpha is None else alpha[rows].to(plan.model.device)
        together = plan.config.images
        score = bind(objectives, device=shown.device, together=together)
        watch = TermWatch(score, objectives, together=together)
        with torch.set_grad_enabled(looks_back):
            names = dict.fromkeys(s for o in objectives for s in o.sites if s not in OUTSIDE)
            watch({**outside(shown.detach(), clear), **plan.model.record(shown, list(names))})
        for objective, values in zip(objectives, watch.take(1).cpu(), strict=True):
            terms = by_label(objective, values)
            found.append({label: value.item() for label, value in terms.items()})
    return found


def _measure(
    plan: Plan,
    objectives: Sequence[Objective],
    images: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 h w"] | None,
    *,
    batch: int,
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    """Return scores of untransformed images by the unchanged network, and which are flat there."""
    scores: list[Tensor] = []
    flat: list[Tensor] = []
    first = 0
    while first < len(objectives):
        batch = plan.whole(batch)
        try:
            rows = slice(first, first + batch)
            score, is_flat = _measure_batch(
                plan, objectives[rows], images[rows], None if alpha is None else alpha[rows]
            )
        except (RuntimeError, MemoryError) as error:
            batch = smaller_batch(error, min(batch, len(objectives) - first), plan)
            continue
        scores.append(score)
        flat.append(is_flat)
        first += batch
    return torch.cat(scores), torch.cat(flat)


def _measure_batch(
    plan: Plan,
    objectives: Sequence[Objective],
    images: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 h w"] | None,
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    shown = images.to(plan.model.device).requires_grad_()
    alpha = None if alpha is None else alpha.to(plan.model.device)
    together = plan.config.images
    score = score_images(plan.model, objectives, shown, alpha=alpha, together=together)
    (gradient,) = torch.autograd.grad(score.sum(), shown)
    return score.detach().cpu(), (gradient == 0).flatten(1).all(1).cpu()


def describe(plan: Plan, so_far: Progress, images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of a render.

    Args:
        plan: What was to be rendered.
        so_far: What was.
        images: What is known about each image.
    """
    model, device = plan.model, plan.model.device
    texts, loading = plan.texts, model.arguments
    low = plan.config.dtype_on(device) == torch.bfloat16
    return {
        "schema": SCHEMA,
        "request": {
            "objectives": list(texts or dict.fromkeys(o.label for o in plan.objectives)),
            "arguments": list(loading) if texts and loading else None,
        },
        "model": {
            "name": model.name,
            "summary": model.spec.summary,
            "weights": model.weights_origin,
            "weights_sha256": digest(model.module),
            "preprocess": dataclasses.asdict(model.spec.preprocess),
        },
        "config": plan.config.to_json(),
        "ran": {
            "size": list(plan.size),
            "batch": plan.whole(so_far.batch),
            **_optimiser(plan, so_far),
            "precision": "bf16" if low else "float32",
            "folded_norms": so_far.folded,
            "interrupted": so_far.interrupted,
            "start_sha256": _hash(plan.origin.photo),
            "mask_sha256": _hash(plan.origin.mask),
            **({"files": plan.files} if plan.files else {}),
            **({"contrast": plan.contrast} if plan.contrast else {}),
        },
        "environment": environment(device),
        "images": images,
    }


def _optimiser(plan: Plan, so_far: Progress) -> dict[str, str | float]:
    """Return what climbed, and its learning rate; of two, those of the one that came last."""
    config = plan.config
    used, rate = config.optimiser_used, config.learning_rate_used
    ascents = [ascent for ascent, _ in so_far.ascents.values()]
    if used == "lbfgs" and any(ascent.steps_of_adam for ascent in ascents):
        if all(ascent.steps_of_adam == ascent.steps_done for ascent in ascents):
            rate = parse_parameterisation(config.param).learning_rate
            return {"optimiser": "adam", "learning_rate": rate}
        return {"optimiser": "adam, then lbfgs", "learning_rate": rate}
    return {"optimiser": used, "learning_rate": rate}


def _hash(image: Tensor | None) -> str | None:
    return None if image is None else hashlib.sha256(image.numpy().tobytes()).hexdigest()


def smaller_batch(error: Exception, batch: int, plan: Plan) -> int:
    """Return half the batch if memory ran out, else raise the error again.

    Args:
        error: What a batch ended with.
        batch: Its size.
        plan: What is being rendered, for the message.

    Raises:
        RenderError: If memory does not suffice for a single image.
    """
    if not is_out_of_memory(error):
        raise error
    if batch <= plan.together:
        h, w = plan.size
        together = f"{batch} {h}x{w} px images" if batch > 1 else f"a single {h}x{w} px image"
        raise RenderError(
            f"memory does not suffice for {together} of {plan.model.name!r} over "
            f"{plan.config.steps} steps; choose a smaller size or fewer steps"
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return batch // 2
