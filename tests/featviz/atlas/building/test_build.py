import dataclasses
import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from atlas_builds import QUICK, check_clean, files, lines, small_request
from counted_net import BROKEN, FILE, noted
from featviz import render
from featviz.atlas import Atlas
from featviz.atlas.building.build import build_atlas, resume_atlas
from featviz.atlas.building.builder_lock import Builder, build_lock, read_builder
from featviz.atlas.building.moments import Moment
from featviz.atlas.building.plan import read_plans
from featviz.atlas.building.request import ModelSource
from featviz.atlas.building.status import read_status
from featviz.atlas.checking.repair import repair
from featviz.atlas.entries import ATTEMPTS
from featviz.atlas.layout import create_layout
from featviz.errors import ConfigError, OutputError, RecordError
from featviz.record import read_record
from nets import small_net

VARIANTS = ("positive", "negative", "diverse:2")


def test_an_atlas_holds_what_render_gives(tmp_path: Path) -> None:
    request = small_request(variants=VARIANTS, kind="png")
    built = build_atlas(tmp_path / "a", request)
    assert (built.last.done, built.last.made, built.failures) == (32, 32, ())
    check_clean(tmp_path / "a")
    model = request.model.load()
    with Atlas(tmp_path / "a") as atlas:
        for variant, text in (("positive", "stem:5"), ("negative", "-stem:5")):
            (entry,) = atlas.images(model.name, "stem", channel=5, variant=variant)
            alone = render(model, text, config=QUICK, progress=False)
            with Image.open(atlas.image_path(entry)) as picture:
                assert picture.tobytes() == alone.pictures()[0].tobytes()
            assert entry.score == pytest.approx(float(alone.score[0]), rel=1e-5)
            record = atlas.record(entry)
            assert record["request"]["objectives"] == [text]
            assert record["config"]["steps"] == QUICK.steps
        pair = atlas.images(model.name, "stem", channel=5, variant="diverse:2")
        together = render(model, "stem:5", config=request.config_of("diverse:2"), progress=False)
        for entry, picture in zip(pair, together.pictures(), strict=True):
            with Image.open(atlas.image_path(entry)) as found:
                assert found.tobytes() == picture.tobytes()
        with Image.open(atlas.thumb_path(pair[0])) as small:
            assert small.format == "WEBP"


def test_what_is_there_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE, str(tmp_path / "noted"))
    request = small_request("counted_net:net")
    build_atlas(tmp_path / "a", request)
    before, steps = files(tmp_path / "a"), len(noted(tmp_path / "noted", "step"))
    again = build_atlas(tmp_path / "a", request)
    more = build_atlas(tmp_path / "a", dataclasses.replace(request, variants=VARIANTS[:2]))
    assert (again.last.made, again.last.done) == (0, 8)
    assert (more.last.made, more.last.done) == (8, 16)
    assert len(noted(tmp_path / "noted", "step")) == 2 * steps
    assert before.items() <= files(tmp_path / "a").items()
    assert [built.last.made for built in resume_atlas(tmp_path / "a")] == [0, 0]
    check_clean(tmp_path / "a")


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    request = small_request(variants=VARIANTS)
    moments: list[Moment] = []

    def stop(moment: Moment) -> None:
        moments.append(moment)
        if moment.made >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_atlas(tmp_path / "a", request, progress=stop)
    check_clean(tmp_path / "a")
    assert len(lines(tmp_path / "a")) == 12
    (built,) = resume_atlas(tmp_path / "a", progress=moments.append)
    assert (built.last.made, built.last.done) == (20, 32)
    build_atlas(tmp_path / "b", request)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    last = moments[-1]
    assert last.rate is not None
    assert last.rate > 0
    assert last.seconds_left == 0


@pytest.mark.parametrize(
    ("network", "said"),
    [("raising_net", r"RuntimeError: stem:2 does not like"), ("nan_net", "finite number")],
)
def test_a_unit_that_fails_does_not_stop_the_rest(tmp_path: Path, network: str, said: str) -> None:
    build_atlas(tmp_path / "good", small_request(f"counted_net:{network}", units="4-7"))
    built = build_atlas(tmp_path / "a", small_request(f"counted_net:{network}"))
    assert built.last.done == 7
    assert [(f.site, f.channel, f.attempt) for f in built.failures] == [("stem", 2, 1)]
    assert said in built.failures[0].error
    check_clean(tmp_path / "a")
    # The other batch is as ever; those beside the bad unit may differ in the last bits.
    assert files(tmp_path / "good").items() < files(tmp_path / "a").items()


def test_what_fails_is_tried_three_times_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    monkeypatch.setenv(BROKEN, str(broken))
    monkeypatch.setenv(FILE, str(tmp_path / "noted"))
    request = small_request("counted_net:net", units="0-1")

    def steps() -> int:
        return len(noted(tmp_path / "noted", "step"))

    for attempt in range(1, ATTEMPTS + 1):
        before = steps()
        built = build_atlas(tmp_path / "a", request)
        assert steps() > before
        assert [f.attempt for f in built.failures] == [attempt, attempt]
        assert "RuntimeError: broken on purpose" in built.failures[0].error
    before = steps()
    (built,) = resume_atlas(tmp_path / "a")
    assert steps() == before
    assert [(f.attempt, f.given_up) for f in built.failures] == [(3, True)] * 2
    assert built.last.failed == 2
    broken.unlink()
    (built,) = resume_atlas(tmp_path / "a", retry_failed=True)
    assert (built.last.done, built.last.failed, built.failures) == (2, 0, ())


def test_a_job_taken_back_in_part_that_fails_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image that is left does not stand for the job."""
    broken, root = tmp_path / "broken", tmp_path / "a"
    monkeypatch.setenv(BROKEN, str(broken))
    monkeypatch.setenv(FILE, str(tmp_path / "noted"))
    request = small_request("counted_net:net", units="0", variants=("diverse:2",))
    assert build_atlas(root, request).last.done == 2
    with Atlas(root) as atlas:
        atlas.image_path(atlas.images(atlas.models()[0])[1]).unlink()
    assert repair(root).forgotten == 1
    broken.touch()
    for attempt in range(1, ATTEMPTS + 1):
        (built,) = resume_atlas(root)
        assert [failure.attempt for failure in built.failures] == [attempt]
    assert built.failures[0].given_up
    (built,) = resume_atlas(root)
    assert built.last.failed == 1
    (status,) = read_status(root).requests
    assert (status.done, status.given_up, len(status.errors)) == (0, 2, 1)


def test_other_weights_are_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "changing.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    path.write_text(
        "from nets import small_net\nseed = 0\ndef net():\n    return small_net(3, seed)"
    )
    request = small_request("changing:net", units="0-3")
    build_atlas(tmp_path / "a", request)
    import changing

    monkeypatch.setattr(changing, "seed", 1)
    with pytest.raises(
        RecordError, match=r"'changing:net' has other weights than when .* was begun"
    ):
        resume_atlas(tmp_path / "a")
    assert len(lines(tmp_path / "a")) == 4
    built = build_atlas(tmp_path / "a", request)
    assert built.last.made == 4
    found = lines(tmp_path / "a")
    assert len({line["key"] for line in found}) == 8
    assert len({line["weights"] for line in found}) == 2
    check_clean(tmp_path / "a")


def test_other_hardware_goes_on_in_the_precision_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = small_request(units="0-1", config=dataclasses.replace(QUICK, precision="auto"))
    monkeypatch.setattr("featviz.config.has_fast_bf16", lambda _: False)
    build_atlas(tmp_path / "a", request)
    monkeypatch.setattr("featviz.config.has_fast_bf16", lambda _: True)
    (built,) = resume_atlas(tmp_path / "a")
    assert (built.last.made, built.last.total) == (0, 2)
    assert len(lines(tmp_path / "a")) == 2
    (plan,) = read_plans(create_layout(tmp_path / "a"))
    assert plan.precision == "float32"


def test_settings_that_come_to_other_images_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_atlas(tmp_path / "a", small_request(units="0-1"))
    monkeypatch.setattr("featviz.atlas.building.plan.ENGINE", -1)
    with pytest.raises(RecordError, match=r"come to other images than when .* has changed"):
        resume_atlas(tmp_path / "a")
    assert len(lines(tmp_path / "a")) == 2


def test_a_resume_may_come_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    torch.save(small_net().state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    source = ModelSource(
        "nets:SmallNet", weights="w.pt", mean=(0.0,) * 3, std=(1.0,) * 3, size=(32, 32),
        channels=3, device="cpu",
    )  # fmt: skip
    build_atlas("a", small_request(model=source, units="0"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    (built,) = resume_atlas(tmp_path / "a")
    assert (built.last.made, built.last.done) == (0, 1)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    layout = create_layout(tmp_path / "a")
    with build_lock(layout, Builder(12345, "spawn", 2)):
        yield tmp_path / "a"


def test_two_builders_do_not_build_one_atlas(held: Path) -> None:
    assert read_builder(create_layout(held)) == (Builder(12345, "spawn", 2), True)
    said = r"another build is at work on .* \(process 12345\); wait until it has ended"
    with pytest.raises(OutputError, match=said):
        build_atlas(held, small_request(units="0"))
    assert lines(held) == []
    assert list((held / "requests").iterdir()) == []


def test_a_look_at_the_lock_does_not_keep_a_builder_out(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            read_builder(layout)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(20):
            with build_lock(layout, Builder(1, "serial", 1)):
                pass
    finally:
        done.set()
        thread.join()
    assert read_builder(layout) == (Builder(1, "serial", 1), False)
    (layout.root / "build.lock").write_text("{")
    assert read_builder(layout) == (None, False)


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    (layout.root / "build.lock").mkdir()
    with (
        pytest.raises(OutputError, match=r"cannot write .*build.lock.*; give access"),
        build_lock(layout, Builder(1, "serial", 1)),
    ):
        pass


def test_nothing_behind_a_link_is_written(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    outside = tmp_path / "outside"
    outside.write_text('{"pid": 1, "executor": "serial", "workers": 1}')
    layout.build_lock.symlink_to(outside)
    before = outside.read_bytes()
    with (
        pytest.raises(OutputError, match=r"cannot write .*build.lock.*; remove the link"),
        build_lock(layout, Builder(2, "spawn", 2)),
    ):
        pass
    assert outside.read_bytes() == before
    assert read_builder(layout) == (None, False)


def test_what_goes_wrong_in_a_build_is_not_laid_to_its_lock(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    with pytest.raises(BrokenPipeError), build_lock(layout, Builder(1, "serial", 1)):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    with pytest.raises(BlockingIOError), build_lock(layout, Builder(1, "serial", 1)):
        raise BlockingIOError(errno.EAGAIN, "no")


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    request = small_request()
    for executor, workers, said in (
        ("slurm", None, "the executor is serial, spawn, ray; got 'slurm'"),
        ("spawn", 0, "workers must be 1 or more, got 0"),
        ("serial", 2, "works in this process alone, so 2 workers need another"),
    ):
        with pytest.raises(ConfigError, match=said):
            build_atlas(tmp_path / "a", request, executor=executor, workers=workers)
    assert not (tmp_path / "a").exists()
    with pytest.raises(RecordError, match="holds no atlas"):
        resume_atlas(tmp_path / "a")
    create_layout(tmp_path / "a")
    with pytest.raises(RecordError, match=r"nothing was asked of .* yet"):
        resume_atlas(tmp_path / "a")


def test_png_files_do_not_say_who_rendered_them(tmp_path: Path) -> None:
    build_atlas(tmp_path / "a", small_request(kind="png", units="2"))
    (path,) = (tmp_path / "a" / "images").rglob("*.png")
    record = read_record(path)
    assert record["image"]["unit"] == "stem:2"
    assert record["config"]["batch"] is None
    assert "batch" not in record["ran"]
    assert "threads" not in record["environment"]
