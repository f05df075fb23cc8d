"""The pages Render and Your image, without a browser."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import rendering
from app.job import State
from app.jobs import JobQueue
from app.library import open_library
from app.looking import as_batch
from app.networks import network
from app.render_host import RenderHost
from app.serving import BROWSER_COOKIE
from app.uploads import fit
from app_pages import open_page, said, show_library
from featviz.atlas.layout import create_layout


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQueue]:
    made = JobQueue(RenderHost("fake_render_process"), lambda *_: ("0" * 64,))
    monkeypatch.setattr(rendering, "_QUEUES", [made])
    yield made
    made.close()


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    atlas = create_layout(tmp_path / "mine").root
    show_library(monkeypatch, open_library([atlas], renders=tmp_path / "renders"))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def press(test: AppTest, label: str) -> AppTest:
    (button,) = [button for button in test.button if button.label == label]
    return button.click().run()


@pytest.mark.usefixtures("queue")
def test_a_link_fills_the_form_and_starts_nothing() -> None:
    test = open_page(
        "render", model="squeezenet1_1", unit="fire4:141", steps="9", seed="3", px="64"
    )
    assert not test.exception
    assert test.text_input(key="of").value == "fire4:141"
    assert test.number_input(key="steps").value == 9
    assert "Nothing is rendered yet" in said(test)
    assert "--steps 9 --size 64 --seed 3" in said(test)
    assert "model = featviz.load('squeezenet1_1')" in said(test)
    assert "featviz.render(model, 'fire4:141'" in said(test)
    assert rendering.queue().of(rendering.owner()) == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"kind": "sum", "text": "fire4:5 - 0.5*fire4:9"}, "fire4:5 - 0.5*fire4:9"),
        ({"kind": "direction", "site": "conv1", "weights": "1:1"}, "direction(conv1, [0, 1, 0"),
        ({"kind": "path", "first": "fire4:1", "last": "fire4:2"}, "interpolation(fire4, 1, 2)"),
        ({"unit": "fire4:1", "goal": "negative"}, "-- squeezenet1_1 -fire4:1"),
        ({"unit": "fire9:1", "of": "fire4:3"}, "squeezenet1_1 fire4:3"),
        ({"unit": "fire4:1@2,3", "param": "pixels", "transforms": "jitter:2"}, "--param pixels"),
    ],
)
@pytest.mark.usefixtures("queue")
def test_every_kind_of_objective_has_a_link(query: dict[str, str], text: str) -> None:
    test = open_page("render", **query)
    assert not test.exception
    assert not test.error
    assert text in said(test)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"model": "/etc/passwd"}, "the link has model='/etc/passwd'"),
        ({"steps": "1e9"}, "steps='1e9'; it must be a whole number, 1 to 4096"),
        ({"px": "100000"}, "it must be a whole number, 32 to 512"),
        ({"kind": "everything"}, "the link has kind='everything'"),
        ({"unit": "x" * 400}, "unit in the link has 400 characters"),
        ({"unit": "fire4"}, "'fire4' names no unit; write SITE:CHANNEL"),
        ({"kind": "path", "first": "fire4:1", "last": "fire5:1"}, "both units must be of one site"),
        ({"atlas": "nowhere"}, "the link has atlas='nowhere'"),
    ],
)
@pytest.mark.usefixtures("queue")
def test_a_bad_link_is_told_plainly(query: dict[str, str], text: str) -> None:
    test = open_page("render", **query)
    assert not test.exception
    assert text in said(test)


def test_the_title_of_a_sum_keeps_its_asterisks(queue: JobQueue) -> None:
    text = "0.5*fire4:5 + 0.5*fire4:9"
    test = press(open_page("render", kind="sum", text=text, steps="2", px="32"), "Render")
    (job,) = queue._jobs.values()
    until(lambda: not job.active)
    test.run()
    assert "0.5\\*fire4\\:5 + 0.5\\*fire4\\:9" in [head.value for head in test.subheader]


def test_a_render_is_shown_when_done_and_others_are_listed(queue: JobQueue) -> None:
    test = open_page("render", unit="fire4:1", steps="2", px="32")
    test = press(test, "Render")
    (job,) = queue._jobs.values()
    until(lambda: not job.active)
    assert job.keep_in == "mine"
    test.run()
    assert not test.exception
    assert job.state is State.DONE
    assert [button.label for button in test.get("download_button")] == ["PNG", "Record"]
    test = press(test, "Render")
    assert "Your other renders" in said(test)


def test_a_session_warms_a_network_once(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []
    monkeypatch.setattr(queue, "warm", warmed.append)
    open_page("render", unit="fire4:1").run()
    assert warmed == ["squeezenet1_1"]


def test_what_is_wrong_with_a_render_is_told(queue: JobQueue) -> None:
    test = open_page("render", unit="fire99:1")
    test = press(test, "Render")
    assert not test.exception
    assert "unknown site 'fire99'" in said(test)
    assert not queue._jobs
    test.text_input(key="of").set_value("fire4:1").run()
    test.pills(key="kind").set_value("sum").run()
    test = test.text_input(key="text").set_value("style(fire4, /etc/hostname)").run()
    test = press(test, "Render")
    assert "files cannot be named here" in said(test)
    assert not queue._jobs


def test_cancelling_and_failing_are_told(queue: JobQueue) -> None:
    test = open_page("render", kind="sum", text="endless")
    assert not test.exception
    # The fake process obeys texts that no network has, so the task is put in by hand.
    owner = test.session_state["owner"]
    from app.render_task import Task
    from featviz.config import RenderConfig

    config = RenderConfig(steps=9, size=32).to_json()
    job = queue.submit(owner, Task("net", "endless", config, "a"), title="endless")
    until(lambda: bool(job.courses))
    test.run()
    press(test, "Cancel")
    assert "Cancelled; the image is as it was" in said(test.run())
    job = queue.submit(owner, Task("net", "crash", config, "a"), title="crash")
    until(lambda: not job.active)
    test.run()
    assert "killed by SIGKILL" in said(test)


def test_sessions_do_not_see_each_other(queue: JobQueue) -> None:
    first = open_page("render", unit="fire4:1", steps="2", px="32")
    press(first, "Render")
    until(lambda: not any(job.active for job in queue._jobs.values()))
    second = open_page("render", unit="fire4:1")
    assert "Nothing is rendered yet" in said(second)


def test_a_reload_shows_the_renders_of_this_browser(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"unit": "fire4:1", "steps": "2", "px": "32"}
    browser = {BROWSER_COOKIE: "mine"}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda _: browser))
    press(open_page("render", **form), "Render")
    (job,) = queue._jobs.values()
    until(lambda: not job.active)
    assert "Nothing is rendered yet" in said(open_page("render", **form)), "its page is open"
    monkeypatch.setattr(queue, "_present", lambda _owner: False)
    browser[BROWSER_COOKIE] = "another"
    assert "Nothing is rendered yet" in said(open_page("render", **form))
    browser[BROWSER_COOKIE] = "mine"
    reloaded = open_page("render", **form)
    assert not reloaded.exception
    assert [button.label for button in reloaded.get("download_button")] == ["PNG", "Record"]


def test_another_render_is_shown_by_its_button(queue: JobQueue) -> None:
    form = {"steps": "2", "px": "32"}
    test = press(open_page("render", unit="fire4:1", **form), "Render")
    test.text_input(key="of").set_value("fire4:2").run()
    test = press(test, "Render")
    until(lambda: not any(job.active for job in queue._jobs.values()))
    assert "fire4\\:2" in [head.value for head in test.run().subheader]
    test = press(test, "Show")
    assert "fire4\\:1" in [head.value for head in test.subheader]


def picture() -> bytes:
    buffer = io.BytesIO()
    array = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.usefixtures("queue")
def test_without_a_photograph_the_page_asks_for_one() -> None:
    test = open_page("image", unit="fire5:3")
    assert not test.exception
    assert "Give a photograph" in said(test)
    assert test.selectbox(key="in").value == "fire5"


@pytest.mark.usefixtures("queue")
def test_a_photograph_is_looked_at() -> None:
    test = open_page("image", site="fire4", unit="fire4:7", at="2,3")
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    assert not test.exception
    assert not test.error
    assert "**fire4:7** is" in said(test)
    assert "at 2,3" in said(test)
    assert "Why" in said(test)
    assert "featviz photo accentuate" in said(test)


@pytest.mark.usefixtures("queue")
def test_what_is_explained_and_how_it_is_accentuated_stands_in_the_link() -> None:
    def looked_at(**query: str) -> AppTest:
        test = open_page("image", site="fire4", unit="fire4:7", **query)
        test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
        assert not test.exception
        return test

    plainly = looked_at()
    last = plainly.selectbox(key="explain").options[-1]
    assert last.startswith("class ")
    test = looked_at(explain=last, more_steps="9", more_keep="1.5", more_seed="3")
    assert f"{last} is" in said(test)
    assert "--steps 9 --seed 3 --keep 1.5" in said(test)
    odd = looked_at(explain="class of 1999", more_steps="1e9", more_keep="x", more_seed="-1")
    assert "fire4:7 is" in said(odd)
    assert "--steps 48 --seed 0 --keep 2 " in said(odd)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"site": "fire99"}, "the link has site='fire99'"),
        ({"site": "fire4", "unit": "fire4:9999"}, "channel 9999 is out of range"),
        ({"site": "fire4", "unit": "fire4:1-3"}, "which is not one unit"),
        ({"site": "fire4", "at": "middle"}, "a position is Y,X, such as 7,9"),
        ({"site": "fire4", "by": "luck"}, "the link has by='luck'"),
        ({"model": "os:system"}, "the link has model='os:system'"),
    ],
)
@pytest.mark.usefixtures("queue")
def test_a_bad_link_to_a_photograph_is_told(query: dict[str, str], text: str) -> None:
    test = open_page("image", **query)
    uploaders = test.get("file_uploader")
    if uploaders:
        uploaders[0].set_value(("cat.png", picture(), "image/png")).run()
    assert not test.exception
    assert text in said(test)


@pytest.mark.usefixtures("queue")
def test_a_photograph_is_taken_back_by_its_cross_and_after_another_page() -> None:
    test = open_page("image", site="fire4")
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    assert "Units of fire4 that fire most" in said(test)
    assert "Forget the photograph" not in [button.label for button in test.button]
    test.get("file_uploader")[0].set_value(None).run()
    assert "Give a photograph" in said(test)
    assert "photograph taken" not in test.session_state
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    test.switch_page("views/lessons.py").run()
    test.switch_page("views/image.py").run()
    assert "that fire most" in said(test), "it stays when the page is left"
    press(test, "Forget the photograph")
    assert not test.exception
    assert "Give a photograph" in said(test)
    assert "photograph taken" not in test.session_state


@pytest.mark.usefixtures("queue")
def test_classes_have_their_logit_and_share() -> None:
    test = open_page("image", site="fire4")
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    bars = [bar.proto.text for bar in test.get("progress")]
    assert len(bars) == 5
    model = network("squeezenet1_1")
    with torch.no_grad():
        logits = model(as_batch(fit(picture(), model.spec.size, channels=3)))[0]
    assert bars[0] == f"{logits.softmax(0).max():.1%}, logit {logits.max():.4g}"


@pytest.mark.usefixtures("queue")
def test_another_network_is_looked_at_where_it_has_sites() -> None:
    test = open_page("image", model="squeezenet1_1", site="fire4", unit="fire4:7", at="2,3")
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    test.selectbox(key="in").set_value("fire5").run()
    test.selectbox(key="source").set_value("fire3").run()
    for name, site in (("artificial_curves", "arcs"), ("squeezenet1_1", "fire9")):
        test.selectbox(key="net").set_value(name).run()
        assert not test.exception
        assert not test.error, test.error[0].value
        assert f"--keep 2 {name} {test.selectbox(key='in').value}:" in said(test)
        test.selectbox(key="in").set_value(site).run()
        assert not test.error
        assert f"Units of {site} that fire most" in said(test)
    assert "site" not in test.query_params


@pytest.mark.usefixtures("queue")
def test_a_link_with_a_site_of_the_network_before_opens() -> None:
    test = open_page("image", model="squeezenet1_1", net="artificial_curves", **{"in": "fire5"})
    assert not test.error
    assert test.selectbox(key="in").value == "early_curves"
    test = open_page("render", net="artificial_curves", kind="direction", **{"in": "fire5"})
    assert not test.error
    assert test.selectbox(key="in").value == "early_curves"


@pytest.mark.usefixtures("queue")
def test_a_direction_in_another_network_begins_anew() -> None:
    test = open_page("render", model="squeezenet1_1", site="fire4", kind="direction")
    test.selectbox(key="in").set_value("fire5").run()
    test.selectbox(key="net").set_value("artificial_curves").run()
    assert not test.exception
    assert not test.error, test.error[0].value
    assert test.selectbox(key="in").value in test.selectbox(key="in").options
    assert f"direction({test.selectbox(key='in').value}, [1" in said(test)


@pytest.mark.usefixtures("queue")
def test_a_bad_file_is_told_and_the_page_goes_on() -> None:
    test = open_page("image")
    test.get("file_uploader")[0].set_value(("cat.png", b"no picture", "image/png")).run()
    assert not test.exception
    assert "'cat.png' is no picture that is understood" in said(test)
    assert "Give a photograph" in said(test)


def test_a_unit_is_accentuated_by_the_queue(queue: JobQueue) -> None:
    test = open_page("image", site="fire4", unit="fire4:7")
    test.get("file_uploader")[0].set_value(("cat.png", picture(), "image/png")).run()
    test = press(test, "Accentuate")
    assert not test.exception
    (job,) = queue._jobs.values()
    assert job.task.photo is not None
    assert job.task.config["keep"] == 2.0
    assert job.keep_in == "", "what is made of a photograph is kept nowhere"
    until(lambda: not job.active)
