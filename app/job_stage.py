"""A job on a page: how it goes, its end, downloads, and the session's other jobs."""

import io
import json
import zipfile

import streamlit as st

from app.components.live import live
from app.components.ways import Way, ways
from app.job import Job, State
from app.keeping import place_of
from app.links import Place, address
from app.metric_words import MEANINGS
from app.plain import as_text
from app.render_task import Finished, Rendered
from app.rendering import owner, queue
from featviz.record import record_to_text

_EVERY_S = 0.5
_METRICS = {
    # Name in records: heading, form of the number.
    "slope": ("Slope", ".2f"),
    "high": ("High freq.", ".1%"),
    "clipped": ("Clipped", ".1%"),
    "saturation": ("Saturation", ".1%"),
}


def job_stage(job: Job, *, key: str) -> None:
    """Show a job: twice a second while it is under way, then its end.

    Args:
        job: One of this session.
        key: Of the parts on their page.
    """
    head, side = st.columns([4, 1], vertical_alignment="center")
    title = job.title if len(job.title) < 60 else f"{job.title[:57]}..."
    head.subheader(as_text(title), anchor=False)
    if job.active:
        side.button(
            "Cancel",
            key=f"{key} cancel",
            icon=":material/stop_circle:",
            width="stretch",
            on_click=queue().cancel,
            args=(owner(), job.id),
        )
        st.fragment(_look, run_every=_EVERY_S)(job.id, key)
    else:
        live(job, ahead=0, key=key)
        _end(job)


def _look(job_id: str, key: str) -> None:
    job = queue().find(owner(), job_id)
    if job is None:
        return
    live(job, ahead=queue().ahead(job), key=key)
    if not job.active:
        st.rerun()


def _end(job: Job) -> None:
    """Show what came of a job."""
    if job.state is State.FAILED:
        st.error(as_text(job.error), icon=":material/error:")
        return
    if job.state is State.CANCELLED:
        st.info("Cancelled; the image is as it was then and was not kept.", icon=":material/block:")
        return
    result = job.finished
    if result is None:
        return
    if job.note:
        st.warning(as_text(job.note), icon=":material/save:")
    first = result.images[0].own
    columns = st.columns(len(_METRICS) + 1)
    columns[0].metric("Score", "-" if first["score"] is None else f"{first['score']:.4g}")
    for column, (name, (head, form)) in zip(columns[1:], _METRICS.items(), strict=True):
        value = first["metrics"].get(name)
        column.metric(head, "-" if value is None else format(value, form), help=MEANINGS[name])
    if any(image.own["dead"] for image in result.images):
        st.warning(
            "An image does not fire its unit, so it shows nothing about it; try another seed.",
            icon=":material/heart_broken:",
        )
    _downloads(job)
    if job.kept:
        _way_to(job)


def _downloads(job: Job) -> None:
    result = job.finished
    assert result is not None
    with st.container(horizontal=True):
        if len(result.images) > 1:
            _download(f"{len(result.images)} PNG and records", zip_bytes(job), "renders.zip")
            return
        image = result.images[0]
        _download("PNG", image.png, f"{image.stem}.png")
        _download("Record", _record_text(result, image).encode(), f"{image.stem}.json")


def _download(label: str, data: bytes, name: str) -> None:
    kind = {"png": "image/png", "json": "application/json"}.get(name.rpartition(".")[2])
    st.download_button(
        label,
        data,
        name,
        kind or "application/zip",
        icon=":material/download:",
        on_click="ignore",
    )


def _record_text(result: Finished, image: Rendered) -> str:
    return record_to_text({**result.shared, "image": dict(image.own)})


def zip_bytes(job: Job) -> bytes:
    """Return the images and records of a job that is done as a ZIP file."""
    result = job.finished
    assert result is not None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for image in result.images:
            file.writestr(f"{image.stem}.png", image.png)
            file.writestr(f"{image.stem}.json", _record_text(result, image))
        file.writestr("records.json", json.dumps([dict(image.own) for image in result.images]))
    return buffer.getvalue()


def _way_to(job: Job) -> None:
    """Say where the images are kept, with a link."""
    assert job.finished is not None
    site, channel = place_of(job.finished.images[0].own["objective"], job.task)
    place = Place(job.keep_in, job.task.model, site, channel)
    query = place.query() if channel is not None else place.query() | {"variant": "live"}
    page = "unit" if channel is not None else "site"
    kept = Way(f"Kept in the atlas {job.keep_in}", address(page, query))
    ways([kept], key=f"kept {job.id}", label="where it is kept")


def other_jobs(jobs: list[Job]) -> None:
    """List the session's other jobs, newest first."""
    if not jobs:
        return
    st.divider()
    st.caption("Your other renders")
    for job in reversed(jobs):
        words, state, button = st.columns([4, 2, 1], vertical_alignment="center")
        words.text(job.title)
        waits = queue().ahead(job)
        state.caption(f"waits, {waits} before it" if job.state is State.WAITING else job.state)
        if job.state is State.WAITING:
            button.button(
                "Cancel",
                key=f"cancel {job.id}",
                on_click=queue().cancel,
                args=(owner(), job.id),
            )
        else:
            button.button(
                "Show",
                key=f"show {job.id}",
                on_click=st.session_state.__setitem__,
                args=("job", job.id),
            )
