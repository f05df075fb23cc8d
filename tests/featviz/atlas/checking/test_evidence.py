"""Pictures of examples and accounts of passes, checked against the evidence that names them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import make_command
from photo_folders import write_photos

from atlases import WEIGHTS, everything
from featviz.atlas import Atlas, Store, collect_examples, keep_examples
from featviz.atlas.checking.repair import repair
from featviz.atlas.checking.verify import verify
from featviz.atlas.entries import Evidence
from featviz.atlas.examples.collecting import Examples, ExampleSettings
from featviz.atlas.layout import Layout
from featviz.atlas.neighbours.nearest import collect_neighbours, keep_neighbours
from nets import small_model


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photographs") / "photos", 8)


@pytest.fixture(scope="module")
def examples(photographs: Path) -> Examples:
    settings = ExampleSettings(top=2, bottom=1, bins=2, per_bin=1, batch=8)
    return collect_examples(small_model(), ["act"], photographs, settings=settings)


@pytest.fixture(scope="module")
def kept(photographs: Path, examples: Examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "a"
    with Store(folder) as store:
        keep_examples(store, examples)
        keep_neighbours(store, collect_neighbours(small_model(), ["act"], photographs))
    return folder


@pytest.fixture
def layout(kept: Path, tmp_path: Path) -> Layout:
    shutil.copytree(kept, tmp_path / "a")
    return Layout(tmp_path / "a")


def kinds(layout: Layout) -> dict[str, int]:
    return verify(layout.root).counts


def test_an_atlas_with_examples_and_neighbours_is_clean(layout: Layout) -> None:
    assert len(list(layout.passes.glob("*.json"))) == 2
    verify(layout.root)
    before = everything(layout.root)
    found = verify(layout.root)
    assert found.problems == ()
    pictures = [data for path, data in before.items() if "/examples/" in path]
    assert len(pictures) > 8
    assert found.bytes == sum(map(len, pictures))
    assert everything(layout.root) == before


def some(layout: Layout) -> list[Path]:
    return sorted(layout.examples.glob("*/*.webp"))


def test_pictures_that_are_gone_or_others_are_told_once(layout: Layout, examples: Examples) -> None:
    first, second, third = some(layout)[:3]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    third.write_bytes(b"")
    found = verify(layout.root)
    assert found.counts == {"example missing": 1, "example changed": 2}
    assert not found.clean
    assert {p.path for p in found.problems} == {
        str(path.relative_to(layout.root)) for path in (first, second, third)
    }
    assert all(p.said.startswith("act:") for p in found.problems)
    assert kinds_quick(layout) == {"example missing": 1, "example changed": 1}
    done = repair(layout.root)
    assert done.after.counts == {"example missing": 1, "example changed": 1}
    assert (done.forgotten, done.lost) == (0, ())
    with Store(layout.root) as store:
        keep_examples(store, examples)
    assert verify(layout.root).clean


def kinds_quick(layout: Layout) -> dict[str, int]:
    return verify(layout.root, quick=True).counts


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"{"), lambda path: path.write_bytes(b"")]
)
def test_accounts_of_passes_are_read(layout: Layout, damage: Callable[[Path], Any]) -> None:
    for path in layout.passes.glob("*.json"):
        damage(path)
    assert kinds(layout) == {"pass": 2}


def test_evidence_that_leads_elsewhere_is_told(layout: Layout, tmp_path: Path) -> None:
    with Atlas(layout.root) as atlas:
        value = atlas.evidence("small", "act", 0)["examples"]
    bad = json.loads(json.dumps(value))
    bad["maximum"]["top"][0]["picture"] = "../../secret"
    with Store(tmp_path / "b") as store:
        store.note([Evidence("small", WEIGHTS, "act", 0, "examples", bad)])
        store.note([Evidence("small", WEIGHTS, "act", 1, "examples", {**value, "pass": "../x"})])
        store.note([Evidence("small", WEIGHTS, "act", 2, "examples", "nothing")])
    found = verify(tmp_path / "b").problems
    assert [p.kind for p in found] == ["evidence"] * 3
    assert "'../../secret' is no key" in found[0].said
    assert "'../x' is no key of a pass" in found[1].said
    assert "cannot be read" in found[2].said


def test_what_a_stopped_pass_left_is_no_problem(layout: Layout) -> None:
    key = "ab" * 32
    (layout.examples / "ab").mkdir(exist_ok=True)
    left = {
        f"passes/{key}.npz": "unfinished",
        f"examples/ab/{key}.webp": "unused",
        f"passes/.{key}.npz.7.tmp": "temporary",
        f"examples/ab/.{key}.webp.7.tmp": "temporary",
        "passes/notes.txt": "foreign",
        "examples/notes.webp": "foreign",
        f"examples/ab/{key}.png": "foreign",
    }
    for name in [*left, f"passes/{key}.lock"]:
        (layout.root / name).write_bytes(b"x")
    found = verify(layout.root)
    assert found.clean
    assert {p.path: p.kind for p in found.problems} == left
    done = repair(layout.root)
    assert set(done.removed) == {name for name, kind in left.items() if kind == "temporary"}
    assert done.lost == ()


def test_the_command_names_the_command_that_helps(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    some(layout)[0].unlink()
    code, out, _ = make_command(capsys)("atlas", "verify", layout.root)
    assert code == 1
    assert "example missing: 1" in out
    assert f"next: featviz atlas examples {layout.root} --images" in out
    assert "--repair" not in out
