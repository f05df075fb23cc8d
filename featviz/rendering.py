"""From a model and objectives to images: `render`.

Sixth stage of the flow. It checks everything that can be wrong before the first step, groups
objectives that read the same sites so that the forward pass stops early, sends batches through
the loop in ascent.py, and measures the finished images with the unchanged network.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from featviz.ascent import Ascent, Moment, ascend
from featviz.borrowing import own_randomness, own_settings
from featviz.config import Optimiser, Precision, RenderConfig
from featviz.contrasting import check_contrast, with_contrast
from featviz.errors import ConfigError
from featviz.evidence import Progress, make_result, smaller_batch
from featviz.inference import InferenceCopy
from featviz.models.model import Model
from featviz.params import Parameterisation
from featviz.plan import Plan, Target, make_plan
from featviz.result import RenderResult
from featviz.resuming import Earlier, find_earlier, with_finished
from featviz.sites import Site
from featviz.starting import Origin
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
    optimiser: Optimiser | None = None,
    redirect_steps: int | None = None,
    batch: int | None = None,
    precision: Precision | None = None,
    thresholds: Sequence[int] | None = None,
    images: int | None = None,
    diversity: float | None = None,
    start: str | Path | Float[Tensor, "c h w"] | None = None,
    keep: float | None = None,
    mask: str | Path | Float[Tensor, "1 h w"] | None = None,
    contrast: str | None = None,
    patience: int | None = None,
    min_delta: float | None = None,
    terms: bool | None = None,
    alpha: float | None = None,
    resume: str | Path | None = None,
    save_state: bool = False,
    progress: bool | None = None,
    callback: Callable[[Moment], None] | None = None,
) -> RenderResult:
    """Optimise images that maximise objectives, one image an objective unless more are asked for.

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
        learning_rate: Of the optimiser.
        optimiser: `adam`, `nadam` or `lbfgs`.
        redirect_steps: Steps during which wholly blocked gradients are redirected, and again
            while an image gets none.
        batch: Images rendered together.
        precision: `auto`, `float32` or `bf16`.
        thresholds: Steps after which images are kept besides.
        images: Images of each objective.
        diversity: How much the images of one objective are pushed apart.
        start: What to start from instead of noise: a picture file, or an image in 0..1 of the
            size of the render, alpha last if it has one.
        keep: How much an image stays near its start.
        mask: Where it is optimised, 1 or white: a file, or values 0..1.
        contrast: Folder of photographs that say how strong other units are for their kind, or what
            `featviz contrast` made of one.
        patience: Steps without a rise of the smoothed score after which an image stops.
        min_delta: What counts as a rise, relative to the best.
        terms: Whether to keep the history of each term.
        alpha: How much an image gains by being transparent, usually 1: it gets an alpha channel.
        resume: Folder of an earlier render with the same settings, or one of its pictures: what
            is finished there is taken from there, what has a state goes on from it, the rest is
            rendered from the start. `steps`, `batch` and `thresholds` may differ.
        save_state: Whether to keep what resuming needs, three to four times the memory of the
            images (L-BFGS: up to 200 times); `RenderResult.save` writes it. What goes on from
            such a state always does.
        progress: Whether to show a bar on stderr; None: if it is a terminal.
        callback: Called after each step of each batch with the step, labels, scores and images;
            to stop, and get what there is, it raises KeyboardInterrupt.

    Returns:
        The images and what is known about them.

    Raises:
        InputError: If the model, an objective or a setting is wrong, or does not fit what is to be
            resumed; see errors.py.
        RenderError: If no image is finite, or memory does not suffice for a single image.

    References:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill. Deviations are named
        where they are: transforms/, params/fourier.py, redirected_relu.py.
    """
    # An argument of the name of a setting is that setting.
    arguments = locals()
    names = [setting.name for setting in dataclasses.fields(RenderConfig)]
    config = _merged(_checked(config), {name: arguments[name] for name in names})
    origin = Origin(*(value if isinstance(value, Tensor) else None for value in (start, mask)))
    with own_settings():
        plan = with_contrast(make_plan(model, objectives, config, origin=origin))
        return _run_rest(
            plan,
            Earlier() if resume is None else find_earlier(plan, resume),
            save_state=save_state,
            progress=progress,
            callback=callback,
        )


def _run_rest(
    plan: Plan,
    earlier: Earlier,
    *,
    save_state: bool,
    progress: bool | None,
    callback: Callable[[Moment], None] | None,
) -> RenderResult:
    """Render what an earlier render did not finish, and put its pictures beside it."""
    rest = [k for k in range(len(plan.labels)) if k not in earlier.finished]
    so_far = Progress(
        batch=plan.config.batch_on(plan.model.device),
        states={i: earlier.states[k] for i, k in enumerate(rest) if k in earlier.states},
        frames={i: earlier.frames[k] for i, k in enumerate(rest) if k in earlier.frames},
        # Else an interrupt of what goes on would lose where it began.
        save_state=save_state or bool(earlier.states),
    )
    if not earlier.finished:
        return _run(plan, so_far, progress=progress, callback=callback)
    result = None
    if rest:
        result = _run(plan.only(rest), so_far, progress=progress, callback=callback)
    return with_finished(result, plan, earlier.finished)


def _checked(config: RenderConfig | None) -> RenderConfig:
    if config is not None and not isinstance(config, RenderConfig):
        raise ConfigError(
            f"config must be a RenderConfig, got {config!r}; write RenderConfig(steps=64, ...), or "
            "give settings as arguments"
        )
    return config or RenderConfig()


def _merged(config: RenderConfig | None, given: dict[str, Any]) -> RenderConfig:
    """Return the settings, or the defaults, with those given in their place."""
    changed = {key: value for key, value in given.items() if value is not None}
    if isinstance(changed.get("thresholds"), Iterable):
        changed["thresholds"] = tuple(changed["thresholds"])
    for key in {"start", "mask"} & changed.keys():
        # A tensor has no name that a record could keep.
        changed[key] = None if isinstance(changed[key], Tensor) else str(changed[key])
    return dataclasses.replace(config or RenderConfig(), **changed)


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
    with own_settings():
        plan = make_plan(model, objectives, _checked(config))
        check_contrast(plan)
    return list(plan.labels)


def _run(
    plan: Plan,
    so_far: Progress,
    *,
    progress: bool | None,
    callback: Callable[[Moment], None] | None,
) -> RenderResult:
    shown = sys.stderr.isatty() if progress is None else progress
    done = sum(state.steps_done for state in so_far.states.values())
    with tqdm(
        total=len(plan.objectives) * plan.config.steps - done,
        desc=plan.model.name,
        unit=" image-steps",
        disable=not shown,
        # A terminal redraws one line; a log gets a new one, so let it get few.
        mininterval=0.1 if sys.stderr.isatty() else 10,
        file=sys.stderr,
    ) as bar:
        try:
            for sites, members in plan.groups():
                # A batch takes its steps together: those that stand at the same one.
                by_steps: dict[int, list[int]] = {}
                for k in members:
                    by_steps.setdefault(so_far.steps_before(k), []).append(k)
                for some in by_steps.values():
                    _render_group(plan, sites, some, so_far, bar, callback)
        except KeyboardInterrupt:
            so_far.interrupted = True
    return make_result(plan, so_far)


def _render_group(
    plan: Plan,
    sites: list[Site],
    members: list[int],
    so_far: Progress,
    bar: "tqdm[Any]",
    callback: Callable[[Moment], None] | None,
) -> None:
    """Render the objectives that read the same sites, in batches that fit into memory."""
    trace, dtype = plan.model.trace(plan.network_size), plan.config.dtype_on(plan.model.device)
    with InferenceCopy(plan.model, sites, trace=trace, dtype=dtype) as network:
        so_far.folded = max(so_far.folded, network.folded)
        waiting = list(members)
        while waiting:
            chunk, shown_before = waiting[: plan.whole(so_far.batch)], bar.n
            try:
                with own_randomness(plan.model.device, seed=plan.config.seed):
                    ascent = _ascend(plan, network, chunk, so_far, bar, callback)
            except (RuntimeError, MemoryError) as error:
                so_far.batch = smaller_batch(error, len(chunk), plan)
                bar.n = shown_before
                continue
            so_far.ascents.update({k: (ascent, row) for row, k in enumerate(chunk)})
            if any(ascent.stopped_at) and bar.total is not None:
                bar.total -= len(chunk) * (plan.config.steps - ascent.steps_done)
            if ascent.interrupted:
                raise KeyboardInterrupt
            waiting = waiting[len(chunk) :]


def _ascend(
    plan: Plan,
    network: InferenceCopy,
    chunk: list[int],
    so_far: Progress,
    bar: "tqdm[Any]",
    callback: Callable[[Moment], None] | None,
) -> Ascent:
    def on_step(moment: Moment) -> None:
        _advance(bar, len(chunk))
        if callback is not None:
            callback(moment)

    return ascend(
        network,
        [plan.climbed[k] for k in chunk],
        labels=[plan.labels[k] for k in chunk],
        config=plan.config,
        channels=plan.model.spec.channels,
        size=plan.size,
        device=plan.model.device,
        origin=plan.origin,
        on_step=on_step,
        states=[so_far.states[k] for k in chunk if k in so_far.states],
        save_state=so_far.save_state,
    )


def _advance(bar: "tqdm[Any]", images: int) -> None:
    bar.update(images)
