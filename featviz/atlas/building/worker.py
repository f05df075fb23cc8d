"""Renders batches of jobs with a model that is loaded once; knows no folders.

What comes back are files and records in memory: the driver alone writes. What is inside them does
not depend on which worker rendered a job, and on which others it rendered with in the last bits of
the arithmetic alone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image

from featviz.atlas.building.plan import Batch, Job
from featviz.atlas.building.request import ModelSource
from featviz.atlas.entries import MAX_ERROR, Failure
from featviz.atlas.pictures import thumb_bytes, webp_bytes
from featviz.atlas.store import NewImage, finite_numbers
from featviz.errors import RenderError
from featviz.images import png_bytes
from featviz.models.model import Model
from featviz.models.weights import digest
from featviz.record import record_to_text
from featviz.rendering import render
from featviz.result import RenderResult

QUALITY = 90


@dataclass(frozen=True)
class Setup:
    """What a worker must know.

    Attributes:
        source: What loads the model.
        weights: SHA-256 that its weights must have.
        kind: Of the picture files.
        thumb_px: Longer side of the small pictures.
        threads: Of torch; None: as they are.
    """

    source: ModelSource
    weights: str
    kind: str
    thumb_px: int
    threads: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    Attributes:
        batch: The batch.
        images: Of the jobs that went well, all images of each.
        failures: The other jobs.
    """

    batch: Batch
    images: tuple[NewImage, ...]
    failures: tuple[Failure, ...] = ()


class Worker:
    """A model, and what it renders.

    Args:
        setup: What it must know.
        model: As `setup.source` loads it; None: it is loaded.

    Raises:
        InputError: If the model cannot be loaded.
        RenderError: If its weights are not those of the plan.
    """

    def __init__(self, setup: Setup, model: Model | None = None) -> None:
        self._setup = setup
        self._model = _load(setup) if model is None else model
        self._most: int | None = None

    def render(self, batch: Batch) -> Outcome:
        """Render a batch; if that fails its jobs one by one, so that only the broken ones fail.

        Raises:
            KeyboardInterrupt: On Ctrl-C; then nothing of the batch is kept.
        """
        try:
            return self._render(batch)
        except Exception as error:
            # After an error inside a kernel the device is lost for this process.
            if "CUDA error" in str(error):
                raise
            if len(batch.jobs) == 1:
                reason = f"{type(error).__name__}: {error}"
                return Outcome(batch, (), (self.failure(batch.jobs[0], reason),))
        outcomes = [self.render(single) for single in batch.singly()]
        return Outcome(
            batch,
            tuple(image for outcome in outcomes for image in outcome.images),
            tuple(failure for outcome in outcomes for failure in outcome.failures),
        )

    def failure(self, job: Job, reason: str) -> Failure:
        """Return the line of a job that ended with an error."""
        return failure(job, reason, model=self._model.name, weights=self._setup.weights)

    def _render(self, batch: Batch) -> Outcome:
        config = batch.config
        if self._most is not None and config.batch is not None:
            config = replace(config, batch=min(config.batch, self._most))
        start = time.perf_counter()
        result = render(
            self._model, [job.text for job in batch.jobs], config=config, progress=False
        )
        if result.interrupted:
            raise KeyboardInterrupt
        if config.batch is not None and result.record["ran"]["batch"] < config.batch:
            self._most = result.record["ran"]["batch"]  # memory ran out
        seconds = (time.perf_counter() - start) / len(result)
        images: list[NewImage] = []
        failures = []
        pictures = result.pictures()
        row = 0
        for job in batch.jobs:
            rows = range(row, row + job.images)
            row += job.images
            if any(result.failed[k] for k in rows):
                failures.append(self.failure(job, "the image or its score is not a finite number"))
                continue
            images += [
                self._image(result, k, job, number, pictures[k], seconds)
                for number, k in enumerate(rows)
            ]
        return Outcome(batch, tuple(images), tuple(failures))

    def _image(
        self,
        result: RenderResult,
        k: int,
        job: Job,
        number: int,
        picture: Image.Image,
        seconds: float,
    ) -> NewImage:
        own = result.record["images"][k]
        shared = {key: value for key, value in result.record.items() if key != "images"}
        shared["request"] = {"arguments": shared["request"]["arguments"]}
        parts = {
            "key": job.image_key(number),
            "job": job.key,
            "model": self._model.name,
            "weights": self._setup.weights,
            "site": job.site,
            "channel": job.channel,
            "variant": job.variant,
            "image": number,
            "label": own["unit"],
            "score": own["score"],
            "dead": own["dead"],
            "failed": False,
            "metrics": finite_numbers(own["metrics"]),
            "kind": self._setup.kind,
            "height": picture.height,
            "width": picture.width,
            "seconds": seconds,
            "record": own,
        }
        text = record_to_text(_portable(shared, own)) if self._setup.kind == "png" else None
        return NewImage(
            parts, _encoded(picture, text), thumb_bytes(picture, self._setup.thumb_px), shared
        )


def _load(setup: Setup) -> Model:
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    model = setup.source.load()
    if digest(model.module) != setup.weights:
        raise RenderError(
            f"{model.name!r} has other weights in a worker than where the build began; give the "
            "same files to all machines, or weights to a factory that draws its own"
        )
    return model


def failure(job: Job, reason: str, *, model: str, weights: str) -> Failure:
    """Return the line of a job that ended with an error.

    Args:
        job: The job.
        reason: What was wrong; what cannot be recorded is escaped, and its end cut off.
        model: Name of the model.
        weights: SHA-256 of its weights.
    """
    # Half a surrogate pair, from the name of a file or from elsewhere, can be recorded nowhere.
    text = reason.encode("utf-8", "backslashreplace").decode()[:MAX_ERROR] or "no reason was given"
    return Failure(job.key, model, weights, job.site, job.channel, job.variant, text)


def _portable(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of an image without what depends on who rendered it, beside which others.

    The log keeps that: the batch, and the threads.
    """
    return {
        **shared,
        "request": {"objectives": [own["objective"]], **shared["request"]},
        "config": {**shared["config"], "batch": None},
        "ran": {name: value for name, value in shared["ran"].items() if name != "batch"},
        "environment": {n: v for n, v in shared["environment"].items() if n != "threads"},
        "image": dict(own),
    }


def _encoded(picture: Image.Image, text: str | None) -> bytes:
    if text is not None:
        return png_bytes(picture, text=text)
    return webp_bytes(picture, quality=QUALITY)
