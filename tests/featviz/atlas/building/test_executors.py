import json
from pathlib import Path

import pytest

from atlas_builds import check_clean, files, lines, small_request
from counted_net import FILE, noted
from featviz.atlas.building import executors
from featviz.atlas.building.build import build_atlas
from featviz.atlas.building.executors import TRIES, Queue, Spawned
from featviz.atlas.building.plan import AtlasPlan, make_atlas_plan
from featviz.atlas.building.worker import Setup, Worker, failure
from featviz.atlas.canonical import canonical_json
from featviz.atlas.entries import MAX_ERROR, parse_entry
from featviz.errors import RenderError


def planned(model: str = "nets:small_net") -> tuple[AtlasPlan, Setup]:
    request = small_request(model)
    plan = make_atlas_plan(request, request.model.load())
    return plan, Setup(request.model, plan.weights, "webp", 32, threads=1)


def test_a_lost_batch_is_tried_again_then_job_by_job_then_given_up() -> None:
    plan, _ = planned()
    queue = Queue(plan.batches(), plan)
    first, second = plan.batches()
    for _ in range(TRIES):
        assert queue.waiting
        assert queue.take() == first
        assert queue.lost(first, "signal 9") is None
    singles = [queue.take() for _ in first.jobs]
    assert singles == first.singly()
    for _ in range(TRIES - 1):
        assert queue.lost(singles[0], "signal 9") is None
        assert queue.take() == singles[0]
    outcome = queue.lost(singles[0], "signal 9")
    assert outcome is not None
    (failure,) = outcome.failures
    assert (failure.job, failure.channel) == (first.jobs[0].key, 0)
    assert failure.error == "the worker died 3 times while rendering it: signal 9"
    assert queue.waiting
    assert queue.take() == second
    assert not queue.waiting


def test_a_worker_refuses_other_weights() -> None:
    _, setup = planned()
    other = Setup(small_request("counted_net:other_net").model, setup.weights, "webp", 32)
    with pytest.raises(RenderError, match="has other weights in a worker than where the build"):
        Worker(other)


def test_the_model_is_loaded_once_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_atlas(tmp_path / "a", small_request("counted_net:net"))
    monkeypatch.setenv(FILE, str(tmp_path / "noted"))
    moments = []
    built = build_atlas(
        tmp_path / "b", small_request("counted_net:net"), executor="spawn", workers=1,
        progress=moments.append,
    )  # fmt: skip
    assert (built.last.done, len(moments)) == (8, 3)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    driver, *workers = noted(tmp_path / "noted", "load")
    assert len(workers) == 1
    assert set(noted(tmp_path / "noted", "step")) == set(workers)
    assert driver not in workers
    assert not Path(f"/proc/{workers[0]}").exists()


@pytest.mark.slow  # three workers start one after the other
def test_a_unit_that_kills_its_worker_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "TRIES", 1)  # each death costs the imports of another worker
    request = small_request("counted_net:deadly_net", units="2-3")
    built = build_atlas(tmp_path / "a", request, executor="spawn", workers=1)
    assert [line["channel"] for line in lines(tmp_path / "a")] == [3]
    assert [f.channel for f in built.failures] == [2]
    assert "the worker died 1 times while rendering it: exit code 9" in built.failures[0].error
    check_clean(tmp_path / "a")


def test_what_a_worker_cannot_load_is_told() -> None:
    plan, setup = planned()
    other = Setup(small_request("counted_net:other_net").model, setup.weights, "webp", 32)
    with (
        Spawned(plan, other, workers=1) as executor,
        pytest.raises(RenderError, match="has other weights in a worker"),
    ):
        next(executor.run(plan.batches()))


def test_workers_that_never_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, setup = planned()
    monkeypatch.setattr(executors.sys, "executable", "/bin/false")
    with (
        Spawned(plan, setup, workers=2) as executor,
        pytest.raises(RenderError, match="5 workers in a row ended with exit code 1 while they"),
    ):
        next(executor.run(plan.batches()))


def test_what_was_wrong_can_always_be_recorded() -> None:
    plan, _ = planned()
    (job, *_) = next(iter(plan.batches())).jobs
    for said, told in (
        ("no file 'a\udce9.pt'", "no file 'a\\udce9.pt'"),
        ("\ud83d" * 5000, ("\\ud83d" * 5000)[:MAX_ERROR]),
        ("x" * 9000, "x" * MAX_ERROR),
        ("", "no reason was given"),
        ("Größe 猫 \U0001f600", "Größe 猫 \U0001f600"),
    ):
        found = failure(job, said, model=plan.model, weights=plan.weights)
        assert found.error == told
        assert parse_entry(json.loads(canonical_json(found.to_line()))) == found
