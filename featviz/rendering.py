"""From a model and objectives to images: `render`.

Sixth stage of the flow. It checks everything that can be wrong before the first step, groups
objectives that read the same sites so that the forward pass stops early, sends batches through
the loop in ascent.py, and measures the finished images with the unchanged network.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm import tqdm

from featviz.ascent import Ascent, ascend
from featviz.config import Precision, RenderConfig
from featviz.errors import RenderError
from featviz.inference import InferenceCopy
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.objectives import Objective, bind
from featviz.params import Parameterisation
from featviz.plan import Plan, Target, make_plan
from featviz.record import SCHEMA, environment
from featviz.result import RenderResult
from featviz.sites import Site
from featviz.transforms import Transform, Transforms


def render(
    model: Model | nn.Module | str,
    objectives: Target | Sequence[Target],
    *,
    config: RenderConfig | None = None,
    steps: int | None = None,
    size: int | tuple[int, int] | None = None,
    seed: int | None = None,
    param: str | Parameterisation | None = None,
    transforms: str | Transforms | Sequence[Transform] | None = None,
    learning_rate: float | None = None,
    redirect_steps: int | None = None,
    batch: int | None = None,
    precision: Precision | None = None,
    thresholds: Sequence[int] | None = None,
    progress: bool | None = None,
) -> RenderResult:
    """Optimise images that maximise objectives, one image an objective.

    The model's mode, gradient flags, hooks and the global random state are the same afterwards,
    whatever happens. Ctrl-C returns the images as they are.

    Args:
        model: A model, a module (which gets images in 0..1 without normalisation), or a name.
        objectives: Units such as `fire4:128` or `fire4:0-15`, a minus before them to minimise;
            objectives; or a list of these.
        config: Settings; the arguments below replace single ones, None keeps them.
        steps: Steps of the optimiser.
        size: Side, or height and width, in pixels.
        seed: With the label of the objective, decides every random number.
        param: Image parameterisation.
        transforms: Robustness transforms.
        learning_rate: Of Adam.
        redirect_steps: Steps during which wholly blocked gradients are redirected, and again
            while an image gets none.
        batch: Images rendered together.
        precision: `auto`, `float32` or `bf16`.
        thresholds: Steps after which images are kept besides.
        progress: Whether to show a bar on stderr; None: if it is a terminal.

    Returns:
        The images and what is known about them.

    Raises:
        InputError: If the model, an objective or a setting is wrong; see errors.py.
        RenderError: If no image is finite, or memory does not suffice for a single image.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill. Deviations are named
        where they are: transforms.py, params/fourier.py, redirected_relu.py.
    """
    given = {
        "steps": steps,
        "size": size,
        "seed": seed,
        "param": param,
        "transforms": transforms,
        "learning_rate": learning_rate,
        "redirect_steps": redirect_steps,
        "batch": batch,
        "precision": precision,
        "thresholds": None if thresholds is None else tuple(thresholds),
    }
    changed: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    config = dataclasses.replace(config or RenderConfig(), **changed)
    return _run(make_plan(model, objectives, config), progress=progress)


def list_labels(
    model: Model | nn.Module | str,
    objectives: Target | Sequence[Target],
    *,
    config: RenderConfig | None = None,
) -> list[str]:
    """Return the labels that `render` would give its images, and check everything it would check.

    Args:
        model: As for `render`.
        objectives: As for `render`.
        config: As for `render`.

    Raises:
        InputError: If the model, an objective or a setting is wrong; see errors.py.
    """
    plan = make_plan(model, objectives, config or RenderConfig())
    return [objective.label for objective in plan.objectives]


@dataclass
class _Progress:
    """What has been rendered so far.

    Attributes:
        batch: Images rendered together; shrinks when memory runs out.
        ascents: Index of the objective -> its batch and its row there.
        folded: Norms folded in the inference copies, at most.
        interrupted: Whether the user stopped it.
    """

    batch: int
    ascents: dict[int, tuple[Ascent, int]] = field(default_factory=dict)
    folded: int = 0
    interrupted: bool = False


def _run(plan: Plan, *, progress: bool | None) -> RenderResult:
    so_far = _Progress(batch=plan.config.batch_on(plan.model.device))
    shown = sys.stderr.isatty() if progress is None else progress
    with tqdm(
        total=len(plan.objectives) * plan.config.steps,
        desc=plan.model.name,
        unit=" image-steps",
        disable=not shown,
        # A terminal redraws one line; a log gets a new one, so let it get few.
        mininterval=0.1 if sys.stderr.isatty() else 10,
        file=sys.stderr,
    ) as bar:
        try:
            for sites, members in plan.groups():
                _render_group(plan, sites, members, so_far, bar)
        except KeyboardInterrupt:
            so_far.interrupted = True
    return _result(plan, so_far)


def _render_group(
    plan: Plan, sites: list[Site], members: list[int], so_far: _Progress, bar: "tqdm[Any]"
) -> None:
    """Render the objectives that read the same sites, in batches that fit into memory."""
    trace, dtype = plan.model.trace(plan.network_size), plan.config.dtype_on(plan.model.device)
    with InferenceCopy(plan.model, sites, trace=trace, dtype=dtype) as network:
        so_far.folded = max(so_far.folded, network.folded)
        waiting = list(members)
        while waiting:
            chunk, shown_before = waiting[: so_far.batch], bar.n
            try:
                ascent = _ascend(plan, network, chunk, bar)
            except (RuntimeError, MemoryError) as error:
                so_far.batch = _smaller_batch(error, len(chunk), plan)
                bar.n = shown_before
                continue
            so_far.ascents.update({k: (ascent, row) for row, k in enumerate(chunk)})
            if ascent.interrupted:
                raise KeyboardInterrupt
            waiting = waiting[len(chunk) :]


def _ascend(plan: Plan, network: InferenceCopy, chunk: list[int], bar: "tqdm[Any]") -> Ascent:
    return ascend(
        network,
        [plan.objectives[k] for k in chunk],
        config=plan.config,
        channels=plan.model.spec.channels,
        size=plan.size,
        device=plan.model.device,
        on_step=lambda _step: _advance(bar, len(chunk)),
    )


def _advance(bar: "tqdm[Any]", images: int) -> None:
    bar.update(images)


def _smaller_batch(error: Exception, batch: int, plan: Plan) -> int:
    """Return half the batch if memory ran out, else raise the error again."""
    text = str(error)
    out_of_memory = (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "DefaultCPUAllocator" in text
        or "out of memory" in text
    )
    if not out_of_memory:
        raise error
    if batch == 1:
        h, w = plan.size
        raise RenderError(
            f"memory does not suffice for a single {h}x{w} px image of {plan.model.name!r}; "
            "choose a smaller size"
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return batch // 2


def _result(plan: Plan, so_far: _Progress) -> RenderResult:
    done = sorted(k for k, (ascent, _) in so_far.ascents.items() if ascent.steps_done)
    if not done:
        raise KeyboardInterrupt
    rows = [so_far.ascents[k] for k in done]
    images = torch.stack([ascent.images[row] for ascent, row in rows])
    history = torch.stack([ascent.history[row] for ascent, row in rows])
    objectives = [plan.objectives[k] for k in done]
    score, flat = _measure(plan, objectives, images, batch=so_far.batch)
    # Flat is also an image that got all there is, such as a ReLU6 at 6 everywhere: it has risen.
    dead = flat & ~(score > history[:, 0])
    failed = ~(score.isfinite() & images.isfinite().flatten(1).all(1))
    if failed.all():
        some = ", ".join(o.label for o in objectives[:3])
        raise RenderError(
            f"{plan.model.name!r} gave no finite number for {some}; check its weights, or try "
            "precision 'float32' or a smaller learning rate"
        )
    labels = tuple(o.label for o in objectives)
    entries = [
        {
            "unit": objectives[k].label,
            "steps_done": ascent.steps_done,
            "score": score[k].item() if not failed[k] else None,
            "dead": bool(dead[k]),
            "failed": bool(failed[k]),
        }
        for k, (ascent, _) in enumerate(rows)
    ]
    return RenderResult(
        images=images,
        labels=labels,
        score=score,
        history=history,
        dead=dead & ~failed,
        failed=failed,
        frames=_frames(rows),
        record=_record(plan, entries, so_far),
        config=plan.config,
        interrupted=so_far.interrupted,
    )


def _frames(rows: Sequence[tuple[Ascent, int]]) -> dict[int, Tensor]:
    """Return the thresholds that all images reached, with the images there."""
    steps = set.intersection(*(set(ascent.frames) for ascent, _ in rows))
    return {
        step: torch.stack([ascent.frames[step][row] for ascent, row in rows])
        for step in sorted(steps)
    }


def _measure(
    plan: Plan, objectives: Sequence[Objective], images: Float[Tensor, "b c h w"], *, batch: int
) -> tuple[Float[Tensor, " b"], Bool[Tensor, " b"]]:
    """Return scores of untransformed images by the unchanged network, and which are flat there."""
    scores, flat = [], []
    for first in range(0, len(objectives), batch):
        chunk = objectives[first : first + batch]
        shown = images[first : first + batch].to(plan.model.device).requires_grad_()
        names = list(dict.fromkeys(name for o in chunk for name in o.sites))
        with torch.enable_grad():
            activations = plan.model.record(shown, names)
            score = bind(chunk, device=shown.device)(
                {name: activation.float() for name, activation in activations.items()}
            )
            (gradient,) = torch.autograd.grad(score.sum(), shown)
        scores.append(score.detach().cpu())
        flat.append((gradient == 0).flatten(1).all(1).cpu())
    return torch.cat(scores), torch.cat(flat)


def _record(plan: Plan, images: list[dict[str, Any]], so_far: _Progress) -> dict[str, Any]:
    model, device = plan.model, plan.model.device
    texts, loading = plan.texts, model.arguments
    low = plan.config.dtype_on(device) == torch.bfloat16
    return {
        "schema": SCHEMA,
        "request": {
            "objectives": list(texts or (o.label for o in plan.objectives)),
            "arguments": list(loading) if texts and loading else None,
        },
        "model": {
            "name": model.name,
            "weights": model.weights_origin,
            "weights_sha256": digest(model.module),
            "preprocess": dataclasses.asdict(model.spec.preprocess),
        },
        "config": plan.config.to_json(),
        "ran": {
            "size": list(plan.size),
            "batch": so_far.batch,
            "precision": "bf16" if low else "float32",
            "folded_norms": so_far.folded,
            "interrupted": so_far.interrupted,
        },
        "environment": environment(device),
        "images": images,
    }
