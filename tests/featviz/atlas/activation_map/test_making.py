"""From photographs to the folder of a map, in Python and on the command line."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_pictures import LABELS, labelled_model, write_pictures
from commands import FACTORY, make_command
from PIL import Image
from typecheck import unchecked

from featviz.atlas import Atlas
from featviz.atlas.activation_map import ActivationMap, MapConfig, cells, make_map
from featviz.atlas.activation_map.cells import plan_cells
from featviz.atlas.activation_map.settings import TRANSFORMS
from featviz.atlas.checking.repair import repair
from featviz.atlas.layout import Layout
from featviz.atlas.lock_files import locked
from featviz.errors import ConfigError, OutputError, PictureError, RecordError, SiteError
from featviz.rendering import render
from featviz.result import RenderResult
from featviz.transforms import parse_transforms

QUICK = MapConfig(
    grids=(2,), positions=6, min_points=2, layout="pca", steps=2, size=32, precision="float32"
)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photographs")


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells each call of the engine got."""
    counts: list[int] = []

    def counted(model: object, objectives: list[object], **options: object) -> object:
        counts.append(len(objectives))
        return render(model, objectives, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "render", counted)
    return counts


def test_a_map_has_a_picture_of_each_cell(photographs: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    made = make_map(
        labelled_model(),
        "block",
        images=photographs,
        folder=tmp_path / "map",
        config=replace(QUICK, grids=(2, 3)),
        told=lambda *what: heard.append(what),
    )
    about = json.loads((tmp_path / "map" / "map.json").read_text())
    assert made.document == about
    assert made.failed == 0
    assert about["samples"] == 48
    assert about["photographs"] == {"read": 8, "skipped": {}}
    assert [grid["side"] for grid in about["grids"]] == [2, 3]
    with Atlas(tmp_path / "map" / "cells") as atlas:
        for grid in about["grids"]:
            sheet = Image.open(tmp_path / "map" / grid["sheet"])
            assert sheet.size == (grid["side"] * 32,) * 2
            pixels = np.asarray(sheet.convert("RGBA"))
            assert grid["in_cells"] == sum(cell["count"] for cell in grid["cells"]) <= 48
            for cell in grid["cells"]:
                assert cell["count"] >= 2
                entry = atlas.image(cell["key"])
                assert entry.score == cell["score"]
                assert (entry.site, entry.channel, entry.variant) == ("block", None, "map")
                record = atlas.record(entry)
                assert record["request"]["objectives"] == [record["image"]["objective"]]
                assert "cosine" in record["image"]["objective"]
                mine = np.asarray(Image.open(atlas.image_path(entry)).convert("RGB"), float)
                y, x = cell["row"] * 32, cell["column"] * 32
                there = pixels[y : y + 32, x : x + 32].astype(float)
                assert (there[..., 3] == 255).mean() > 0.95
                assert np.abs(there[..., :3] - mine).mean() < 30  # WebP, of noise
                names = [each["name"] for each in cell["classes"]]
                assert len(names) == 5
                assert set(names) <= set(LABELS)
    assert heard[0] == ("photographs", 0, 8)
    assert ("layout", 1, 1) in heard
    assert heard[-1][0] == "cells"
    assert heard[-1][1] == heard[-1][2]


def test_means_and_classes_are_those_of_the_samples(photographs: Path, tmp_path: Path) -> None:
    made = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "map",
        config=replace(QUICK, grids=(1,)),
    )  # fmt: skip
    (kept,) = (tmp_path / "map" / "samples").glob("*/attributions.npy")
    mean = np.load(kept).mean(0)
    (cell,) = made.document["grids"][0]["cells"]
    assert cell["count"] == 48
    best = np.argsort(-mean)[:5].tolist()
    assert [each["class"] for each in cell["classes"]] == best
    assert cell["classes"][0]["attribution"] == pytest.approx(mean[best[0]], rel=1e-3)


def test_nothing_is_done_twice(photographs: Path, tmp_path: Path, rendered: list[int]) -> None:
    again = [
        make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "map", config=c)
        for c in (QUICK, replace(QUICK, batch=1), QUICK)
    ]
    first = sum(rendered)
    assert first == len(again[0].document["grids"][0]["cells"])
    assert again[0].document == again[2].document
    files = [(tmp_path / "map" / name).read_bytes() for name in ("map.json", "grid-2.webp")]
    other = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "map",
        config=replace(QUICK, grids=(1, 2)),
    )  # fmt: skip
    assert sum(rendered) == first + 1
    assert other.document["grids"][1] == again[0].document["grids"][0]
    make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "b", config=QUICK)
    assert [(tmp_path / "b" / name).read_bytes() for name in ("map.json", "grid-2.webp")] == files


def test_a_photograph_replaced_by_one_of_its_size_is_read_anew(
    tmp_path: Path,
) -> None:
    (tmp_path / "photographs").mkdir()
    drawn = np.random.default_rng(0)
    for k in range(4):  # without compression, so that all are of one size
        pixels = drawn.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photographs" / f"{k}.bmp")

    def samples() -> int:
        make_map(
            labelled_model(), "block", images=tmp_path / "photographs", folder=tmp_path / "map",
            config=replace(QUICK, grids=(1,)),
        )  # fmt: skip
        return len(list((tmp_path / "map" / "samples").glob("*/samples.json")))

    assert [samples(), samples()] == [1, 1]
    replaced = tmp_path / "photographs" / "1.bmp"
    before = replaced.stat()
    replaced.write_bytes((tmp_path / "photographs" / "2.bmp").read_bytes())
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    assert replaced.stat().st_size == before.st_size
    assert samples() == 2


def test_an_interrupt_keeps_what_is_finished(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: list[int]
) -> None:
    whole = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "a",
        config=replace(QUICK, batch=1),
    )  # fmt: skip
    count = sum(rendered)
    counted, left = cells.render, [2]

    def stops(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return counted(*arguments, **options)  # type: ignore[arg-type]

    rendered.clear()
    monkeypatch.setattr(cells, "render", stops)
    config = replace(QUICK, batch=1)
    with pytest.raises(KeyboardInterrupt):
        make_map(
            labelled_model(), "block", images=photographs, folder=tmp_path / "b", config=config
        )
    assert sum(rendered) == 2
    left[0] = 99
    made = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "b", config=config
    )
    assert sum(rendered) == count
    assert made.document == whole.document


def test_a_partly_rendered_batch_is_not_kept(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*arguments: object, **options: object) -> object:
        return replace(render(*arguments, **options), interrupted=True)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "render", broken_off)
    with pytest.raises(KeyboardInterrupt):
        make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK)
    with Atlas(tmp_path / "a" / "cells") as atlas:
        assert atlas.keys() == set()


def test_a_cell_that_is_not_finite_is_left_empty_and_tried_again(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(*arguments: object, **options: object) -> object:
        result = render(*arguments, **options)  # type: ignore[arg-type]
        failed = result.failed.clone()
        failed[0] = True
        return replace(result, failed=failed)

    monkeypatch.setattr(cells, "render", one_fails)
    made = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK
    )
    assert made.failed == 1
    first = made.document["grids"][0]["cells"][0]
    assert (first["shown"], first["score"]) == (False, None)
    with Atlas(tmp_path / "a" / "cells") as atlas:
        assert [failure.error for failure in atlas.failures()] == ["its pictures are not finite"]
    monkeypatch.setattr(cells, "render", render)
    again = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK
    )
    assert again.failed == 0
    with Atlas(tmp_path / "a" / "cells") as atlas:
        assert atlas.failures() == []


def test_the_best_of_several_tries_is_kept(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[RenderResult] = []

    def kept(*arguments: object, **options: object) -> RenderResult:
        results.append(render(*arguments, **options))  # type: ignore[arg-type]
        return results[-1]

    monkeypatch.setattr(cells, "render", kept)
    config = replace(QUICK, tries=3, grids=(1,))
    made = make_map(
        labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=config
    )
    (cell,) = made.document["grids"][0]["cells"]
    (result,) = results
    assert len(set(result.score.tolist())) == 3
    best = int(result.score.argmax())
    with Atlas(tmp_path / "a" / "cells") as atlas:
        entry = atlas.image(cell["key"])
        shown = Image.open(atlas.image_path(entry)).convert("RGB")
    assert entry.score == cell["score"] == float(result.score[best])
    assert np.array_equal(np.asarray(shown), np.asarray(result.pictures()[best].convert("RGB")))


def test_sites_without_a_map_and_models_without_names(photographs: Path, tmp_path: Path) -> None:
    model = labelled_model()
    config = replace(QUICK, positions=1, grids=(1,), boundary=0)
    made = make_map(model, "fc", images=photographs, folder=tmp_path / "a", config=config)
    assert made.document["grids"][0]["cells"][0]["classes"] is not None
    plain = replace(model.spec, labels=None)
    bare = type(model)(model.module, plain, weights_origin="seeded")
    other = make_map(bare, "block", images=photographs, folder=tmp_path / "b", config=QUICK)
    assert other.document["grids"][0]["cells"][0]["classes"] is None
    assert "names when near" not in other.page.read_text()
    without = make_map(
        model, "block", images=photographs, folder=tmp_path / "c",
        config=replace(QUICK, classes=False),
    )  # fmt: skip
    assert without.document["grids"][0]["cells"][0]["classes"] is None


def test_a_site_that_is_silent_shows_nothing(photographs: Path, tmp_path: Path) -> None:
    model = labelled_model()
    with torch.no_grad():
        model.module.late.weight.zero_()
        model.module.stem.weight.zero_()
        model.module.norm.weight.zero_()
        model.module.norm.bias.fill_(-1)
    made = make_map(model, "act", images=photographs, folder=tmp_path / "a", config=QUICK)
    grid = made.document["grids"][0]
    assert len(grid["cells"]) == 1  # all activations are the same, so they lie in one place
    assert grid["cells"][0]["key"] is None
    assert made.failed == 1


# ---- settings ----------------------------------------------------------------------------------


def test_keys_tell_apart_what_decides_the_pixels() -> None:
    model = labelled_model()
    site = model.site_table().resolve("block")
    vectors = np.eye(8, dtype=np.float32)[:2]

    def key(config: MapConfig = QUICK, which: int = 0, where: str = "block") -> str:
        at = model.site_table().resolve(where)
        return plan_cells(model, at, vectors[which : which + 1], config)[0].key

    same = [key(), key(replace(QUICK, batch=2)), key(replace(QUICK, grids=(9,), samples=5))]
    assert len(set(same)) == 1
    changes = [
        {"steps": 3}, {"size": 40}, {"seed": 1}, {"cosine_power": 1.0}, {"boundary": 1.0},
        {"tries": 2}, {"learning_rate": 0.1}, {"precision": "bf16"},
    ]  # fmt: skip
    others = [key(replace(QUICK, **change)) for change in changes]  # type: ignore[arg-type]
    others += [key(which=1), key(where="stem")]
    assert len({same[0], *others}) == 11
    with torch.no_grad():
        model.module.fc.bias += 1
    assert plan_cells(model, site, vectors[:1], QUICK)[0].key != same[0]


def test_transforms_are_those_of_the_atlas() -> None:
    parts = parse_transforms(TRANSFORMS)
    assert parts.text == TRANSFORMS
    scales = [float(s) for s in TRANSFORMS.partition("scale:")[2].partition(",")[0].split("/")]
    assert scales == pytest.approx([0.998**n for n in range(20, 40)], abs=1e-4)
    turns = TRANSFORMS.partition("rotate:")[2].partition(",")[0].split("/")
    assert len(turns) == 40 + 20 + 10 + 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grids": ()}, "grids must be one number or several"),
        ({"grids": (2, 2)}, "none twice"),
        ({"grids": (0,)}, "grids must be a whole number, 1 or more, got 0"),
        ({"min_points": 0}, "min_points must be a whole number, 1 or more"),
        ({"positions": 1.5}, "positions must be a whole number"),
        ({"samples": 0}, "samples must be a whole number"),
        ({"seed": 2**64}, "seed must be at most"),
        ({"batch": 0}, "batch must be a whole number"),
        ({"whitening": 0}, "whitening must be a number above 0, got 0"),
        ({"whitening": float("nan")}, "whitening must be a number above 0, got nan"),
        ({"boundary": -1}, "boundary must be a number of 0 or more, got -1"),
        ({"cosine_power": True}, "cosine_power must be a number of 0 or more, got True"),
        ({"layout": "som"}, "layout must be one of umap, tsne, pca, got 'som'"),
        ({"grids": (200,), "size": 96}, "200 cells of 96 px make a sheet of 19200 px"),
    ],
)
def test_settings_out_of_range(change: dict[str, object], said: str) -> None:
    with unchecked(), pytest.raises(ConfigError, match=said):
        MapConfig(**change)  # type: ignore[arg-type]


# ---- bad input ---------------------------------------------------------------------------------


def test_what_cannot_work_is_refused_before_anything_is_made(
    photographs: Path, tmp_path: Path
) -> None:
    model, folder = labelled_model(), tmp_path / "map"

    def make(site: str = "block", images: Path = photographs, **changes: object) -> None:
        config = replace(QUICK, **changes)  # type: ignore[arg-type]
        make_map(model, site, images=images, folder=folder, config=config)

    with pytest.raises(SiteError, match="unknown site 'blok'"):
        make("blok")
    with pytest.raises(PictureError, match="there is no folder"):
        make(images=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="8 photographs with 1 positions each make 8 samples"):
        make(positions=1, min_points=9)
    with pytest.raises(ConfigError, match="65 positions of each photograph"):
        make(positions=65)
    with pytest.raises(Exception, match="cannot run on a 3x2x2 image"):
        make("late", positions=1, size=2)
    assert not folder.exists()


def test_too_fine_a_grid(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of 9x9 cells holds 40 of 48 samples"):
        make_map(
            labelled_model(), "block", images=photographs, folder=tmp_path / "a",
            config=replace(QUICK, grids=(9,), min_points=40),
        )  # fmt: skip


def test_two_runs_in_one_folder(photographs: Path, tmp_path: Path) -> None:
    def second(what: str, done: int, total: int) -> None:
        del what, done, total
        make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK)

    with pytest.raises(OutputError, match="another run is making a map"):
        make_map(
            labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK,
            told=second,
        )  # fmt: skip


def test_a_lock_that_is_a_link_is_not_followed(photographs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "map.lock").symlink_to(outside)
    with pytest.raises(OutputError, match=r"cannot lock .*map.lock.*; remove it if it is a link"):
        make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK)
    assert outside.read_text() == "mine"


def test_nobody_repairs_the_pictures_while_they_are_made(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def repaired_meanwhile(*arguments: object, **options: object) -> object:
        with pytest.raises(OutputError, match=r"somebody is building .*, so nothing was changed"):
            repair(tmp_path / "a" / "cells")
        tried.append("repair")
        return render(*arguments, **options)  # type: ignore[arg-type]

    def make() -> ActivationMap:
        return make_map(
            labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK
        )

    with monkeypatch.context() as patch:
        patch.setattr(cells, "render", repaired_meanwhile)
        make()
    assert tried
    layout = Layout(tmp_path / "a" / "cells")
    with locked(layout.build_lock), pytest.raises(OutputError, match="somebody else is at work"):
        make()
    layout.build_lock.unlink()
    layout.build_lock.mkdir()
    with pytest.raises(OutputError, match=r"cannot lock .*build\.lock': Is a directory"):
        make()


def test_a_folder_of_something_else_is_not_written_into(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "a" / "cells").mkdir(parents=True)
    (tmp_path / "a" / "cells" / "letter.txt").write_text("dear")
    with pytest.raises((OutputError, RecordError), match="neither empty nor an atlas"):
        make_map(labelled_model(), "block", images=photographs, folder=tmp_path / "a", config=QUICK)


# ---- the command -------------------------------------------------------------------------------


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    return make_command(capsys)  # type: ignore[no-any-return]


SMALL = [
    "--positions", "6", "--min-points", "2", "--grid", "2", "--layout", "pca", "--steps", "2",
    "--size", "32", "--input-size", "32",
]  # fmt: skip


def map_words(photographs: Path, tmp_path: Path) -> list[str | Path]:
    return ["atlas", "map", FACTORY, "block", "--images", photographs, "-o", tmp_path / "m", *SMALL]


def test_the_command(
    command: Callable[..., tuple[int, str, str]], photographs: Path, tmp_path: Path
) -> None:
    words = map_words(photographs, tmp_path)
    code, out, err = command(*words, "--json")
    assert (code, err) == (0, ""), err
    about = json.loads(out)
    assert about["samples"] == 48
    assert Path(about["page"]).is_file()
    assert Path(about["grids"][0]["sheet"]).is_file()
    (photographs / "9.png").write_bytes(b"broken")
    code, out, err = command(*words)
    assert code == 0
    assert "48 activations of 8 photographs, laid out by pca" in out
    assert "could not read 9.png" in err
    code, out, err = command(*words, "--min-points", "40", "--json")
    assert code == 2
    assert "none of 2x2 cells holds 40" in json.loads(out)["error"]
    code, _, err = command(*words, "--grid", "0")
    assert code == 2
    code, _, err = command(*words[:4], "--images", tmp_path / "none", "-o", tmp_path / "m")
    assert code == 2
    assert "there is no folder" in err


def test_programs_are_told_how_far_it_is(
    command: Callable[..., tuple[int, str, str]], photographs: Path, tmp_path: Path
) -> None:
    words = map_words(photographs, tmp_path)
    code, out, err = command(*words, "--progress", "json")
    assert (code, err) == (0, ""), err
    *lines, end = [json.loads(line) for line in out.splitlines()]
    assert {line["event"] for line in lines} == {"progress"}
    last = {line["what"]: (line["done"], line["total"]) for line in lines}
    assert list(last) == ["photographs", "layout", "cells"]
    assert last == {
        "photographs": (8, 8),
        "layout": (1, 1),
        "cells": (end["grids"][0]["cells"],) * 2,
    }
    assert (end["event"], end["samples"]) == ("end", 48)


def test_cells_without_a_picture_are_code_3(
    command: Callable[..., tuple[int, str, str]],
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_fails(*arguments: object, **options: object) -> object:
        result = render(*arguments, **options)  # type: ignore[arg-type]
        return replace(result, failed=torch.arange(len(result)) == 0)

    monkeypatch.setattr(cells, "render", one_fails)
    code, _, err = command(
        "atlas", "map", FACTORY, "block", "--images", photographs, "-o", tmp_path / "m", *SMALL
    )
    assert code == 3
    assert "1 cells have no picture" in err
