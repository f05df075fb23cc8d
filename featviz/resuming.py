"""What an earlier render left of the images of a plan: finished pictures, and states to go on from.

A picture counts as the plan's if everything that decides its pixels is the same; anything else is
an error that names the setting, never another picture in its place. Left out: the random numbers of
networks that draw some themselves begin anew where a climb goes on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from featviz.climb_state import ClimbState
from featviz.config import RenderConfig
from featviz.errors import ConfigError, RecordError
from featviz.evidence import Progress, describe
from featviz.images import to_image
from featviz.params import parse_parameterisation
from featviz.photographs import read_pixels
from featviz.plan import Plan
from featviz.record import Record, read_record
from featviz.result import RenderResult, frame_path, output_paths
from featviz.state_files import read_state, state_path
from featviz.transforms import parse_transforms

# What may differ: how far to go, what to keep on the way, and how many at a time.
_FREE = ("steps", "batch", "thresholds")


@dataclass(frozen=True)
class Earlier:
    """What an earlier render left, by the index of the image in the plan.

    Attributes:
        finished: Pictures that need no more work.
        states: What to go on from.
        frames: Images at the thresholds passed before.
    """

    finished: dict[int, Path] = field(default_factory=dict)
    states: dict[int, ClimbState] = field(default_factory=dict)
    frames: dict[int, dict[int, Float[Tensor, "c h w"]]] = field(default_factory=dict)


def find_earlier(plan: Plan, source: str | Path) -> Earlier:
    """Return what there is of the images of a plan.

    A picture whose steps are done, or that stopped before, is finished. One with a state goes on
    from there. All else starts anew, such as what an interrupt left without a state.

    Args:
        plan: What is to be rendered.
        source: A folder that `RenderResult.save` wrote to; or one of its pictures, for a plan of
            one image.

    Raises:
        RecordError: If there is no such file or folder, a picture was rendered with other
            settings, or there is no state to go on from.
        ConfigError: If the source is no path, one picture is to continue several images, or a
            threshold lies where nothing was kept.
    """
    if not isinstance(source, str | Path):
        raise ConfigError(f"resume must be a folder or a picture that was saved, got {source!r}")
    source = Path(source)
    if source.is_dir():
        texts = plan.texts or ()
        paths = output_paths(source, plan.model.name, plan.labels, texts)[: len(plan.labels)]
    elif source.is_file():
        if len(plan.labels) > 1:
            raise ConfigError(
                f"{str(source)!r} is one picture, and this render has {len(plan.labels)} images; "
                "resume from its folder"
            )
        paths = [source]
    else:
        raise RecordError(f"there is nothing to resume: no file or folder {str(source)!r}")
    settings = pixel_settings(describe(plan, Progress(batch=1), []))
    earlier = Earlier()
    for members in _belonging(plan):
        _look(plan, members, [paths[k] for k in members], settings, earlier)
    if source.is_file() and not (earlier.finished or earlier.states):
        raise RecordError(
            f"{str(source)!r} was saved without its state, so it cannot go on; render it from the "
            "start, with save_state (--save-state) if it is to go on later"
        )
    return earlier


def _belonging(plan: Plan) -> list[list[int]]:
    """Return the indices of the images, those together that only go on together."""
    images = range(len(plan.labels))
    return [list(images[first : first + plan.together]) for first in images[:: plan.together]]


def _look(
    plan: Plan,
    members: Sequence[int],
    paths: Sequence[Path],
    settings: dict[str, Any],
    earlier: Earlier,
) -> None:
    """Add what there is of images that belong together."""
    records = [read_record(path) if path.is_file() else None for path in paths]
    for k, path, record in zip(members, paths, records, strict=True):
        if record is not None:
            _check(plan, k, path, record, settings)
    if all(record is not None and _is_finished(plan, record) for record in records):
        earlier.finished.update(zip(members, paths, strict=True))
        steps = plan.config.steps
    else:
        files = [state_path(path) for path in paths]
        if not all(file.is_file() for file in files):
            for path, record in zip(paths, records, strict=True):
                _check_steps(plan, path, record)
            return
        states = []
        for k, file in zip(members, files, strict=True):
            state, record = read_state(file)
            _check(plan, k, file, record, settings)
            states.append(state)
            _check_reach(plan, file, state, record)
        if len({state.steps_done for state in states}) > 1:
            return
        earlier.states.update(zip(members, states, strict=True))
        steps = states[0].steps_done
    for k, path in zip(members, paths, strict=True):
        earlier.frames[k] = _frames(plan, path, steps)


def _check(plan: Plan, k: int, path: Path, record: Record, settings: dict[str, Any]) -> None:
    """Raise RecordError if a picture is not that of an image of the plan."""
    image = record.get("image")
    if image is None or "after_step" in record:
        raise RecordError(
            f"{str(path)!r} is a contact sheet, or a copy at a threshold; resume from a picture or "
            "from its folder"
        )
    if image["unit"] != plan.labels[k]:
        raise RecordError(
            f"cannot resume {str(path)!r}: it shows {image['unit']!r}, not {plan.labels[k]!r}"
        )
    found = pixel_settings(record)
    for name, wanted in settings.items():
        if found.get(name) != wanted:
            raise RecordError(
                f"cannot resume {str(path)!r}: {name} was {found.get(name)!r} there and is "
                f"{wanted!r} here; give the same settings, or leave out resume"
            )
    files = record["ran"].get("files", {})
    for name in (*plan.objectives[k].files, *parse_parameterisation(plan.config.param).files):
        if files.get(name) != plan.files[name]:
            raise RecordError(
                f"cannot resume {str(path)!r}: {name!r} has changed since; put the file of then "
                "back, or leave out resume"
            )
    before, now = record["config"]["steps"], plan.config.steps
    if before != now and parse_transforms(plan.config.transforms).paced:
        raise RecordError(
            f"cannot resume {str(path)!r}: its crops shrink over {before} steps, so {now} are "
            "another render; give the same steps, or leave out resume"
        )


def pixel_settings(record: Record) -> dict[str, Any]:
    """Return what decides the pixels of a render, but for objective and steps, as it worked out.

    Args:
        record: Of a render; its images do not count.
    """
    config, ran, model = RenderConfig.from_json(record["config"]), record["ran"], record["model"]
    values = {
        **config.to_json(),
        "size": ran["size"],
        "optimiser": config.optimiser_used,
        "learning_rate": config.learning_rate_used,
        "precision": ran["precision"],
        "start": ran["start_sha256"],
        "mask": ran["mask_sha256"],
        "contrast": ran.get("contrast"),
        "weights": model["weights_sha256"],
        "preprocess": model["preprocess"],
    }
    if config.patience is None:
        del values["min_delta"]
    for name in _FREE:
        del values[name]
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain


def _is_finished(plan: Plan, record: Record) -> bool:
    done, image = plan.config.steps, record["image"]
    same = record["config"]["steps"] == done
    return bool(same and (image["steps_done"] >= done or image.get("stopped_at")))


def _check_steps(plan: Plan, path: Path, record: Record | None) -> None:
    if record is not None and record["config"]["steps"] != plan.config.steps:
        raise RecordError(
            f"{str(path)!r} was saved after {record['image']['steps_done']} steps without its "
            f"state, so it cannot go on to {plan.config.steps}; render it from the start, with "
            "save_state (--save-state) if it is to go on later"
        )


def _check_reach(plan: Plan, file: Path, state: ClimbState, record: Record) -> None:
    if state.steps_done > plan.config.steps and not record["image"].get("stopped_at"):
        raise RecordError(
            f"{str(file)!r} stands at {state.steps_done} steps, beyond the {plan.config.steps} of "
            "this render; ask for more steps, or leave out resume"
        )


def _frames(plan: Plan, path: Path, steps: int) -> dict[int, Tensor]:
    """Return the images at the thresholds passed."""
    found = {}
    for step in (t for t in plan.config.thresholds if t <= steps):
        file = frame_path(path, step)
        if not file.is_file():
            raise ConfigError(
                f"no image of {path.name!r} after step {step} was kept; leave out that threshold"
            )
        found[step] = _read_image(file, plan)
    return found


def with_finished(
    rendered: RenderResult | None, plan: Plan, finished: dict[int, Path]
) -> RenderResult:
    """Return a result with the finished pictures of an earlier render in their places.

    Args:
        rendered: The other images of the plan, or those of them that an interrupt left; None if
            there were none to render.
        plan: All of the images.
        finished: Index in the plan -> picture; at least one.
    """
    # What is rendered keeps its order, so the next label that fits is its own.
    waiting = list(range(len(rendered))) if rendered else []
    places: list[tuple[int, int | None]] = []
    for k, label in enumerate(plan.labels):
        if k in finished:
            places.append((k, None))
        elif rendered and waiting and rendered.labels[waiting[0]] == label:
            places.append((k, waiting.pop(0)))
    records = {k: read_record(path) for k, path in finished.items()}
    parts = [
        _taken(plan, finished[k], records[k]) if row is None or rendered is None
        else _row(rendered, row)
        for k, row in places
    ]  # fmt: skip
    shared = dict(rendered.record if rendered else next(iter(records.values())))
    shared.pop("image", None)
    shared["request"] = describe(plan, Progress(batch=1), [])["request"]
    shared["images"] = [part.record["images"][0] for part in parts]
    steps = set.intersection(*(set(part.frames) for part in parts))
    return RenderResult(
        images=torch.cat([part.images for part in parts]),
        labels=tuple(plan.labels[k] for k, _ in places),
        score=torch.cat([part.score for part in parts]),
        history=torch.cat([part.history for part in parts]),
        dead=torch.cat([part.dead for part in parts]),
        failed=torch.cat([part.failed for part in parts]),
        frames={s: torch.cat([part.frames[s] for part in parts]) for s in sorted(steps)},
        record=shared,
        config=plan.config,
        interrupted=rendered is not None and rendered.interrupted,
        terms=tuple(part.terms[0] for part in parts),
        states=tuple(part.states[0] for part in parts),
        files={i: finished[k] for i, (k, row) in enumerate(places) if row is None},
    )


def _row(result: RenderResult, row: int) -> RenderResult:
    """Return the result of one image of several."""
    one = slice(row, row + 1)
    return replace(
        result,
        images=result.images[one],
        labels=result.labels[one],
        score=result.score[one],
        history=result.history[one],
        dead=result.dead[one],
        failed=result.failed[one],
        frames={step: images[one] for step, images in result.frames.items()},
        record={**result.record, "images": result.record["images"][one]},
        terms=result.terms[one],
        states=result.states[one],
    )


def _taken(plan: Plan, file: Path, record: Record) -> RenderResult:
    """Return the result of one image as its files have it."""
    image = record["image"]
    frames = _frames(plan, file, plan.config.steps)
    return RenderResult(
        images=_read_image(file, plan)[None],
        labels=(image["unit"],),
        score=torch.tensor([image["score"]]),
        history=torch.full((1, plan.config.steps), torch.nan),
        dead=torch.tensor([image["dead"]]),
        failed=torch.tensor([image["failed"]]),
        frames={step: frame[None] for step, frame in frames.items()},
        record={**record, "images": [image]},
        config=plan.config,
        terms=({},),
        states=(None,),
    )


def _read_image(file: Path, plan: Plan) -> Float[Tensor, "c h w"]:
    """Return the image of a PNG file, as it was rounded."""
    return to_image(read_pixels(file), plan.size, alpha=plan.config.alpha is not None)
