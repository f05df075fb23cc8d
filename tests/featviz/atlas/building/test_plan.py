import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from atlas_builds import QUICK, small_request
from featviz.atlas.building.plan import AtlasPlan, find_sites, make_atlas_plan, read_plans
from featviz.atlas.building.request import Request
from featviz.atlas.canonical import content_key
from featviz.atlas.layout import create_layout
from featviz.errors import ConfigError, RecordError, SiteError, UnitError
from nets import small_model


def planned(request: Request | None = None, **more: Any) -> AtlasPlan:
    request = request or small_request(**more)
    return make_atlas_plan(request, request.model.load())


def test_each_unit_and_variant_is_one_job() -> None:
    plan = planned(sites=("stem", "late"), variants=("positive", "negative", "diverse:2"))
    jobs = list(plan.jobs())
    assert len(jobs) == (8 + 4) * 3
    assert len({job.key for job in jobs}) == len(jobs)
    assert {job.text for job in jobs if job.variant == "negative"} == {
        *(f"-stem:{c}" for c in range(8)), *(f"-late:{c}" for c in range(4))
    }  # fmt: skip
    assert {job.images for job in jobs if job.variant == "diverse:2"} == {2}
    assert jobs[0].image_key(1) == content_key([jobs[0].key, 1])
    # The stem is cheaper, and one image is cheaper than two.
    assert [job.site for job in jobs[:16]] == ["stem"] * 16
    costs = [part.cost * part.images for part in plan.parts]
    assert costs == sorted(costs)


def test_units_can_be_named() -> None:
    plan = planned(sites=("stem", "block"), units="0-2,5")
    assert {part.channels for part in plan.parts} == {(0, 1, 2, 5)}
    with pytest.raises(UnitError, match="late"):
        planned(sites=("stem", "late"), units="5")


def test_batches_hold_what_fits_and_stay_the_same_when_some_is_done() -> None:
    plan = planned(variants=("positive", "diverse:2"))
    sizes = [(len(batch.jobs), batch.jobs[0].images) for batch in plan.batches()]
    assert sizes == [(4, 1), (4, 1), (2, 2), (2, 2), (2, 2), (2, 2)]
    first, second, *_ = plan.batches()
    done = {first.jobs[0].key, first.jobs[2].key}
    left, same, *_ = plan.batches(done)
    assert left.jobs == (first.jobs[1], first.jobs[3])
    assert same == second
    assert sum(batch.cost for batch in first.singly()) == pytest.approx(first.cost)
    assert list(plan.batches({job.key for job in plan.jobs()})) == []


KEYS = {
    "steps": {"config": dataclasses.replace(QUICK, steps=3)},
    "seed": {"config": dataclasses.replace(QUICK, seed=1)},
    "size": {"config": dataclasses.replace(QUICK, size=48)},
    "transforms": {"config": dataclasses.replace(QUICK, transforms="none")},
    "weights": {"model": "counted_net:other_net"},
    "name": {"model": "counted_net:net"},
}


@pytest.mark.parametrize("change", KEYS)
def test_what_decides_pixels_decides_the_keys(change: str) -> None:
    before = {job.key for job in planned().jobs()}
    assert before.isdisjoint(job.key for job in planned(**KEYS[change]).jobs())


@pytest.mark.parametrize(
    "more",
    [
        {"config": dataclasses.replace(QUICK, batch=3)},
        {"kind": "png"},
        {"thumb_px": 32},
        {"sites": ("stem", "late")},
        {"variants": ("negative", "positive")},
    ],
)
def test_all_else_does_not(more: dict[str, Any]) -> None:
    before = {job.key for job in planned().jobs()}
    assert before <= {job.key for job in planned(**more).jobs()}


def test_sites_are_found_by_pattern() -> None:
    model = small_model()
    table = model.site_table().names()
    assert [site.name for site in find_sites(model, ["all"])] == table
    assert [site.name for site in find_sites(model, ["late", "stem"])] == ["stem", "late"]
    assert [site.name for site in find_sites(model, ["b*"])] == [
        name for name in table if name.startswith("b")
    ]
    with pytest.raises(SiteError, match=r"no site of .* fits 'lat\?x\*'; did you mean 'late'"):
        find_sites(model, ["lat?x*"])


def test_a_plan_reads_back_what_it_says(tmp_path: Path) -> None:
    layout = create_layout(tmp_path / "a")
    plan = planned(units="0-2,5", variants=("positive", "diverse:2"))
    plan.save(layout)
    plan.save(layout)
    assert read_plans(layout) == [plan]


@pytest.mark.parametrize(
    "damage",
    [
        lambda plan: plan["parts"][0].update(channels=[[0, 10**9]]),
        lambda plan: plan["parts"][0].update(identity="../../etc"),
        lambda plan: plan["parts"][0].update(images=0),
        lambda plan: plan.update(weights="x"),
        lambda plan: plan.update(batch=0),
        lambda plan: plan.pop("parts"),
        lambda plan: plan.update(more=1),
    ],
)
def test_an_edited_plan_is_refused(tmp_path: Path, damage: Any) -> None:
    layout = create_layout(tmp_path / "a")
    plan = planned()
    plan.save(layout)
    (path,) = layout.requests.glob("*.json")
    document = json.loads(path.read_text())
    damage(document["plan"])
    path.write_text(json.dumps(document))
    with pytest.raises(RecordError, match=r"is no request of an atlas: .*; delete it and build"):
        read_plans(layout)
    path.write_text("{")
    with pytest.raises(RecordError, match="is no request of an atlas"):
        read_plans(layout)


def test_rivals_that_would_be_measured_for_each_batch_are_refused() -> None:
    config = dataclasses.replace(QUICK, contrast="photographs")
    with pytest.raises(ConfigError, match=r"give the .npz that 'featviz contrast' makes"):
        planned(config=config)
