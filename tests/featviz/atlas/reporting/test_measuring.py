from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from commands import make_command
from safetensors.torch import save_file

from featviz.atlas import Atlas, ImageEntry
from featviz.atlas.reporting.measuring import measure_self
from featviz.errors import PictureError, RecordError, WeightsError
from featviz.images import to_picture
from featviz.metrics import PictureFolder, read_picture
from featviz.models.model import Model
from featviz.rendering import render
from nets import small_model, small_net
from rendered_atlases import keep

QUICK = {"steps": 2, "size": 36, "precision": "float32", "progress": False}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    generator = torch.Generator().manual_seed(5)
    for k in range(5):
        to_picture(torch.rand(3, 40, 48, generator=generator)).save(folder / f"{k}.png")
    return folder


def named_model(**more: object) -> Model:
    model = small_model(**more)
    model.arguments = ("small",)
    return model


def measured(root: Path) -> dict[str, dict[str, float]]:
    with Atlas(root) as atlas:
        return {
            entry.label: {
                name: value
                for name, value in atlas.measured(entry.key).items()
                if name.startswith("self")
            }
            for entry in atlas.images(atlas.models()[0])
        }


@pytest.mark.parametrize("alpha", [None, 1.0])
def test_ranks_are_those_of_counting_everything(
    tmp_path: Path, photographs: Path, alpha: float | None
) -> None:
    model = named_model()
    root = tmp_path / "a"
    results = [
        render(model, f"{site}:0-3", alpha=alpha, **QUICK) for site in ("late", "branches", "block")
    ]
    for result in results:
        keep(root, result)
    folder = PictureFolder.open(photographs)
    moments: list[tuple[int, ...]] = []
    done = measure_self(
        root, folder, load_recorded=lambda _: named_model(), progress=lambda *n: moments.append(n)
    )
    assert done == 12
    assert moments[-1] == (12, 12)
    found = measured(root)
    shown = torch.stack([read_picture(file, (32, 32)) for file in folder.files])
    for result in results:
        for label, image in zip(result.labels, result.seen(), strict=True):
            site, _, channel = label.rpartition(":")
            natural = model.record(shown, [site])[site].double().mean((2, 3))
            # As the file rounds it; a transparent one before grey, which it does not hold.
            own = model.record(image[None], [site])[site].double().mean((2, 3))
            z = ((own[0] - natural.mean(0)) / natural.std(0)).tolist()
            mine = z[int(channel)]
            if mine != mine or abs(mine) == float("inf"):
                assert found[label] == {"self_photographs": 5.0}
                continue
            assert found[label]["self_rank"] == 1 + sum(other > mine + 0.05 for other in z)
            assert found[label]["self_z"] == pytest.approx(mine, abs=0.05)
    # What is there already is not measured again.
    assert measure_self(root, folder, load_recorded=lambda _: pytest.fail("loaded")) == 0


def test_photographs_that_cannot_be_read_are_left_out_and_told(
    tmp_path: Path, photographs: Path
) -> None:
    model, root = named_model(), tmp_path / "a"
    keep(root, render(model, "late:0-3", **QUICK))
    whole = (photographs / "0.png").read_bytes()
    (photographs / "broken.png").write_bytes(whole[: len(whole) // 2])
    (photographs / "text.jpg").write_text("no picture")
    folder, told = PictureFolder.open(photographs), []
    done = measure_self(
        root,
        folder,
        load_recorded=lambda _: named_model(),
        skipped=lambda file, error: told.append((file.name, str(error))),
    )
    assert done == 4
    assert [name for name, _ in told] == ["broken.png", "text.jpg"]
    assert all(name in said for name, said in told)
    assert {each["self_photographs"] for each in measured(root).values()} == {5.0}
    for k in range(4):
        (photographs / f"{k}.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"of 7 pictures in .* 1 can be read; give a folder"):
        folder.readable()


def test_what_silences_its_unit_is_left_out_and_what_was_cut_short_goes_on(
    tmp_path: Path, photographs: Path
) -> None:
    root, folder = tmp_path / "a", PictureFolder.open(photographs)
    model = named_model()
    keep(root, render(model, "late:0-1", **QUICK))
    keep(root, render(model, "-late:3", **QUICK), variant="negative")
    keep(root, render(model, "block:0-1", **QUICK))

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_self(root, folder, load_recorded=lambda _: named_model(), progress=stop)
    assert sum(bool(each) for each in measured(root).values()) == 2
    assert measure_self(root, folder, load_recorded=lambda _: named_model()) == 2
    assert [label for label, each in measured(root).items() if not each] == ["-late:3"]


@pytest.mark.parametrize("channels", [1, 2])
def test_grey_pictures_and_other_channels(tmp_path: Path, photographs: Path, channels: int) -> None:
    model = named_model(channels=channels)
    keep(tmp_path / "a", render(model, "late:0-1", **QUICK), kind="webp")

    def measure() -> int:
        return measure_self(
            tmp_path / "a", PictureFolder.open(photographs), load_recorded=lambda _: model
        )

    if channels == 1:
        assert measure() == 2
    else:
        with pytest.raises(PictureError, match="pictures have 3 channels, or 1 if grey"):
            measure()


def test_images_of_two_weights_are_each_measured_with_their_own(
    tmp_path: Path, photographs: Path
) -> None:
    folder = PictureFolder.open(photographs)
    # Two networks of one name; their words, as their files of weights would, tell them apart.
    models = {str(seed): named_model(seed=seed) for seed in (0, 1)}
    alone: dict[str, dict[str, float]] = {}
    for seed, model in models.items():
        model.arguments = (seed,)
        for site in ("late", "block"):
            result = render(model, f"{site}:{seed}", **QUICK)
            for root in (tmp_path / "both", tmp_path / seed):
                keep(root, result)
        measure_self(tmp_path / seed, folder, load_recorded=lambda words: models[words[0]])
        alone |= measured(tmp_path / seed)
    loaded: list[str] = []

    def load(words: Sequence[str]) -> Model:
        loaded.append(words[0])
        return models[words[0]]

    assert measure_self(tmp_path / "both", folder, load_recorded=load) == 4
    assert sorted(loaded) == ["0", "1"]
    assert measured(tmp_path / "both") == alone
    # Each is checked, not the first alone.
    for site in ("late", "block"):
        for seed, model in models.items():
            keep(tmp_path / "c", render(model, f"{site}:{seed}", **QUICK))
    with pytest.raises(WeightsError, match="'small' has other weights"):
        measure_self(tmp_path / "c", folder, load_recorded=lambda _: models["0"])


def test_refusals(tmp_path: Path, photographs: Path) -> None:
    folder = PictureFolder.open(photographs)
    keep(tmp_path / "a", render(named_model(), "late:0", **QUICK))
    with pytest.raises(WeightsError, match="'small' has other weights"):
        measure_self(tmp_path / "a", folder, load_recorded=lambda _: named_model(seed=1))
    keep(tmp_path / "b", render(small_model(), "late:0", **QUICK))  # it has no arguments
    with pytest.raises(RecordError, match="no record of 'small' says how to load it"):
        measure_self(tmp_path / "b", folder, load_recorded=lambda _: named_model())


@pytest.mark.usefixtures("photographs")
def test_the_command_measures_and_keeps(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(small_net().state_dict(), tmp_path / "w.safetensors")
    from featviz.cli.loading import load_recorded

    words = ["nets:SmallNet", "--weights", "w.safetensors", "--mean", "0,0,0"]
    words += ["--std", "1,1,1", "--input-size", "32", "--channels", "3"]
    model = load_recorded(words, allow_factory=True)
    keep(tmp_path / "a", render(model, "late:0-1", **QUICK))
    command = make_command(capsys)
    call = ("atlas", "report", "a", "-o", "r.html", "--images", "photographs", "--device", "cpu")
    code, _, err = command(*call)
    assert code == 2
    assert "whose code would run; if you trust it, add --allow-factory" in err
    code, out, _ = command(*call, "--allow-factory")
    assert (code, out) == (0, "2 images, 0 dead, 0 failures: r.html\n")
    assert "over 5 photographs" in Path("r.html").read_text()
    entry: ImageEntry
    with Atlas("a") as atlas:
        (entry, _) = atlas.images("nets:SmallNet", sort="self_z")
        assert "self_rank" in atlas.measured(entry.key)
