"""Dataset examples against a brute-force pass, one image at a time through the plain network."""

import io
import itertools
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photo_folders import write_photos
from typecheck import unchecked

from featviz.atlas.examples.collecting import Examples, ExampleSettings, collect_examples
from featviz.atlas.examples.records import Example, Ranking
from featviz.atlas.passes.picture_sources import FolderSource, open_source
from featviz.atlas.passes.settings import PassSettings, visiting_order
from featviz.atlas.passes.unit_pass import reduce_map
from featviz.errors import (
    ConfigError,
    OutputError,
    PictureError,
    RecordError,
    RenderError,
    SiteError,
    UnitError,
)
from featviz.models import load
from featviz.models.model import Model
from nets import small_model
from reference import splitmix64

SITES = ["act", "block.conv2", "branches", "branches.pre", "branches/3:8", "logits"]
SMALL = ExampleSettings(top=5, bottom=3, bins=4, per_bin=2, batch=16, every=16, loaders=2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("pictures") / "photos", 90)


def brute_force(model: Model, sites: list[str], source: FolderSource) -> dict[str, np.ndarray]:
    """Activation of each image at each site, [n c ...], one image at a time."""
    found: dict[str, list[np.ndarray]] = {site: [] for site in sites}
    for number in range(len(source)):
        pixels = source.read(number, model.spec.size, model.spec.channels)
        image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            for site, activation in model.record(image, sites).items():
                found[site].append(activation[0].numpy())
    return {site: np.stack(values) for site, values in found.items()}


def check_order(examples: tuple[Example, ...], values: np.ndarray, sign: int, near: float) -> None:
    """Images are those of a sort, but where kernels round so that neighbours change places."""
    order = np.argsort(-sign * values, kind="stable")[: len(examples)]
    for example, expected in zip(examples, order, strict=True):
        assert example.value == pytest.approx(float(values[expected]), abs=near)
        assert float(values[example.image]) == pytest.approx(float(values[expected]), abs=near)
    assert len({example.image for example in examples}) == len(examples)


def check_unit(found: Examples, site: str, channel: int, maps: np.ndarray, near: float) -> None:
    unit, settings = found.of(site, channel), found.settings
    flat = maps.reshape(len(maps), -1)
    assert unit.images == len(maps)
    assert unit.broken == 0
    # An image at which the network stands on the edge of firing may fall on either side.
    assert abs(unit.firing_rate - (flat.max(1) > 0).mean()) <= (np.abs(flat.max(1)) < near).mean()
    rankings: list[tuple[Ranking | None, np.ndarray]] = [(unit.maximum, flat.max(1))]
    if maps.ndim == 3:
        rankings.append((unit.mean, flat.mean(1)))
    for ranking, values in rankings:
        assert ranking is not None
        assert len(ranking.top) == min(settings.top, len(maps))
        check_order(ranking.top, values, 1, near)
        check_order(ranking.bottom, values, -1, near)
        start, width, counts = ranking.histogram
        assert sum(counts) == len(maps)
        for k, count in enumerate(counts):
            low, high = start + k * width, start + (k + 1) * width
            surely = ((values >= low + near) & (values < high - near)).sum()
            maybe = ((values >= low - near) & (values < high + near)).sum()
            assert surely <= count <= maybe
    for example in (*unit.maximum.top, *unit.maximum.bottom):
        assert example.name == found.source.name(example.image)
        if maps.ndim == 3:
            assert example.position is not None
            at = maps[(example.image, *example.position)]
            assert float(at) == pytest.approx(example.value, abs=near)


def test_examples_are_those_of_a_brute_force_pass(photos: Path) -> None:
    model = small_model()
    found = collect_examples(model, SITES, photos, settings=SMALL)
    expected = brute_force(model, SITES, FolderSource(photos))
    assert list(found.sites) == sorted(SITES, key=lambda s: (found.sites[s].order, s))
    assert found.report.used == 90
    for site in SITES:
        near = 1e-5 * float(np.abs(expected[site]).max())
        for channel in range(expected[site].shape[1]):
            check_unit(found, site, channel, expected[site][:, channel], near)
        assert (found.of(site, 0).mean is None) == (site == "logits")


@pytest.mark.parametrize("statistic", ["maximum", "mean"])
def test_bins_are_quantiles(photos: Path, statistic: str) -> None:
    model = small_model()
    settings = ExampleSettings(bins=5, per_bin=90, batch=16)
    found = collect_examples(model, ["block.conv2"], photos, settings=settings)
    maps = brute_force(model, ["block.conv2"], FolderSource(photos))["block.conv2"]
    for channel in range(8):
        values = maps[:, channel].max((1, 2))
        if statistic == "mean":
            values = maps[:, channel].mean((1, 2))
        ranking = getattr(found.of("block.conv2", channel), statistic)
        bins = ranking.bins
        assert [(b.low, b.high) for b in bins] == [(k / 5, (k + 1) / 5) for k in range(5)]
        assert [len(b.examples) for b in bins] == [18] * 5
        assert {e.image for b in bins for e in b.examples} == set(range(90))
        for low, high in itertools.pairwise(bins):
            assert low.examples[0].value <= high.examples[-1].value
        for one in bins:
            for example in one.examples:
                below = (values < values[example.image]).mean() * 90 / 89
                assert example.value == pytest.approx(float(values[example.image]), abs=1e-4)
                assert example.quantile == pytest.approx(below, abs=0.03)
                assert one.low - 0.02 <= example.quantile <= one.high + 0.02
                assert (example.position is None) == (statistic == "mean")
    few = collect_examples(model, ["act"], photos, settings=ExampleSettings(sample=3, bins=6))
    assert [len(b.examples) for b in few.of("act", 0).maximum.bins] == [1, 1, 1]


@pytest.mark.parametrize("site", ["act", "pool", "block", "branches", "late", "branches.pre"])
def test_a_box_is_what_the_gradient_reaches(site: str) -> None:
    model = small_model()
    with torch.no_grad():  # without signs no path cancels another, and no unit is silent
        for parameter in model.module.parameters():
            parameter.abs_()
    images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(k)) for k in range(12)]
    found = collect_examples(model, [site], images, settings=ExampleSettings(top=12, bottom=0))
    resolved = found.sites[site]
    for channel in range(resolved.channels):
        for example in found.of(site, channel).maximum.top:
            assert example.position is not None
            assert example.box is not None
            image = images[example.image].clone()[None].requires_grad_()
            y, x = example.position
            model.record(image, [site])[site][0, channel, y, x].backward()
            assert image.grad is not None
            rows, columns = image.grad[0].abs().sum(0).nonzero(as_tuple=True)
            inside = example.box.clipped((32, 32))
            assert inside.top <= rows.min() <= rows.max() < inside.bottom
            assert inside.left <= columns.min() <= columns.max() < inside.right
            if site == "act":  # a pool in between hides all but one place
                ends = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
                assert list(map(int, ends)) == inside.to_list()


def test_the_model_stays_as_it_is(photos: Path) -> None:
    model = small_model()
    model.module.train()
    state = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    generator = torch.random.get_rng_state()
    collect_examples(model, ["late"], photos, settings=SMALL)

    def stop(done: int, _total: int) -> None:
        raise RuntimeError(f"stopped at {done}")

    with pytest.raises(RuntimeError, match="stopped at 16"):
        collect_examples(model, ["late"], photos, settings=SMALL, progress=stop)
    assert all(module.training for module in model.module.modules())
    assert all(parameter.requires_grad for parameter in model.module.parameters())
    assert all(parameter.grad is None for parameter in model.module.parameters())
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, state[name])
    assert not any(m._forward_hooks for m in model.module.modules())
    assert torch.equal(torch.random.get_rng_state(), generator)


def summary(found: Examples) -> list[Any]:
    return [found.of(s, c) for s, site in found.sites.items() for c in range(site.channels)]


def test_neither_threads_nor_saving_change_the_result(photos: Path, tmp_path: Path) -> None:
    model = small_model()
    expected = summary(collect_examples(model, SITES, photos, settings=SMALL))
    settings = ExampleSettings(**{**vars(SMALL), "loaders": 7, "every": 40})
    state = tmp_path / "state.npz"
    again = collect_examples(model, SITES, photos, settings=settings, state=state)
    assert summary(again) == expected
    assert state.exists()
    seen: list[int] = []
    whole = collect_examples(
        model, SITES, photos, settings=settings, state=state, progress=lambda d, _: seen.append(d)
    )
    assert summary(whole) == expected
    assert seen == []  # all of it was there


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_pass_goes_on(
    photos: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    model = small_model()
    (photos / "zz broken.png").write_bytes(b"no picture")
    try:
        expected = collect_examples(model, ["branches"], photos, settings=SMALL)
        for stop in range(16, 91, 16):
            state = tmp_path / f"{stop}.npz"
            first: list[int] = []

            def fall(done: int, _total: int, stop: int = stop, seen: list[int] = first) -> None:
                seen.append(done)
                if done >= stop:
                    raise error

            with pytest.raises(error):
                collect_examples(
                    model, ["branches"], photos, settings=SMALL, state=state, progress=fall
                )
            second: list[int] = []
            found = collect_examples(
                model, ["branches"], photos, settings=SMALL, state=state,
                progress=lambda done, _, seen=second: seen.append(done),
            )  # fmt: skip
            assert summary(found) == summary(expected)
            assert found.report == expected.report
            # The batch that was not yet saved is done again, and nothing else.
            assert second[0] == first[-1]
    finally:
        (photos / "zz broken.png").unlink()
    assert expected.report.skipped.counts == {"its format is not known": 1}
    assert expected.report.skipped.first == [["zz broken.png", "its format is not known"]]


KILLED = """
import os, signal, sys
from featviz.atlas.examples.collecting import ExampleSettings, collect_examples
from nets import small_model
def fall(done, total):
    if done >= 48:
        os.kill(os.getpid(), signal.SIGKILL)
settings = ExampleSettings(top=5, bottom=3, bins=4, per_bin=2, batch=16, every=16, loaders=2)
collect_examples(small_model(), ["branches"], sys.argv[1], settings=settings, state=sys.argv[2],
                 progress=fall)
"""


def test_a_killed_pass_goes_on(photos: Path, tmp_path: Path) -> None:
    # Some seconds: a process that imports torch is needed to be killed.
    state = tmp_path / "state.npz"
    paths = os.pathsep.join([str(Path(__file__).parents[4]), str(Path(__file__).parents[3])])
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(photos), str(state)],
        env={**os.environ, "PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert state.exists()
    seen: list[int] = []
    found = collect_examples(
        small_model(), ["branches"], photos, settings=SMALL, state=state,
        progress=lambda done, _: seen.append(done),
    )  # fmt: skip
    assert seen[0] == 48
    assert summary(found) == summary(
        collect_examples(small_model(), ["branches"], photos, settings=SMALL)
    )


def test_a_state_of_another_pass_is_refused(photos: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    model = small_model()
    collect_examples(model, ["act"], photos, settings=SMALL, state=state)
    for other in (["late"], ["act", "late"]):
        with pytest.raises(RecordError, match="is of another pass: other images, sites, weights"):
            collect_examples(model, other, photos, settings=SMALL, state=state)
    with pytest.raises(RecordError, match="is of another pass"):
        collect_examples(small_model(seed=1), ["act"], photos, settings=SMALL, state=state)
    more = ExampleSettings(**{**vars(SMALL), "top": 6})
    with pytest.raises(RecordError, match="is of another pass"):
        collect_examples(model, ["act"], photos, settings=more, state=state)
    whole = state.read_bytes()
    for damaged in (b"", b"text", whole[: len(whole) // 2]):
        state.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"cannot go on from .*; delete it to begin anew"):
            collect_examples(model, ["act"], photos, settings=SMALL, state=state)
    with np.load(io.BytesIO(whole)) as arrays:
        parts = {name: arrays[name] for name in arrays.files if name != "maximum-top/keys"}
    np.savez(state, **parts)
    with pytest.raises(RecordError, match=r"cannot go on from .*'keys'; delete it"):
        collect_examples(model, ["act"], photos, settings=SMALL, state=state)


def test_a_pass_is_run_by_one_process_at_a_time(photos: Path, tmp_path: Path) -> None:
    model, state = small_model(), tmp_path / "state.npz"

    def second(_done: int, _total: int) -> None:
        collect_examples(model, ["act"], photos, settings=SMALL, state=state)

    with pytest.raises(OutputError, match=r"another process is at this pass .*; wait for it, or"):
        collect_examples(model, ["act"], photos, settings=SMALL, state=state, progress=second)


def test_a_lock_that_is_a_link_is_not_followed(photos: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "state.lock").symlink_to(outside)
    with pytest.raises(OutputError, match=r"cannot lock .*; remove it if it is a link, and give"):
        collect_examples(
            small_model(), ["act"], photos, settings=SMALL, state=tmp_path / "state.npz"
        )
    assert outside.read_text() == "mine"


class Counted:
    """Many images, made when asked for; knows how many of them are alive."""

    def __init__(self, count: int) -> None:
        self.count, self.alive, self.most = count, 0, 0

    def __len__(self) -> int:
        return self.count

    def _gone(self) -> None:
        self.alive -= 1

    def __getitem__(self, number: int) -> np.ndarray:
        image = np.full((32, 32, 3), number % 251, np.uint8)
        weakref.finalize(image, self._gone)
        self.alive += 1
        self.most = max(self.most, self.alive)
        return image


def test_memory_does_not_grow_with_the_images() -> None:
    model = small_model()
    most = []
    for count in (300, 3000):
        images = Counted(count)
        found = collect_examples(model, ["act"], images, settings=ExampleSettings(batch=8))
        assert found.report.used == count
        most.append(images.most)
    assert max(most) <= 4 * 8 + 4  # two batches ahead, one in work, one before it
    assert most[1] <= most[0] + 8


def test_values_that_are_not_finite_are_left_out() -> None:
    model = small_model()
    images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(k)) for k in range(9)]
    with torch.no_grad():
        model.module.stem.bias[2] = torch.nan
    found = collect_examples(model, ["stem"], images, settings=SMALL)
    unit = found.of("stem", 2)
    assert (unit.images, unit.broken, unit.firing_rate) == (0, 9, 0.0)
    assert unit.maximum.top == ()
    assert unit.maximum.bins == ()
    assert unit.maximum.histogram == (0.0, 1.0, ())
    assert found.of("stem", 3).images == 9


def test_what_is_asked_wrongly_is_refused(photos: Path) -> None:
    model = small_model()
    found = collect_examples(model, ["act"], photos, settings=SMALL)
    with pytest.raises(SiteError, match="the pass did not record 'late'; it has act"):
        found.of("late", 0)
    with pytest.raises(UnitError, match="'act' has 8 channels, 0 to 7; got 8"):
        found.of("act", 8)
    with pytest.raises(SiteError, match="no site is given; name one"):
        collect_examples(model, [], photos)
    with unchecked(), pytest.raises(SiteError, match=r"must be a list of names; write \['act'\]"):
        collect_examples(model, "act", photos)
    with pytest.raises(SiteError, match="unknown site 'actt'"):
        collect_examples(model, ["actt"], photos)
    with pytest.raises(PictureError, match=r"none of 2 images can be read: '#\d': .*is no image"):
        collect_examples(model, ["act"], ["a", "b"])
    for name, value in (("top", 0), ("bottom", -1), ("bins", -1), ("per_bin", 0), ("sample", 0)):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number from"):
            ExampleSettings(**{name: value})
    for name, most in (("top", 1000), ("bottom", 1000), ("bins", 1000), ("sample", 100_000)):
        ExampleSettings(per_bin=1, **{name: most})
        with pytest.raises(ConfigError, match=rf"{name} must be .* to {most}, got {most + 1}"):
            ExampleSettings(per_bin=1, **{name: most + 1})
    with pytest.raises(ConfigError, match=r"bins times per_bin must be 1000 at most, got 6 \* 167"):
        ExampleSettings(per_bin=167)
    for name, value in (("batch", 0), ("seed", -1), ("every", 0), ("loaders", 0)):
        with pytest.raises(ConfigError, match=f"{name} must be a whole number from"):
            PassSettings(**{name: value})


def test_memory_that_does_not_suffice_is_told(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("featviz.recording.Recorder.__call__", full)
    with pytest.raises(RenderError, match=r"memory does not suffice for 16 images .*smaller batch"):
        collect_examples(small_model(), ["act"], photos, settings=SMALL)


def test_images_come_in_the_order_of_splitmix64() -> None:
    for seed in (0, 7):
        start = seed * 0xD1342543DE82EF95 * 0x9E3779B97F4A7C15
        keys = [splitmix64(start % 2**64, k) for k in range(50)]
        assert visiting_order(50, seed).tolist() == sorted(range(50), key=lambda k: keys[k])


def test_maps_are_reduced_at_the_first_maximum() -> None:
    maps = torch.zeros(1, 2, 3, 4)
    maps[0, 0, 1, 2] = maps[0, 0, 1, 3] = maps[0, 0, 2, 0] = 5
    assert reduce_map(maps).tolist() == [[[5, 15 / 12, 6], [0, 0, 0]]]
    assert reduce_map(torch.tensor([[3.0, -1.0]])).tolist() == [[[3, 3, -1], [-1, -1, -1]]]


def test_photographs_give_the_examples_of_a_brute_force_pass(shared_dir: Path) -> None:
    # Some ten seconds: a real network over real photographs.
    folder = shared_dir / "images" / "imagenet-sample"
    if not folder.is_dir():
        pytest.skip("there is no ../shared/images/imagenet-sample")
    model, sites = load("squeezenet1_1"), ["fire3", "fire9", "logits"]
    source = open_source(folder)
    assert isinstance(source, FolderSource)
    found = collect_examples(model, sites, source, settings=ExampleSettings(top=9))
    expected = brute_force(model, sites, source)
    for site in sites:
        near = 2e-5 * float(np.abs(expected[site]).max())
        for channel in range(0, expected[site].shape[1], 7):
            check_unit(found, site, channel, expected[site][:, channel], near)
