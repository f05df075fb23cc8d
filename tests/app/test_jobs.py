"""The queue of renders and its process, without Streamlit."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import rendering
from app.job import MOST_POINTS, Job, State, thinned
from app.jobs import MOST_ACTIVE, MOST_ENDED, MOST_WAITING, JobQueue
from app.render_host import RenderHost
from app.render_process import render_task
from app.render_task import Finished, Preview, Task, Warm
from featviz.config import RenderConfig
from featviz.errors import ConfigError, OutputError, RenderError
from nets import small_model


def task(text: str) -> Task:
    return Task("net", text, RenderConfig(steps=2, size=32).to_json(), "a")


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().split()[2] == "Z"


class Kept:
    """Where results go."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.fails: Exception | None = None

    def __call__(self, job: Job, result: Finished) -> tuple[str, ...]:
        if self.fails is not None:
            raise self.fails
        self.jobs.append(job)
        return ("key",) * len(result.images)


@pytest.fixture
def host() -> RenderHost:
    return RenderHost("fake_render_process")


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def queue(host: RenderHost, kept: Kept) -> Iterator[JobQueue]:
    made = JobQueue(host, kept)
    yield made
    made.close()


def test_a_job_goes_from_waiting_to_done(queue: JobQueue, kept: Kept, host: RenderHost) -> None:
    job = queue.submit("me", task("ok"), title="a:0", keep_in="atlas")
    until(lambda: not job.active)
    assert job.state is State.DONE
    assert job.finished is not None
    assert job.courses["a:0"].points == ((1, 1.0), (2, 2.0))
    assert job.kept == ("key",)
    assert kept.jobs == [job]
    first = host.pid
    other = queue.submit("me", task("ok"), title="again")
    until(lambda: not other.active)
    assert host.pid == first, "the process serves the next job"
    assert other.kept == ()
    assert kept.jobs == [job], "what names no atlas is not kept"


def test_a_running_job_shows_previews_and_is_cancelled(queue: JobQueue, host: RenderHost) -> None:
    job = queue.submit("me", task("endless"), title="a:0", keep_in="atlas")
    until(lambda: bool(job.courses) and job.courses["a:0"].step > 3)
    assert job.state is State.RUNNING
    assert job.courses["a:0"].picture == "data:,x"
    pid = host.pid
    assert pid is not None
    queue.cancel("me", job.id)
    assert job.state is State.CANCELLED
    until(lambda: gone(pid))
    after = queue.submit("me", task("ok"), title="a:0")
    until(lambda: not after.active)
    assert after.state is State.DONE


def test_a_likely_render_finds_the_process_there(queue: JobQueue, host: RenderHost) -> None:
    queue.warm("net")
    until(lambda: host.pid is not None)
    pid = host.pid
    job = queue.submit("me", task("ok"), title="a:0")
    until(lambda: not job.active)
    assert job.state is State.DONE
    assert host.pid == pid


def test_jobs_run_one_at_a_time_in_order_and_waiting_ones_can_be_cancelled(
    queue: JobQueue,
) -> None:
    first = queue.submit("me", task("endless"), title="1")
    until(lambda: first.state is State.RUNNING)
    second = queue.submit("you", task("endless"), title="2")
    third = queue.submit("me", task("ok"), title="3")
    fourth = queue.submit("me", task("ok"), title="4")
    assert [queue.ahead(job) for job in (first, second, third, fourth)] == [0, 1, 2, 3]
    queue.cancel("me", third.id)
    assert third.state is State.CANCELLED
    assert queue.ahead(fourth) == 2
    queue.cancel("me", first.id)
    until(lambda: second.state is State.RUNNING)
    assert fourth.state is State.WAITING
    queue.cancel("you", second.id)
    until(lambda: fourth.state is State.DONE)


def test_owners_see_and_cancel_only_their_own(queue: JobQueue) -> None:
    job = queue.submit("me", task("endless"), title="a:0")
    assert queue.find("you", job.id) is None
    assert queue.of("you") == []
    queue.cancel("you", job.id)
    assert job.active
    assert queue.find("me", job.id) is job


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crash", "killed by SIGKILL, perhaps for lack of memory"),
        ("leave", "exit code 3"),
        ("refused", "unknown site"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_job_runs(
    queue: JobQueue, text: str, said: str
) -> None:
    job = queue.submit("me", task(text), title="a:0")
    until(lambda: not job.active)
    assert job.state is State.FAILED
    assert said in job.error
    after = queue.submit("me", task("ok"), title="a:0")
    until(lambda: not after.active)
    assert after.state is State.DONE


def test_a_render_that_gives_no_sign_is_ended() -> None:
    host = RenderHost("fake_render_process", silence_s=0.3)
    host.begin(task("silent"))
    host._silence_s = 20.0  # the process must start first
    assert isinstance(host.receive(), Preview)
    host._silence_s = 0.3
    with pytest.raises(RenderError, match=r"gave no sign for 0 s, so it was ended"):
        host.receive()
    host.close()


def test_a_process_that_cannot_start_fails_the_job() -> None:
    made = JobQueue(RenderHost("no_such_module_here"), Kept())
    job = made.submit("me", task("ok"), title="a:0")
    until(lambda: not job.active)
    assert job.state is State.FAILED
    assert "the process that renders ended" in job.error
    made.close()


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (OutputError("the disk is full"), "the disk is full"),
        (sqlite3.OperationalError("it is locked"), "OperationalError: it is locked"),
    ],
)
def test_a_result_that_cannot_be_kept_is_shown_nevertheless(
    queue: JobQueue, kept: Kept, fails: Exception, said: str
) -> None:
    kept.fails = fails
    job = queue.submit("me", task("ok"), title="a:0", keep_in="atlas")
    until(lambda: not job.active)
    assert job.state is State.DONE
    assert job.finished is not None
    assert job.note == f"the result could not be kept: {said}"


def test_what_is_being_kept_can_no_longer_be_cancelled(host: RenderHost) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def keep(_job: Job, _result: Finished) -> tuple[str, ...]:
        begun.set()
        assert go_on.wait(20)
        return ("key",)

    queue = JobQueue(host, keep)
    job = queue.submit("me", task("ok"), title="a:0", keep_in="atlas")
    assert begun.wait(20)
    queue.cancel("me", job.id)
    go_on.set()
    until(lambda: not job.active)
    assert (job.state, job.kept) == (State.DONE, ("key",))
    queue.close()


def test_who_has_gone_is_waited_for_by_nobody(host: RenderHost) -> None:
    here = {"me", "you"}
    queue = JobQueue(
        host, Kept(), present=lambda owner: owner in here, patience_s=0.3, look_every_s=0.05
    )
    running = queue.submit("you", task("endless"), title="1")
    waiting = queue.submit("you", task("endless"), title="2")
    mine = queue.submit("me", task("ok"), title="3")
    until(lambda: bool(running.courses))
    here.remove("you")
    time.sleep(0.1)
    here.add("you")  # back in time
    time.sleep(0.5)
    assert running.state is State.RUNNING
    here.remove("you")
    until(lambda: mine.state is State.DONE)
    assert {running.state, waiting.state} == {State.CANCELLED}
    assert queue.of("you") == []
    assert queue.of("me") == [mine]
    queue.close()


def test_a_reloaded_page_takes_over_the_jobs_of_the_one_before(host: RenderHost) -> None:
    here = {"before me", "stranger you"}
    queue = JobQueue(host, Kept(), present=lambda owner: owner in here)
    running = queue.submit("before me", task("endless"), title="1")
    waiting = queue.submit("before me", task("endless"), title="2")

    def is_me(owner: str) -> bool:
        return owner.endswith(" me")

    queue.inherit("after me", is_me)
    assert queue.of("after me") == [], "its page is still open"
    here.remove("before me")
    queue.inherit("stranger you", lambda owner: owner.endswith(" you"))
    assert queue.of("stranger you") == []
    queue.inherit("after me", is_me)
    assert queue.of("after me") == [running, waiting]
    assert queue.of("before me") == []
    queue.cancel("before me", running.id)
    assert running.active
    queue.cancel("after me", running.id)
    assert running.state is State.CANCELLED
    queue.close()


def test_a_session_is_there_as_long_as_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sessions:
        def is_active_session(self, session: str) -> bool:
            return session == "open"

    monkeypatch.setattr(rendering.Runtime, "_instance", Sessions())
    assert rendering.is_present("open abc def")
    assert not rendering.is_present("closed abc def")


class Odd(RenderHost):
    """Breaks where it is told to."""

    def __init__(self) -> None:
        super().__init__("fake_render_process")
        self.begun: list[str] = []
        self.warms, self.closes = True, True

    def begin(self, task: Task | Warm) -> None:
        self.begun.append(task.model)
        if isinstance(task, Warm) and not self.warms:
            raise OSError(24, "Too many open files")
        super().begin(task)

    def close(self) -> None:
        super().close()
        if not self.closes:
            self.closes = True
            raise subprocess.TimeoutExpired("render", 5.0)


def test_the_queue_outlives_a_host_that_breaks() -> None:
    host = Odd()
    host.warms = False
    queue = JobQueue(host, Kept())
    queue.warm("net")
    until(lambda: host.begun == ["net"])
    first = queue.submit("me", task("endless"), title="1")
    until(lambda: bool(first.courses))
    host.closes = False
    queue.cancel("me", first.id)
    second = queue.submit("me", task("ok"), title="2")
    until(lambda: not second.active)
    assert second.state is State.DONE
    assert host.closes, "it did break"
    queue.close()


def test_nothing_is_warmed_for_another_network_than_that_just_used() -> None:
    host = Odd()
    queue = JobQueue(host, Kept())
    queue.warm("one")
    until(lambda: host.begun == ["one"])
    queue.warm("two")
    queue.warm("one")
    until(lambda: len(host.begun) > 1)
    assert host.begun == ["one", "one"]
    queue.close()


def test_a_process_that_left_as_a_task_came_is_started_again(
    queue: JobQueue, tmp_path: Path
) -> None:
    left = Task("net", "left", {"mark": str(tmp_path / "mark")}, "a")
    job = queue.submit("me", left, title="a:0")
    until(lambda: not job.active)
    assert job.state is State.DONE
    assert (tmp_path / "mark").exists(), "it did leave"


def test_a_process_that_leaves_before_any_word_twice_has_failed(queue: JobQueue) -> None:
    job = queue.submit("me", task("gone"), title="a:0")
    until(lambda: not job.active)
    assert job.state is State.FAILED
    assert "exit code 0" in job.error


def test_nothing_is_imported_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    host = RenderHost("fake_render_process")
    host.begin(task("ok"))
    assert isinstance(host.receive(), Preview)
    host.close()


def test_a_lack_of_files_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", lacking)
    host = RenderHost("fake_render_process")
    with pytest.raises(RenderError, match="no process can be started to render: Too many open"):
        host.begin(task("ok"))
    host.close()


def test_a_process_that_does_not_end_is_told_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    host = RenderHost("fake_render_process")
    host.begin(task("ok"))
    process = host._process
    assert process is not None

    def stay(seconds: float) -> int:
        raise subprocess.TimeoutExpired("render", seconds)

    with monkeypatch.context() as patch:
        patch.setattr(process, "wait", stay)
        with pytest.raises(RenderError, match=f"{process.pid}, does not end"):
            host.close()
    process.wait()
    assert host.pid is None
    host.begin(task("ok"))
    assert isinstance(host.receive(), Preview)
    host.close()


def test_nobody_fills_the_queue_or_the_memory(queue: JobQueue) -> None:
    for _ in range(MOST_WAITING):
        queue.submit("me", task("endless"), title="a:0")
    with pytest.raises(ConfigError, match="renders of yours are under way"):
        queue.submit("me", task("ok"), title="a:0")
    for job in queue.of("me"):
        queue.cancel("me", job.id)
    for _ in range(MOST_ENDED):
        last = queue.submit("me", task("ok"), title="a:0")
        until(lambda job=last: not job.active)
    assert len(queue.of("me")) <= MOST_ENDED + 1


def test_all_together_do_not_fill_the_queue(queue: JobQueue) -> None:
    for number in range(MOST_ACTIVE):
        queue.submit(f"session {number}", task("endless"), title="a:0")
    with pytest.raises(ConfigError, match="renders of all who use this server are under way"):
        queue.submit("me", task("ok"), title="a:0")


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    points = tuple((step, float(step)) for step in range(1, 2000))
    thin = thinned(points)
    assert len(thin) <= MOST_POINTS
    assert thin[-1] == points[-1]
    assert thin[0] == points[0]


def test_closing_cancels_everything_and_leaves_no_process(host: RenderHost) -> None:
    queue = JobQueue(host, Kept())
    running = queue.submit("me", task("endless"), title="1")
    waiting = queue.submit("me", task("endless"), title="2")
    until(lambda: bool(running.courses))
    pid = host.pid
    assert pid is not None
    queue.close()
    assert {running.state, waiting.state} == {State.CANCELLED}
    assert gone(pid)
    with pytest.raises(ConfigError, match="the server is stopping"):
        queue.submit("me", task("ok"), title="a:0")


_SERVER = """
import time
from app.render_host import RenderHost
from app.render_task import Task
host = RenderHost({module!r})
host.begin(Task("net", "endless", {{}}, "a"))
host.receive()
print(host.pid, flush=True)
time.sleep(60)
"""


def test_a_server_that_is_killed_leaves_no_orphan() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER.format(module="fake_render_process")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    assert not gone(pid)
    server.kill()
    server.wait()
    server.stdout.close()
    until(lambda: gone(pid))


def test_the_process_renders_with_previews_and_the_same_image_as_featviz() -> None:
    import featviz

    model = small_model()
    config = RenderConfig(steps=3, size=32, images=2)
    wanted = Task(model.name, "block:1", config.to_json(), "block")
    messages: list[object] = []
    result = render_task(wanted, model, messages.append)
    assert all(isinstance(message, Preview) for message in messages)
    assert messages[0].step == 1
    assert messages[-1].step == 3
    assert messages[-1].labels == ("block:1", "block:1 ~2")
    plain = featviz.render(model, "block:1", config=config, progress=False)
    assert [image.own["score"] for image in result.images] == plain.score.tolist()
    assert result.history["block:1 ~2"] == tuple(plain.history[1].tolist())
    assert result.images[0].png.startswith(b"\x89PNG")
    assert result.images[0].picture.startswith("data:image/png;base64,")
    assert len(result.frequency) == len(result.amplitudes["block:1"]) > 3
