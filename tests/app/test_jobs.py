"""The queue of renders and its process, without Streamlit."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from app.job import MOST_POINTS, Job, State, thinned
from app.jobs import MOST_ENDED, MOST_WAITING, JobQueue
from app.render_host import RenderHost
from app.render_process import render_task
from app.render_task import Finished, Preview, Task
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
        self.fails = False

    def __call__(self, job: Job, result: Finished) -> tuple[str, ...]:
        if self.fails:
            raise OutputError("the disk is full")
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


def test_a_result_that_cannot_be_kept_is_shown_nevertheless(queue: JobQueue, kept: Kept) -> None:
    kept.fails = True
    job = queue.submit("me", task("ok"), title="a:0", keep_in="atlas")
    until(lambda: not job.active)
    assert job.state is State.DONE
    assert job.note == "the result could not be kept: the disk is full"


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
