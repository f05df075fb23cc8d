"""What is read of photographs, and what it speaks for."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_pictures import labelled_model, write_pictures
from torch import Tensor

from featviz.atlas.activation_map.attribution import attribute, top_classes
from featviz.atlas.activation_map.sampling import (
    Samples,
    Sampling,
    check_positions,
    choose_files,
    draw_places,
    take_samples,
)
from featviz.atlas.canonical import content_key
from featviz.errors import ConfigError, ModelError, OutputError, PictureError
from featviz.metrics.pictures import PictureFolder, read_picture
from featviz.models.model import Model
from nets import small_net


def sampling(folder: Path, site: str = "block", **changes: object) -> Sampling:
    model = labelled_model()
    photographs = PictureFolder.open(folder)
    made = Sampling(
        model=model,
        site=model.site_table().resolve(site),
        folder=photographs,
        files=photographs.files,
        positions=3,
        classes=True,
        seed=0,
        batch=4,
        identity={"test": site},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def taken(tmp_path: Path, where: str, plan: Sampling) -> Samples:
    return take_samples(plan, tmp_path / where, told=lambda *_: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photographs")


# ---- places ------------------------------------------------------------------------------------


def test_samples_are_the_activations_at_the_places_drawn(folder: Path, tmp_path: Path) -> None:
    plan = sampling(folder)
    found = taken(tmp_path, "a", plan)
    assert found.activations.shape == (24, 8)
    assert found.pictures == 8
    for k, file in enumerate(plan.files):
        image = read_picture(file, (32, 32))[None]
        whole = plan.model.record(image, ["block"])["block"][0].flatten(1)
        at = draw_places(plan.name_of(file), places=whole.shape[1], count=3, seed=0)
        expected = whole[:, at].T.numpy()
        assert found.activations[3 * k : 3 * k + 3] == pytest.approx(expected, abs=1e-5)


def test_samples_do_not_depend_on_batches_or_other_photographs(
    folder: Path, tmp_path: Path
) -> None:
    first = taken(tmp_path, "a", sampling(folder))
    for batch in (1, 3, 64):
        other = taken(tmp_path, f"b{batch}", sampling(folder, batch=batch))
        assert other.activations == pytest.approx(first.activations, abs=1e-5)
        assert other.attributions == pytest.approx(first.attributions, abs=1e-4)
    plan = sampling(folder)
    fewer = taken(tmp_path, "c", replace(plan, files=plan.files[3:5]))
    assert fewer.activations == pytest.approx(first.activations[9:15], abs=1e-5)


def test_places_are_random_and_none_comes_twice() -> None:
    drawn = [draw_places(f"{k}.png", places=16, count=16, seed=0).tolist() for k in range(200)]
    assert all(sorted(each) == list(range(16)) for each in drawn)
    counts = np.bincount([each[0] for each in drawn], minlength=16)
    assert counts.min() >= 3  # 12.5 are to be expected
    assert draw_places("a", places=16, count=5, seed=0).tolist() == drawn_again()
    assert draw_places("a", places=16, count=5, seed=1).tolist() != drawn_again()


def drawn_again() -> list[int]:
    return [int(k) for k in draw_places("a", places=16, count=5, seed=0)]


def test_a_random_part_of_many_photographs(folder: Path) -> None:
    photographs = PictureFolder.open(folder)
    some = choose_files(photographs, count=4, seed=0)
    assert some == choose_files(photographs, count=4, seed=0)
    assert list(some) == sorted(some)
    assert len({choose_files(photographs, count=4, seed=seed) for seed in range(9)}) > 5
    assert choose_files(photographs, count=8, seed=0) == photographs.files


def test_more_places_than_the_map_has(folder: Path) -> None:
    plan = sampling(folder)
    assert check_positions(plan.site, 64, model="small") == 64
    with pytest.raises(ConfigError, match=r"65 positions .* 'block' in 'small' has 64 \(8x8\)"):
        check_positions(plan.site, 65, model="small")
    with pytest.raises(ConfigError, match=r"no map, one vector a photograph.*1 at most"):
        taken(folder, "a", sampling(folder, "fc"))


# ---- the folder --------------------------------------------------------------------------------


def test_a_pass_that_was_stopped_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = taken(tmp_path, "whole", sampling(folder, batch=2))
    seen: list[int] = []

    def stop(done: int, _total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_samples(sampling(folder, batch=2), tmp_path / "a", told=stop)
    record = Model.record

    def counted(self: Model, images: Tensor, sites: list[str]) -> object:
        seen.append(len(images))
        return record(self, images, sites)

    monkeypatch.setattr(Model, "record", counted)
    again = taken(tmp_path, "a", sampling(folder, batch=2))
    assert len(seen) == 2 * 2  # activations and attributions of the last two batches
    assert np.array_equal(again.activations, whole.activations)
    assert again.attributions == pytest.approx(whole.attributions, abs=1e-5)
    seen.clear()
    taken(tmp_path, "a", sampling(folder, batch=2))
    assert seen == []


@pytest.mark.parametrize("damage", ["torn", "shape", "missing", "list"])
def test_what_is_damaged_is_read_again(folder: Path, tmp_path: Path, damage: str) -> None:
    whole = taken(tmp_path, "a", sampling(folder))
    (about,) = (tmp_path / "a").glob("*/samples.json")
    numbers = about.with_name("activations.npy")
    expected = np.array(whole.activations)
    if damage == "torn":
        about.write_text(about.read_text()[:40])
    elif damage == "list":
        about.write_text("[1, 2]")
    elif damage == "missing":
        numbers.unlink()
    else:
        np.save(numbers, np.zeros((2, 2), np.float32))
    assert np.array_equal(taken(tmp_path, "a", sampling(folder)).activations, expected)


def test_broken_photographs_are_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    expected = taken(tmp_path, "a", sampling(folder))
    (folder / "4.png").write_bytes(b"no picture")
    plan = sampling(folder)
    found = taken(tmp_path, "b", plan)
    assert list(found.skipped) == ["4.png"]
    assert "its format is not known" in found.skipped["4.png"]
    assert found.pictures == 7
    left = [name != "4.png" for name in map(plan.name_of, plan.files)]
    assert np.array_equal(found.activations, expected.activations[np.repeat(left, 3)])
    (about,) = (tmp_path / "b").glob("*/samples.json")
    assert list(json.loads(about.read_text())["skipped"]) == ["4.png"]


def test_a_broken_photograph_brings_nothing_into_memory(folder: Path, tmp_path: Path) -> None:
    for name in ("0.png", "4.png"):
        (folder / name).write_bytes(b"no picture")
    plan = sampling(folder)
    found = taken(tmp_path, "a", plan)
    for array, name in ((found.activations, "activations"), (found.attributions, "attributions")):
        assert isinstance(array, np.memmap)
        assert Path(str(array.filename)).stem == name  # numpy has None for copies
        assert len(array) == 6 * 3

    # A pass that stops behind them goes on as if it had not.
    def stop(done: int, _total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_samples(replace(plan, batch=2), tmp_path / "b", told=stop)
    again = taken(tmp_path, "b", replace(plan, batch=2))
    assert again.skipped == found.skipped
    assert again.activations == pytest.approx(found.activations, abs=1e-5)


def test_no_photograph_can_be_read(folder: Path, tmp_path: Path) -> None:
    for file in PictureFolder.open(folder).files:
        file.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"none of 8 photographs could be read; the first is '0"):
        taken(tmp_path, "a", sampling(folder))


def test_activations_that_are_not_finite(folder: Path, tmp_path: Path) -> None:
    plan = sampling(folder)
    with torch.no_grad():
        plan.model.module.stem.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ModelError, match="activations of 'block' in 'small' are not finite for '0"):
        taken(tmp_path, "a", plan)


def test_a_folder_that_cannot_be_written_to(folder: Path, tmp_path: Path) -> None:
    plan = sampling(folder)
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        taken(tmp_path, "a", plan)
    (tmp_path / "b" / content_key(plan.identity) / "activations.npy").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*activations\.npy"):
        taken(tmp_path, "b", plan)


@pytest.mark.parametrize("call", [True, False])
def test_room_is_taken_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: bool
) -> None:
    # Else a full disk is a bus error, which ends the process.
    if not call:
        monkeypatch.delattr(os, "posix_fallocate")

    def stop(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    plan = sampling(folder, positions=64, batch=1)
    with pytest.raises(KeyboardInterrupt):
        take_samples(plan, tmp_path / "a", told=stop)
    (file,) = (tmp_path / "a").glob("*/activations.npy")
    assert file.stat().st_size > 8 * 64 * 8 * 4
    assert file.stat().st_blocks * 512 >= file.stat().st_size
    whole = taken(tmp_path, "a", plan)
    assert np.array_equal(whole.activations, taken(tmp_path, "b", plan).activations)


def test_a_disk_without_room(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OutputError, match=r"activations\.npy': No space .*; make room"):
            taken(tmp_path, "a", sampling(folder))
    assert list((tmp_path / "a").glob("*/*.npy")) == []
    assert taken(tmp_path, "a", sampling(folder)).pictures == 8


def test_photographs_have_one_or_three_channels(folder: Path, tmp_path: Path) -> None:
    plan = sampling(folder)
    spec = replace(plan.model.spec, channels=4)
    other = Model(small_net(4), spec, weights_origin="seeded")
    with pytest.raises(PictureError, match="'small' takes 4"):
        taken(tmp_path, "a", replace(plan, model=other))


# ---- attribution -------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["block", "block/2:6", "fc", "late", "branches"])
def test_attributions_are_activation_times_gradient(site: str) -> None:
    model = labelled_model()
    resolved = model.site_table().resolve(site)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0, 5], [3, 1]]) if resolved.map_size else torch.tensor([[0], [0]])
    found = attribute(model, resolved, images, places)
    assert found is not None
    first, stop = resolved.span
    base = site.partition("/")[0]
    for b in range(2):
        shown = images[b : b + 1].clone().requires_grad_()
        recorded = model.record(shown, [base, "logits"])
        for k in range(6):
            # One gradient a logit: the slow way.
            (slope,) = torch.autograd.grad(
                recorded["logits"][0, k], recorded[base], retain_graph=True, allow_unused=True
            )
            slope = torch.eye(6)[k : k + 1] if slope is None else slope
            product = (slope * recorded[base])[0, first:stop].detach().sum(0).flatten()
            for n in range(places.shape[1]):
                assert found[b, n, k].item() == pytest.approx(
                    product[places[b, n]].item(), abs=1e-5
                )


def test_the_output_speaks_for_itself() -> None:
    model = labelled_model()
    images, places = torch.rand(2, 3, 32, 32), torch.zeros(2, 1, dtype=torch.long)
    found = attribute(model, model.site_table().resolve("logits"), images, places)
    assert found is not None
    assert torch.equal(found[:, 0], model(images))
    part = attribute(model, model.site_table().resolve("logits/1:3"), images, places)
    assert part is not None
    assert torch.equal(part[:, 0, 1:3], model(images)[:, 1:3])
    assert not part[:, 0, [0, 3, 4, 5]].any()


@pytest.mark.parametrize("site", ["pair", "block.pre"])
def test_sites_that_the_logits_have_no_gradient_by(site: str) -> None:
    model = labelled_model()
    resolved = model.site_table().resolve(site)
    images = torch.rand(1, 3, 32, 32)
    assert attribute(model, resolved, images, torch.zeros(1, 1, dtype=torch.long)) is None


def test_top_classes() -> None:
    found = top_classes(np.array([0.5, 2.0, -1.0, 0.123456]), "abcd", count=3)
    assert found == [
        {"class": 1, "name": "b", "attribution": 2.0},
        {"class": 0, "name": "a", "attribution": 0.5},
        {"class": 3, "name": "d", "attribution": 0.1235},
    ]
    assert len(top_classes(np.ones(2), "ab", count=5)) == 2
