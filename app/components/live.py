"""A render as it goes: pictures, the curve of the score, the spectrum."""

from typing import Any

import streamlit as st

from app.components import read_source
from app.job import Job, State

_LIVE = st.components.v2.component(
    "featviz.live",
    html='<div class="live"></div>',
    css=read_source("live.css"),
    js=read_source("live.js"),
)
NATURAL_SLOPE = -1.4
"""Of the amplitude of photographs, see `spectrum_slope`."""
_WORDS = {
    State.DONE: "done",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


def live(job: Job, *, ahead: int, key: str) -> None:
    """Show where a job is.

    Args:
        job: The job.
        ahead: Jobs before it, if it waits.
        key: Of the component on its page.
    """
    _LIVE(key=key, data=live_data(job, ahead=ahead))


def live_data(job: Job, *, ahead: int) -> dict[str, Any]:
    """Return what the component shows of a job, as JSON."""
    steps = int(job.task.config["steps"])
    images: list[dict[str, Any]] = [
        {
            "label": label,
            "short": f"image {label.rpartition(' ~')[2]}" if " ~" in label else label,
            "picture": course.picture,
            "text": f"{label} after {course.step} steps",
            "score": course.points[-1][1] if course.points else None,
            "points": [list(point) for point in course.points],
            "amplitudes": list(course.amplitudes),
        }
        for label, course in job.courses.items()
    ]
    if job.finished is not None:
        scores = {image.own["unit"]: image.own["score"] for image in job.finished.images}
        images = [{**image, "score": scores[image["label"]]} for image in images]
    asked = max(1, int(job.task.config["images"]))
    missing: dict[str, Any] = {
        "short": "",
        "picture": "",
        "score": None,
        "points": [],
        "amplitudes": [],
    }
    while len(images) < asked:
        images.append({"label": "", "text": "", **missing})
    if len(images) > 1 and " ~" in str(images[-1]["label"]):
        images[0]["short"] = "image 1"
    # Batches come one after the other, so that some images are at their end before others begin.
    done = sum(course.step for course in job.courses.values()) / len(images)
    last = images[0]["score"]
    return {
        "running": job.active,
        "step": round(done),
        "steps": steps,
        "words": _state_words(job, ahead, round(done), steps),
        "images": images,
        "frequency": list(job.frequency),
        "natural": NATURAL_SLOPE,
        "scoreWords": f"score by step, now {last:.4g}" if last is not None else "score by step",
        "spectrumWords": "amplitude of the spectrum by frequency",
    }


def _state_words(job: Job, ahead: int, done: int, steps: int) -> str:
    if job.state is State.WAITING:
        return f"waits; {ahead} before it" if ahead else "begins"
    if job.state is State.RUNNING:
        if not job.courses:
            return f"loads the network, {job.seconds:.0f} s"
        return f"step {done} of {steps}, {job.seconds:.0f} s"
    return f"{_WORDS[job.state]} after {done} steps, {job.seconds:.1f} s"
