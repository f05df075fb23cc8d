"""The process that renders for the server: `python -m app.render_process PIPE ALIVE`.

It renders one task after the other, sends previews as it goes, and ends after a while without work,
or when the server does, also if that was killed: the other end of ALIVE closes then.
"""

import base64
import contextlib
import io
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from app.cores import leave_a_core
from app.render_task import Finished, Message, Preview, Rendered, Task, Warm

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from featviz.ascent import Moment
    from featviz.models import Model
    from featviz.result import RenderResult

PREVIEW_EVERY_S = 0.25
IDLE_S = 120.0
"""How long it waits for another task, so that the next render starts at once."""
_PREVIEW_QUALITY = 85
_NICENESS = 10


def render_task(task: Task, model: "Model", send: Callable[[Message], None]) -> Finished:
    """Render a task.

    Args:
        task: What to render.
        model: Its network.
        send: Called with previews.

    Raises:
        FeatvizError: If it cannot be rendered.
    """
    from featviz.config import RenderConfig
    from featviz.images import to_image
    from featviz.objectives.values import without_files
    from featviz.recipes import accentuate
    from featviz.rendering import render

    config = RenderConfig.from_json(dict(task.config))
    previews = _Previews(config.steps, send, clear=config.alpha is not None)
    start = time.perf_counter()
    with without_files():
        if task.photo is None:
            result = render(model, task.text, config=config, progress=False, callback=previews)
        else:
            from PIL import Image

            picture = Image.open(io.BytesIO(task.photo))
            seen = to_image(picture, (picture.height, picture.width))
            result = accentuate(
                model,
                task.text,
                seen,
                steps=config.steps,
                seed=config.seed,
                keep=config.keep,
                progress=False,
                callback=previews,
            )
    return _finished(result, task, time.perf_counter() - start)


class _Previews:
    """Sends where a render stands, at its first and last step and now and then between."""

    def __init__(self, steps: int, send: Callable[[Message], None], *, clear: bool) -> None:
        self._steps, self._send, self._clear = steps, send, clear
        self._due = 0.0

    def __call__(self, moment: "Moment") -> None:
        now = time.monotonic()
        if now < self._due and moment.step < self._steps:
            return
        self._due = now + PREVIEW_EVERY_S
        images = moment.images()
        frequency, amplitudes = _spectra(images, clear=self._clear)
        self._send(
            Preview(
                labels=moment.labels,
                step=moment.step,
                scores=_finite(moment.scores().tolist()),
                pictures=tuple(_data_url(_shown(image, clear=self._clear)) for image in images),
                frequency=frequency,
                amplitudes=amplitudes,
            )
        )


def _finished(result: "RenderResult", task: Task, seconds: float) -> Finished:
    """Return what the server keeps of a result."""
    from featviz.atlas.layout import THUMB_PX
    from featviz.atlas.pictures import thumb_bytes
    from featviz.images import png_bytes
    from featviz.record import record_to_text
    from featviz.result import output_paths

    pictures = result.pictures()
    paths = output_paths(Path(), result.record["model"]["name"], result.labels, [task.text])
    clear = result.config.alpha is not None
    frequency, amplitudes = _spectra(result.images, clear=clear)
    images = [
        Rendered(
            stem=paths[k].stem,
            own=result.record["images"][k],
            png=png_bytes(pictures[k], text=record_to_text(result.record_of(k))),
            thumb=thumb_bytes(pictures[k], THUMB_PX),
            picture=_data_url(_shown(result.images[k], clear=clear), lossless=True),
            size=(pictures[k].height, pictures[k].width),
        )
        for k in range(len(result))
        if not result.failed[k]
    ]
    rows = result.history.tolist()
    return Finished(
        images=tuple(images),
        shared={key: value for key, value in result.record.items() if key != "images"},
        history={label: _finite(row) for label, row in zip(result.labels, rows, strict=True)},
        frequency=frequency,
        amplitudes=dict(zip(result.labels, amplitudes, strict=True)),
        seconds=seconds,
    )


def _spectra(
    images: "Tensor", *, clear: bool
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Return the frequencies of rings, and the amplitudes of each image there."""
    from featviz.metrics import radial_spectrum
    from featviz.params.alpha import over_grey

    frequency, amplitude = radial_spectrum(over_grey(images) if clear else images)
    rows = amplitude.nan_to_num(0).tolist()
    return tuple(frequency.tolist()), tuple(map(tuple, rows))


def _shown(image: "Tensor", *, clear: bool) -> "Image.Image":
    from featviz.images import on_squares, to_picture

    return on_squares(to_picture(image, alpha=clear))


def _data_url(picture: "Image.Image", *, lossless: bool = False) -> str:
    buffer = io.BytesIO()
    if lossless:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=_PREVIEW_QUALITY)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _finite(values: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in values)


def serve(pipe: Connection) -> None:
    """Render tasks until there are none for a while, or the other end closes.

    Args:
        pipe: Tasks come in; previews, and what became of each, go out.
    """
    from app.render_task import Refused
    from featviz.errors import FeatvizError
    from featviz.models.load import load

    model: Model | None = None
    while pipe.poll(IDLE_S):
        task: Task | Warm = pipe.recv()
        try:
            if model is None or model.name != task.model:
                model = None  # two networks at once may not fit
                model = _on_device(load(task.model))
            if isinstance(task, Task):
                pipe.send(render_task(task, model, pipe.send))
        except FeatvizError as error:
            if isinstance(task, Task):  # whoever asks for more will hear of it
                pipe.send(Refused(str(error)))
        except OSError:
            raise  # the server is gone
        except Exception as error:  # noqa: BLE001 - what it leaves behind ends with the process
            traceback.print_exc()
            if isinstance(task, Task):
                pipe.send(Refused(f"the render failed: {type(error).__name__}: {error}"))
            return  # whatever it left behind, the next render starts afresh


def _on_device(model: "Model") -> "Model":
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _end_with_server(alive: int) -> None:
    os.read(alive, 1)
    os._exit(1)


def _use_cores() -> None:
    """Leave one core, and the way, to the server."""
    leave_a_core()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def main() -> None:
    """Serve the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides
    pipe, alive = map(int, sys.argv[1:])
    threading.Thread(target=_end_with_server, args=(alive,), daemon=True).start()
    tasks = Connection(pipe)
    # What a network prints is no message.
    with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(EOFError, OSError):
        _use_cores()
        serve(tasks)
    # At once: torch takes its time to go, and a task that came meanwhile would be lost.
    tasks.close()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
