import contextlib
import dataclasses
import functools
import gc
import resource

import pytest
import torch
from torch import nn
from typecheck import unchecked

import featviz
from featviz import ascent, rendering
from featviz.errors import (
    ConfigError,
    ModelError,
    ObjectiveError,
    RenderError,
    SiteError,
    UnitError,
)
from featviz.models.model import Model
from featviz.models.spec import ModelSpec
from featviz.objectives import Sum, channel, class_logit, neuron, objective
from featviz.params import PARAMETERISATIONS
from featviz.rendering import render
from nets import SmallNet, small_model, small_net

QUICK = {"steps": 6, "precision": "float32", "progress": False}


@pytest.fixture
def model():
    return small_model()


def test_the_objective_rises(model):
    result = render(model, ["block:1", "late:2", "logits:3"], steps=60, progress=False)
    assert (result.history[:, -5:].mean(1) > result.history[:, :5].mean(1)).all()
    assert (result.images >= 0).all()
    assert (result.images <= 1).all()
    assert result.images.flatten(1).std(1).min() > 0.05


def test_the_score_is_that_of_the_final_image_by_the_plain_network(model):
    result = render(model, ["block:1", "late:2@1,0"], size=(40, 36), **QUICK)
    with torch.no_grad():
        acts = model.record(result.images, ["block", "late"])
    expected = torch.stack([acts["block"][0, 1].mean(), acts["late"][1, 2, 1, 0]])
    assert torch.allclose(result.score, expected, atol=1e-6)


def test_one_step_is_adam_on_the_sum_of_the_scores(model):
    # A slow loop written out: no fusing, no batching, no inference copy.
    config = featviz.RenderConfig(steps=3, precision="float32", redirect_steps=0)
    result = render(model, "late:1", config=config, progress=False)
    size = (32, 32)
    generator = ascent.image_generator(0, "late:1")
    param = featviz.Fourier().start(
        channels=3, size=size, generators=[generator], device=torch.device("cpu")
    )
    transforms = featviz.transforms.parse_transforms("lucid")
    moves = transforms.draw(3, channels=3, size=size, generator=generator)
    spectrum = param.spectrum
    m = v = torch.zeros_like(spectrum)
    for step in range(3):
        moved = transforms.apply(param(), moves[step])
        score = model.record(moved, ["late"])["late"][:, 1].mean()
        assert torch.allclose(score, result.history[0, step], atol=1e-5)
        (gradient,) = torch.autograd.grad(-score, spectrum)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        change = 0.05 * (m / (1 - 0.9 ** (step + 1)))
        change = change / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
        with torch.no_grad():
            spectrum -= change
    assert torch.allclose(param().detach(), result.images, atol=1e-4)


def test_nadam_is_that_of_dozat(model):
    # Dozat 2016, written out, with PyTorch's momentum: 0.9 (1 - 0.96 ** (t / 250) / 2)
    config = featviz.RenderConfig(
        steps=3, precision="float32", redirect_steps=0, transforms="none", param="maco"
    )
    result = render(model, "late:1", config=config, progress=False)
    assert result.record["ran"]["optimiser"] == "nadam"
    assert result.record["ran"]["learning_rate"] == 1.0
    generator = ascent.image_generator(0, "late:1")
    param = featviz.Maco().start(
        channels=3, size=(32, 32), generators=[generator], device=torch.device("cpu")
    )
    phase = param.phase
    m, v, product = torch.zeros_like(phase), torch.zeros_like(phase), 1.0
    for step in range(1, 4):
        score = model.record(param(), ["late"])["late"][:, 1].mean()
        assert torch.allclose(score, result.history[0, step - 1], rtol=1e-3, atol=1e-4)
        (gradient,) = torch.autograd.grad(-score, phase)
        now, then = (0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (step, step + 1))
        product *= now
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        ahead = gradient * (1 - now) / (1 - product) + m * then / (1 - product * then)
        with torch.no_grad():
            phase -= ahead / ((v / (1 - 0.999**step)).sqrt() + 1e-8)


def test_lbfgs_climbs_one_image_at_a_time(model):
    settings = {**QUICK, "steps": 12, "optimiser": "lbfgs", "transforms": "none"}
    both = render(model, ["late:1", "block:2"], redirect_steps=0, **settings)
    # Without random moves each line search starts where the last one ended, and never loses.
    assert (both.history.diff() >= -1e-6).all()
    assert (both.score > both.history[:, 0] + 0.05).all()
    assert both.record["ran"]["batch"] == 1
    assert both.record["ran"]["learning_rate"] == 1.0
    for k, label in enumerate(both.labels):
        alone = render(model, label, redirect_steps=0, **settings)
        assert torch.equal(alone.images[0], both.images[k])


def test_lbfgs_takes_over_when_the_image_is_awake():
    start = bias_model([0.0])
    with torch.no_grad():
        grey = start.module[0](torch.full((1, 3, 24, 24), 0.5))[0, 0, 0, 0]
    asleep = bias_model([-grey.item() - 0.5])
    settings = {"steps": 40, "optimiser": "lbfgs", "progress": False, "transforms": "none"}
    assert render(asleep, "1:0", **settings).score[0] > 0
    assert render(asleep, "1:0", redirect_steps=0, **settings).dead.all()


@pytest.mark.parametrize(
    ("steps", "optimiser", "rate", "of_adam"),
    [(17, "adam", 0.05, 17), (20, "adam, then lbfgs", 1.0, 17)],
)
def test_the_record_says_what_climbed(model, steps, optimiser, rate, of_adam):
    # 16 redirected steps and one to look belong to Adam.
    result = render(model, "late:1", **{**QUICK, "steps": steps}, optimiser="lbfgs")
    assert result.record["ran"]["optimiser"] == optimiser
    assert result.record["ran"]["learning_rate"] == rate
    assert result.record["images"][0]["steps_of_adam"] == of_adam
    alone = render(model, "late:1", **QUICK, optimiser="lbfgs", redirect_steps=0)
    assert alone.record["ran"]["optimiser"] == "lbfgs"
    assert alone.record["images"][0]["steps_of_adam"] == 0


@pytest.mark.parametrize("config", [{"steps": 3}, "fast", 3])
def test_a_config_of_the_wrong_type(model, config):
    with unchecked(), pytest.raises(ConfigError, match="config must be a RenderConfig, got"):
        render(model, "late:0", config=config)
    with unchecked(), pytest.raises(ConfigError, match="config must be a RenderConfig, got"):
        rendering.list_labels(model, "late:0", config=config)


def test_same_seed_same_image(model):
    first, second = (render(model, "late:0-2", **QUICK) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert first.record == second.record
    other = render(model, "late:0-2", seed=1, **QUICK)
    assert not torch.allclose(first.images, other.images, atol=1e-3)


def test_an_image_is_the_same_in_any_batch(model):
    # Float32 rounding differs a little with the batch, and steps add it up: 12 of them, 1e-4.
    settings = {**QUICK, "steps": 12}
    units = ["late:0", "block:3", "late:1", "late:2", "block:1", "late:3"]
    together = render(model, units, batch=64, **settings)
    assert together.labels == tuple(units)
    for k, unit in enumerate(units):
        alone = render(model, unit, **settings)
        assert torch.allclose(together.images[k], alone.images[0], atol=1e-4)
    in_twos = render(model, units, batch=2, **settings)
    assert torch.allclose(together.images, in_twos.images, atol=1e-4)


def test_the_global_random_state_does_not_matter_and_is_kept(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = render(model, "late:0", **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(first.images, render(model, "late:0", **QUICK).images)


def snapshot(model):
    return (
        [m.training for m in model.modules()],
        [(p.requires_grad, p.grad) for p in model.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        [t.dtype for t in model.state_dict().values()],
        [t.sum().item() for t in model.state_dict().values()],
    )


@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_the_model_is_as_before(model, failure):
    model.module.train()
    model.module.late.requires_grad_(False)
    before = snapshot(model)

    def fails(acts):
        if failure:
            raise failure
        return acts["late"].mean((1, 2, 3))

    try:
        render(model, objective(fails, sites=["late"]), **QUICK)
    except (ValueError, KeyboardInterrupt) as error:
        assert failure is type(error)  # noqa: PT017 - either may come
    else:
        assert failure is None
    assert snapshot(model) == before


def test_a_training_network_is_rendered_in_eval_mode(model):
    expected = render(model, "late:0", **QUICK)
    model.train()
    assert torch.equal(render(model, "late:0", **QUICK).images, expected.images)


def test_200_renders_leave_nothing_behind(model):
    for _ in range(20):
        render(model, "late:0", steps=2, progress=False)
    gc.collect()
    tensors, peak = count_tensors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(180):
        render(model, "late:0", steps=2, progress=False)
    gc.collect()
    assert count_tensors() == tensors
    assert sum(snapshot(model)[2]) == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.05 * peak


def count_tensors():
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_thresholds_keep_images_along_the_way(model):
    result = render(model, "late:0-1", thresholds=(2, 6), **QUICK)
    assert list(result.frames) == [2, 6]
    assert torch.equal(result.frames[6], result.images)
    assert torch.allclose(
        result.frames[2], render(model, "late:0-1", **{**QUICK, "steps": 2}).images, atol=1e-5
    )


def test_negative_units_minimise_the_pre_activation(model):
    result = render(model, "-block:2", steps=30, progress=False)
    assert result.labels == ("-block.pre:2",)
    assert result.history[0, -5:].mean() > result.history[0, :5].mean()
    with torch.no_grad():
        pre = model.record(result.images, ["block.pre"])["block.pre"][0, 2].mean()
    assert torch.allclose(result.score[0], -pre, atol=1e-5)
    assert render(model, "-logits:1", **QUICK).labels == ("-logits:1",)


def bias_model(biases, *, trap=False):
    class Net(nn.Sequential):
        def forward(self, x):
            out = super().forward(x)
            if trap:
                out = torch.where(x.mean((1, 2, 3), keepdim=True) > 0, out * torch.nan, out)
            return out

    network = Net(nn.Conv2d(3, len(biases), 3), nn.ReLU())
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        network[0].weight.copy_(torch.randn(network[0].weight.shape, generator=generator))
        network[0].bias.copy_(torch.tensor(biases))
    spec = ModelSpec(name="bias", build=nn.Identity, size=(24, 24))
    return Model(network.eval(), spec, weights_origin="made")


def test_dead_units_are_told_and_living_ones_wake_up():
    # Weights reach at most the sum of the positive ones, about 10: -100 can never fire. The
    # second starts silent, because the image starts grey, and can fire.
    start = bias_model([0.0] * 3)
    with torch.no_grad():
        grey = start.module[0](torch.full((1, 3, 24, 24), 0.5))[0, :, 0, 0]
    model = bias_model([-100.0, -grey[1].item() - 0.5, 0.5])
    result = render(model, "1:0-2", steps=40, progress=False)
    assert result.dead.tolist() == [True, False, False]
    assert result.score[0] == 0
    assert result.score[1] > 0
    assert "1 dead" in repr(result)
    assert result.record["images"][0]["dead"] is True
    assert "dead: this image does not fire it" in result.captions()[0]
    without = render(model, "1:0-2", steps=40, redirect_steps=0, progress=False)
    assert without.dead.tolist() == [True, True, False]


def test_a_saturated_unit_is_not_dead():
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU6())
    with torch.no_grad():
        network[0].weight.fill_(1e4)
        network[0].bias.fill_(-1e4 * 1.5)
    model = Model(network.eval(), ModelSpec("six", nn.Identity, size=(8, 8)), weights_origin="-")
    result = render(model, "1:0", steps=60, transforms="none", progress=False)
    assert result.score > 3
    assert not result.dead


def test_no_number_at_all_is_an_error():
    model = bias_model([0.0, 0.0], trap=True)
    with pytest.raises(RenderError, match="'bias' gave no finite number for logits:0; check its"):
        render(model, "logits:0", size=24, **QUICK)


def test_one_failed_image_leaves_the_others_alone(model):
    good = channel("late", 0)
    bad = objective(
        lambda acts: acts["late"].mean((1, 2, 3)) * torch.nan, sites=["late"], label="x"
    )
    result = render(model, [good, bad], **QUICK)
    assert result.failed.tolist() == [False, True]
    assert not result.dead.any()
    entry = result.record["images"][1]
    assert entry.pop("metrics")["clipped"] is None
    assert entry == {
        "unit": "x", "objective": "x", "steps_done": 6, "score": None, "dead": False, "failed": True
    }  # fmt: skip
    assert torch.allclose(result.images[0], render(model, good, **QUICK).images[0], atol=1e-4)


def test_interrupt_returns_what_there_is(model, monkeypatch):
    stop_at = [9]

    def step(_bar, _images):
        stop_at[0] -= 1
        if stop_at[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(rendering, "_advance", step)
    result = render(model, "late:0-3", batch=2, **QUICK)
    # 6 steps of the first two, then the third step of the others
    assert result.interrupted
    assert [entry["steps_done"] for entry in result.record["images"]] == [6, 6, 3, 3]
    assert result.history[3].isnan().tolist() == [False] * 3 + [True] * 3
    assert result.record["ran"]["interrupted"] is True
    assert "interrupted" in repr(result)


def test_interrupt_before_the_first_step(model, monkeypatch):
    def never(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ascent.InferenceCopy, "__call__", never)
    with pytest.raises(KeyboardInterrupt):
        render(model, "late:0", **QUICK)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(),
              RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")]
)  # fmt: skip
def test_batches_shrink_when_memory_runs_out(model, monkeypatch, error):
    run = ascent.InferenceCopy.__call__
    sizes = []

    def limited(self, images, **options):
        sizes.append(len(images))
        if len(images) > 2:
            raise error
        return run(self, images, **options)

    monkeypatch.setattr(ascent.InferenceCopy, "__call__", limited)
    result = render(model, "late:0-3", batch=4, **QUICK)
    monkeypatch.undo()
    assert sizes == [4] + [2] * 12
    assert result.record["ran"]["batch"] == 2
    assert torch.allclose(result.images, render(model, "late:0-3", **QUICK).images, atol=1e-4)


def test_measuring_shrinks_too_when_memory_runs_out(model, monkeypatch):
    record = Model.record

    def limited(self, images, sites):
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return record(self, images, sites)

    expected = render(model, "late:0-3", **QUICK)
    monkeypatch.setattr(Model, "record", limited)
    assert torch.allclose(render(model, "late:0-3", **QUICK).score, expected.score, atol=1e-6)


def test_networks_that_draw_numbers_give_the_same_image():
    class Noisy(SmallNet):
        def forward(self, x):
            return super().forward(x + 0.1 * torch.randn_like(x))

    network = Noisy().eval()
    network.load_state_dict(small_net().state_dict())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = render(network, "late:0", size=32, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(first.images, render(network, "late:0", size=32, **QUICK).images)


@contextlib.contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "setting",
    [
        torch.no_grad,
        torch.inference_mode,
        float64_by_default,
        functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    ],
)
def test_what_is_set_around_it_changes_nothing(model, setting):
    expected = render(model, ["late:0", channel("late", 1) - 2], **QUICK)
    with setting():
        dtype, low = torch.get_default_dtype(), torch.is_autocast_enabled("cpu")
        result = render(model, ["late:0", channel("late", 1) - 2], **QUICK)
        assert (torch.get_default_dtype(), torch.is_autocast_enabled("cpu")) == (dtype, low)
    assert result.images.dtype == result.score.dtype == result.history.dtype == torch.float32
    assert torch.equal(result.images, expected.images)
    assert torch.equal(result.score, expected.score)
    assert result.record == expected.record


def test_a_network_built_in_inference_mode():
    with torch.inference_mode():
        network = small_net()
        loaded = featviz.load("nets:SmallNet", size=32)
    with pytest.raises(
        ModelError, match=r"'SmallNet' was built inside torch.inference_mode\(\), s"
    ):
        render(network, "late:0", size=32, **QUICK)
    assert render(loaded, "late:0", **QUICK).images.shape == (1, 3, 32, 32)


def test_a_network_that_takes_one_size_only():
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    )
    result = render(network, "1:0", size=16, **QUICK)
    assert result.images.shape[-1] == 16
    with pytest.raises(ConfigError, match=r"takes is 16 px, so choose that or the network's own"):
        render(featviz.load(network, size=16), "1:0", size=20, **QUICK)
    with pytest.raises(ConfigError, match="cannot run on a 3x12x12 image"):
        render(featviz.load(network, size=16), "1:0", size=12, transforms="pad:2", **QUICK)


def test_classes_have_names():
    model = small_model()
    labelled = dataclasses.replace(model.spec, labels=lambda: tuple("abcdef"))
    result = render(
        Model(model.module, labelled, weights_origin="-"), ["logits:2", "late:0"], **QUICK
    )
    assert [entry.get("class") for entry in result.record["images"]] == ["c", None]
    assert result.captions() == ["logits:2\nc", "late:0"]


def test_interrupt_between_two_groups(model, monkeypatch):
    build = rendering.InferenceCopy

    def only_once(*args, **options):
        monkeypatch.setattr(rendering, "InferenceCopy", stop)
        return build(*args, **options)

    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(rendering, "InferenceCopy", only_once)
    result = render(model, ["block:0", "late:0"], **QUICK)
    assert result.interrupted
    assert result.labels == ("block:0",)


def test_not_even_one_image_fits(model, monkeypatch):
    def full(*_args, **_options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(ascent.InferenceCopy, "__call__", full)
    with pytest.raises(RenderError, match="memory does not suffice for a single 32x32 px image"):
        render(model, "late:0-3", **QUICK)


def test_other_errors_of_the_network_come_through(model, monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ascent.InferenceCopy, "__call__", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        render(model, "late:0", **QUICK)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_any_channels_and_size(channels, size):
    result = render(small_model(channels), "late:0", size=size, **QUICK)
    assert result.images.shape == (1, channels, *size)


def test_a_bare_module_gets_images_without_normalisation():
    result = render(small_net(), "late:1", size=32, **QUICK)
    assert result.record["model"]["preprocess"]["mean"] == [0.0] or (
        result.record["model"]["preprocess"]["mean"] == (0.0,)
    )
    expected = render(small_model(), "late:1", size=32, **QUICK)
    assert torch.equal(result.images, expected.images)


def test_bf16_gives_nearly_the_same_picture(model):
    exact, fast = (
        render(model, ["late:1", "block:2"], steps=40, precision=precision, progress=False)
        for precision in ("float32", "bf16")
    )
    assert [r.record["ran"]["precision"] for r in (exact, fast)] == ["float32", "bf16"]
    assert not torch.equal(fast.images, exact.images)
    assert torch.allclose(fast.score, exact.score, rtol=0.1)


@pytest.mark.parametrize("transforms", ["none", "lucid", "pad:3,jitter:4"])
@pytest.mark.parametrize("param", sorted(PARAMETERISATIONS))
def test_parts_combine(model, transforms, param):
    settings = {**QUICK, "steps": 40}
    (history,) = render(model, "late:1", transforms=transforms, param=param, **settings).history
    assert history[-8:].mean() > history[:8].mean()


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("late", UnitError, "'late' names no unit"),
        ("lat:1", SiteError, "unknown site 'lat' in 'small'; did you mean 'late'"),
        ("late:4", UnitError, "channel 4 is out of range in 'late:4': 'late' has 4 channels"),
        ("late:1@9,9", UnitError, r"position \(9, 9\) is out of range"),
        ([], UnitError, "there is nothing to render"),
        (None, UnitError, "cannot render None; give a unit such as 'fire4:128'"),
        (5, UnitError, "cannot render 5; give a unit such as 'fire4:128'"),
        ([3], UnitError, "cannot render 3; give a unit such as 'fire4:128'"),
        (channel("late", 7), UnitError, "channel 7 is out of range"),
        (
            Sum(2.0, ()),
            UnitError,
            "'2' reads no site of the network, so there is no feature to show",
        ),
        (neuron("lost", 7), SiteError, "unknown site 'lost'"),
        (channel("late", 7) + 1, UnitError, "channel 7 is out of range"),
    ],
)
def test_bad_objectives(model, what, error, message):
    with unchecked(), pytest.raises(error, match=message):
        render(model, what, **QUICK)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: channel(3, 1), SiteError, "3 is not a site name; see 'featviz sites small'"),
        (
            lambda: class_logit("dog"),
            UnitError,
            "'logits' must be a whole number, 0 to 5, got 'dog'",
        ),
        (
            lambda: channel("late", "x"),
            UnitError,
            "channel of 'late' must be a whole number, 0 to 3, got",
        ),
        (lambda: channel("late", True), UnitError, "must be a whole number, 0 to 3, got True"),
        (
            lambda: neuron("late", 1, position="top"),
            UnitError,
            r"must be \(y, x\) in whole numbers, or 'center', got",
        ),
        (
            lambda: neuron("late", 1, position=(1, 2, 3)),
            UnitError,
            r"in whole numbers, .* got \(1, 2, 3\)",
        ),
        (lambda: neuron("late", 1, position=3), UnitError, "in whole numbers, or 'center', got 3"),
    ],
)
def test_objectives_of_the_wrong_type(model, make, error, message):
    with unchecked(), pytest.raises(error, match=message):
        render(model, make(), **QUICK)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": 3}, r"thresholds must be steps such as \(16, 64\); got 3"),
        ({"transforms": ["jitter:3"]}, "transforms must be text such as .*; got 'jitter:3'"),
    ],
)
def test_settings_of_the_wrong_type(model, settings, message):
    with unchecked(), pytest.raises(ConfigError, match=message):
        render(model, "late:0", **settings, **QUICK)


def test_a_channel_may_be_a_number_of_numpy(model):
    ranked = torch.tensor([0.1, 0.3, 0.2]).numpy().argsort()
    expected = render(model, "late:1", **QUICK).images
    with unchecked():
        assert torch.equal(render(model, channel("late", ranked[-1]), **QUICK).images, expected)


def test_an_objective_that_ignores_the_image(model):
    flat = objective(lambda acts: acts["late"].detach().mean((1, 2, 3)), sites=["late"], label="f")
    with pytest.raises(ObjectiveError, match="'f' does not depend on the image"):
        render(model, flat, **QUICK)


def test_an_image_too_small_for_the_network(model):
    with pytest.raises(ConfigError, match="the smallest square that 'small' takes is 11 px"):
        render(model, "late:0", size=4, **QUICK)
    assert render(model, "late:0", size=11, **QUICK).images.shape[-1] == 11


def test_a_network_on_two_devices():
    network = small_net()
    network.fc.to("meta")
    model = Model(network, ModelSpec(name="two", build=SmallNet), weights_origin="none")
    with pytest.raises(featviz.FeatvizError, match="spread over several devices"):
        render(model, "late:0", **QUICK)


def test_progress_shows_a_rate(model, capsys):
    render(model, "late:0", steps=4, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "4/4" in captured.err
    assert "image-steps/s" in captured.err
    render(model, "late:0", steps=4, progress=False)
    assert capsys.readouterr().err == ""
