"""A render that is cut off and goes on is the render that was never cut off."""

import dataclasses
import json
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typecheck import unchecked

from featviz import ascent
from featviz.errors import ConfigError, OutputError, PictureError, RecordError
from featviz.objectives import channel, diversity, objective
from featviz.rendering import render
from featviz.state_files import state_path
from nets import small_model

SETTINGS = {"precision": "float32", "progress": False}
UNITS = ["late:0", "block:3", "late:1"]


@pytest.fixture
def model():
    return small_model()


def same(left, right):
    assert left.labels == right.labels
    assert torch.equal(left.images, right.images)
    assert torch.equal(left.score, right.score)
    assert torch.equal(left.history.nan_to_num(-7), right.history.nan_to_num(-7))
    assert left.record == right.record


@pytest.mark.parametrize(
    ("before", "units", "options"),
    [
        # 5 steps lie before the end of the redirected phase of 16, 19 after it.
        (5, UNITS, {}),
        (19, UNITS, {}),
        (7, UNITS, {"optimiser": "nadam", "transforms": "noise:0.08,jitter:4,blur:1..2,flip"}),
        (5, ["late:0"], {"optimiser": "lbfgs"}),
        (19, ["late:0", "block:3"], {"optimiser": "lbfgs"}),
        (5, UNITS[:2], {"param": "maco"}),
        (5, ["late:0"], {"param": "cppn"}),
        (19, ["late:0"], {"param": "pyramid"}),
        (5, UNITS[:2], {"param": "shared", "images": 2}),
        (5, UNITS[:2], {"images": 2, "diversity": 0.5, "terms": True}),
        (5, UNITS, {"patience": 4, "min_delta": 0.2}),
        (19, UNITS, {"patience": 4, "min_delta": 0.2}),
        (5, UNITS[:1], {"mask": torch.ones(1, 32, 32)}),
        (5, UNITS, {"alpha": 1.0, "patience": 4, "min_delta": 0.2}),
        (5, UNITS[:2], {"alpha": 1.0, "images": 2, "diversity": 0.5, "terms": True}),
        (5, ["late:0"], {"alpha": 1.0, "optimiser": "lbfgs", "redirect_steps": 3}),
        (5, UNITS[:1], {"alpha": 1.0, "mask": torch.ones(1, 32, 32)}),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_cut_off_and_resumed_is_the_same_as_at_once(model, tmp_path, before, units, options):
    options = {**SETTINGS, **options}
    render(model, units, steps=before, save_state=True, **options).save(tmp_path)
    resumed = render(model, units, steps=24, resume=tmp_path, **options)
    at_once = render(model, units, steps=24, **options)
    same(resumed, at_once)
    for left, right in zip(resumed.terms, at_once.terms, strict=True):
        assert list(left) == list(right)
        assert all(torch.equal(left[label], right[label]) for label in left)


def test_what_goes_on_can_go_on_again(model, tmp_path):
    render(model, "late:0", steps=3, save_state=True, **SETTINGS).save(tmp_path)
    for steps in (5, 8):
        result = render(model, "late:0", steps=steps, resume=tmp_path, **SETTINGS)
        result.save(tmp_path, overwrite=True)
    same(result, render(model, "late:0", steps=8, **SETTINGS))


def test_in_other_batches(model, tmp_path):
    units = ["late:0", "late:1", "late:2", "block:1"]
    render(model, units, steps=6, save_state=True, batch=3, **SETTINGS).save(tmp_path)
    resumed = render(model, units[::-1], steps=12, resume=tmp_path, batch=2, **SETTINGS)
    at_once = render(model, units[::-1], steps=12, **SETTINGS)
    assert torch.allclose(resumed.images, at_once.images, atol=1e-4)


def test_an_interrupted_render_goes_on(model, tmp_path):
    def stop(moment):
        if moment.labels == ("late:2", "late:3") and moment.step == 4:
            raise KeyboardInterrupt

    options = {**SETTINGS, "steps": 9, "batch": 2}
    cut = render(model, "late:0-3", save_state=True, callback=stop, **options)
    assert [e["steps_done"] for e in cut.record["images"]] == [9, 9, 4, 4]
    cut.save(tmp_path)
    steps = []
    resumed = render(
        model, "late:0-3", resume=tmp_path, callback=lambda m: steps.append(m.step), **options
    )
    assert steps == [5, 6, 7, 8, 9]
    assert resumed.files == {k: tmp_path / f"small_late_{k}.png" for k in (0, 1)}
    at_once = render(model, "late:0-3", **options)
    assert torch.equal(resumed.images[2:], at_once.images[2:])
    # The others are as their files round them.
    assert (resumed.images[:2] - at_once.images[:2]).abs().max() <= 0.5 / 255 + 1e-6
    assert torch.equal(resumed.score, at_once.score)
    assert resumed.history[:2].isnan().all()
    assert torch.equal(resumed.history[2:], at_once.history[2:])
    before = (tmp_path / "small_late_0.png").read_bytes()
    other = tmp_path / "other"
    resumed.save(other)
    resumed.save(tmp_path, overwrite=True)
    assert before == (tmp_path / "small_late_0.png").read_bytes()
    for name in ("small_late_0.png", "small_late_0.json", "small_late_0.state.safetensors"):
        assert (other / name).read_bytes() == (tmp_path / name).read_bytes()
    assert resumed.record["ran"]["interrupted"] is False


def test_without_states_the_unfinished_start_anew(model, tmp_path):
    def stop(moment):
        if moment.labels == ("late:1",) and moment.step == 2:
            raise KeyboardInterrupt

    options = {**SETTINGS, "steps": 4, "batch": 1}
    render(model, "late:0-2", callback=stop, **options).save(tmp_path)
    seen = []
    resumed = render(
        model, "late:0-2", resume=tmp_path, callback=lambda m: seen.append(m.labels), **options
    )
    assert seen == [("late:1",)] * 4 + [("late:2",)] * 4
    at_once = render(model, "late:0-2", **options)
    assert torch.equal(resumed.images[1:], at_once.images[1:])
    assert resumed.record == at_once.record | {"images": resumed.record["images"]}
    assert resumed.record["images"] == at_once.record["images"]


def test_nothing_is_done_when_all_is_finished(model, tmp_path, monkeypatch):
    first = render(model, "late:0-1", steps=2, **SETTINGS)
    first.save(tmp_path)

    def never(*_args, **_options):
        pytest.fail("rendered again")

    monkeypatch.setattr("featviz.rendering.ascend", never)
    taken = render(model, "late:0-1", steps=2, resume=tmp_path, **SETTINGS)
    assert json.dumps(taken.record) == json.dumps(first.record)
    assert torch.equal(taken.score, first.score)
    path = tmp_path / "small_late_0.png"
    (image,) = render(model, "late:0", steps=2, resume=path, **SETTINGS).images
    assert torch.equal(image, taken.images[0])


def test_a_stopped_image_stays_stopped(model, tmp_path):
    options = {**SETTINGS, "patience": 3, "min_delta": 0.9}
    first = render(model, "late:0", steps=40, save_state=True, **options)
    (entry,) = first.record["images"]
    assert entry["stopped_at"] < 40
    first.save(tmp_path)
    steps = []
    more = render(
        model, "late:0", steps=60, resume=tmp_path, callback=lambda _: steps.append(1), **options
    )
    assert not steps
    assert torch.equal(more.images, first.images)


def test_thresholds_passed_before_come_from_their_files(model, tmp_path):
    options = {**SETTINGS, "thresholds": (2, 5)}
    first = render(model, "late:0", steps=4, save_state=True, **{**options, "thresholds": (2,)})
    first.save(tmp_path)
    resumed = render(model, "late:0", steps=6, resume=tmp_path, **options)
    at_once = render(model, "late:0", steps=6, **options)
    assert list(resumed.frames) == [2, 5]
    assert torch.equal(resumed.frames[5], at_once.frames[5])
    assert (resumed.frames[2] - at_once.frames[2]).abs().max() <= 0.5 / 255 + 1e-6
    with pytest.raises(ConfigError, match=r"no image of 'small_late_0.png' after step 3 was kept"):
        render(model, "late:0", steps=6, resume=tmp_path, thresholds=(3,), **SETTINGS)


def test_images_that_are_compared_go_on_together(model, tmp_path):
    both = channel("late", 0) + 0.1 * diversity("block")
    options = {**SETTINGS, "images": 2}
    _, second, _ = render(model, both, steps=3, save_state=True, **options).save(tmp_path)
    at_once = render(model, both, steps=6, **options)
    same(render(model, both, steps=6, resume=tmp_path, **options), at_once)
    state_path(second).unlink()
    with pytest.raises(RecordError, match="was saved after 3 steps without its state"):
        render(model, both, steps=6, resume=tmp_path, **options)


def test_what_a_state_holds(model, tmp_path):
    result = render(model, "late:0-1", steps=3, save_state=True, **SETTINGS)
    result.save(tmp_path)
    held = load_file(tmp_path / "small_late_1.state.safetensors")
    assert set(held) == {
        "parameter/spectrum",
        "optimiser/spectrum/step",
        "optimiser/spectrum/exp_avg",
        "optimiser/spectrum/exp_avg_sq",
        "history",
    }
    assert held["parameter/spectrum"].shape == (1, 3, 32, 17, 2)
    assert torch.equal(held["history"], result.history[1])
    # Overwritten without a state, none is left that belongs to another picture.
    with pytest.raises(OutputError, match="exists"):
        render(model, "late:0-1", steps=4, **SETTINGS).save(tmp_path)
    render(model, "late:0-1", steps=4, **SETTINGS).save(tmp_path, overwrite=True)
    assert not list(tmp_path.glob("*.safetensors"))


def test_ctrl_c_within_a_step_waits_for_its_end(model, tmp_path):
    def pressed(acts):
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        calls.append(1)
        return acts["late"][:, 0].mean((1, 2))

    calls = []
    mine = objective(pressed, sites=["late"], label="mine")
    cut = render(model, mine, steps=8, save_state=True, **SETTINGS)
    assert cut.interrupted
    assert [entry["steps_done"] for entry in cut.record["images"]] == [4]
    cut.save(tmp_path)
    same(
        render(model, mine, steps=8, resume=tmp_path, **SETTINGS),
        render(model, mine, steps=8, **SETTINGS),
    )


def test_a_step_cut_in_two_leaves_no_state(model, monkeypatch, tmp_path):
    step = ascent.Climb.step

    def cut(self, number, **options):
        if number == 2:
            raise KeyboardInterrupt
        return step(self, number, **options)

    monkeypatch.setattr(ascent.Climb, "step", cut)
    result = render(model, "late:0", steps=4, save_state=True, **SETTINGS)
    assert result.interrupted
    assert result.states == (None,)
    assert [p.name for p in result.save(tmp_path)] == ["small_late_0.png"]
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed was 0 there and is 1 here; give the same settings"),
        ({"size": 40}, r"size was \[32, 32\] there and is \[40, 40\] here"),
        ({"param": "pixels"}, "param was 'fourier' there and is 'pixels' here"),
        ({"learning_rate": 0.1}, "learning_rate was 0.05 there and is 0.1 here"),
        ({"optimiser": "nadam"}, "optimiser was 'adam' there and is 'nadam' here"),
        ({"patience": 9}, "patience was None there and is 9 here"),
        ({"terms": True}, "terms was False there and is True here"),
        ({"start": torch.ones(3, 32, 32)}, "start was None there and is '"),
        ({"precision": "bf16"}, "precision was 'float32' there and is 'bf16' here"),
        ({"steps": 2}, "stands at 3 steps, beyond the 2 of this render; ask for more steps"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_named(model, tmp_path, options, message):
    render(model, "late:0", steps=3, save_state=True, **SETTINGS).save(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(RecordError, match=message):
        render(model, "late:0", resume=tmp_path, **{**SETTINGS, "steps": 6, **options})
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_settings_that_say_the_same(model, tmp_path):
    render(model, "late:0", steps=3, save_state=True, **SETTINGS).save(tmp_path)
    options = {"optimiser": "adam", "size": 32, "learning_rate": 0.05, "batch": 3, "min_delta": 0.2}
    render(model, "late:0", steps=6, resume=tmp_path, **SETTINGS, **options)


def test_files_that_hold_something_else_now(model, tmp_path):
    vector = tmp_path / "v.npy"
    np.save(vector, np.ones(4, np.float32))
    wanted = [f"direction(late, {vector})", "late:0"]
    render(model, wanted, steps=3, save_state=True, **SETTINGS).save(tmp_path)
    render(model, wanted, steps=4, resume=tmp_path, **SETTINGS)
    np.save(vector, np.arange(4, dtype=np.float32))
    with pytest.raises(RecordError, match=r"v\.npy' has changed since; put the file of then back"):
        render(model, wanted, steps=4, resume=tmp_path, **SETTINGS)


def test_images_beside_those_that_are_compared_go_on_in_whole(model, tmp_path):
    options = {**SETTINGS, "images": 2, "steps": 4}
    wanted = ["late:0", "late:1 + 100*diversity(late)"]
    at_once = render(model, wanted, **options)
    first, *others, sheet = at_once.save(tmp_path)
    for path in others:
        path.unlink()
    assert first.is_file()
    assert sheet.is_file()
    assert torch.equal(render(model, wanted, resume=tmp_path, **options).images, at_once.images)


def test_a_copy_at_a_threshold_that_is_no_picture(model, tmp_path):
    options = {**SETTINGS, "thresholds": (2,)}
    render(model, "late:0", steps=3, save_state=True, **options).save(tmp_path)
    (tmp_path / "small_late_0_step00002.png").write_bytes(b"cut short")
    with pytest.raises(PictureError, match=r"step00002.png' as a picture: its format is not known"):
        render(model, "late:0", steps=4, resume=tmp_path, **options)


def test_other_weights(tmp_path):
    render(small_model(), "late:0", steps=3, save_state=True, **SETTINGS).save(tmp_path)
    with pytest.raises(RecordError, match="weights was '"):
        render(small_model(seed=1), "late:0", steps=6, resume=tmp_path, **SETTINGS)


def test_crops_shrink_over_all_steps(model, tmp_path):
    options = {**SETTINGS, "transforms": "crops:2"}
    first = render(
        model,
        "late:0",
        steps=6,
        save_state=True,
        callback=lambda m: (_ for _ in ()).throw(KeyboardInterrupt) if m.step == 3 else None,
        **options,
    )
    first.save(tmp_path)
    with pytest.raises(RecordError, match="crops shrink over 6 steps, so 8 are another render"):
        render(model, "late:0", steps=8, resume=tmp_path, **options)
    same(
        render(model, "late:0", steps=6, resume=tmp_path, **options),
        render(model, "late:0", steps=6, **options),
    )


def test_bad_sources(model, tmp_path):
    render(model, "late:0-1", steps=3, **SETTINGS).save(tmp_path)
    picture = tmp_path / "small_late_0.png"

    def refused(error, message, source, unit="late:0", steps=3):
        with pytest.raises(error, match=message):
            render(model, unit, steps=steps, resume=source, **SETTINGS)

    with unchecked():
        refused(ConfigError, "resume must be a folder or a picture that was saved, got 3", 3)
    refused(RecordError, "nothing to resume: no file or folder '.*none'", tmp_path / "none")
    refused(ConfigError, "is one picture, and this render has 2 images", picture, unit="late:0-1")
    refused(RecordError, "it shows 'late:0', not 'late:1'", picture, unit="late:1")
    refused(RecordError, "is a contact sheet", tmp_path / "small_late_0-1_sheet.png")
    refused(RecordError, "saved after 3 steps without its state, so it cannot", picture, steps=6)
    refused(RecordError, "saved after 3 steps without its state", tmp_path, steps=6)
    render(model, "late:2", steps=3, save_state=True, **SETTINGS).save(tmp_path)
    state = tmp_path / "small_late_2.state.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-5])
    refused(RecordError, "cannot read .* as a saved state: .*; delete it", tmp_path, "late:2", 6)


def test_an_unfinished_picture_alone_has_nothing_to_go_on_from(model, tmp_path):
    def stop(_moment):
        raise KeyboardInterrupt

    (path,) = render(model, "late:0", steps=3, callback=stop, **SETTINGS).save(tmp_path)
    with pytest.raises(RecordError, match="was saved without its state, so it cannot go on"):
        render(model, "late:0", steps=3, resume=path, **SETTINGS)


@pytest.mark.parametrize("name", ["parameter/spectrum", "history", "stalling", "terms", "asleep"])
def test_a_state_of_another_make(model, tmp_path, name):
    options = {**SETTINGS, "patience": 9, "terms": True}
    first = render(model, "late:0", steps=3, save_state=True, **options)
    (state,) = first.states
    less = dataclasses.replace(
        state,
        tensors={key: value for key, value in state.tensors.items() if key != name},
        numbers={key: value for key, value in state.numbers.items() if key != name},
    )
    dataclasses.replace(first, states=(less,)).save(tmp_path)
    with pytest.raises(RecordError, match=f"the saved state lacks '{name}'"):
        render(model, "late:0", steps=6, resume=tmp_path, **options)
