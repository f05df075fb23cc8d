"""Turned pictures of known orientation, seen by the network whose orientations are known."""

from pathlib import Path

import pytest
import torch
from torch import nn

import circuits.artificial.model  # noqa: F401 - registers the model
import featviz
from circuits import joint_tuning, stimuli
from circuits.tuning.turned_pictures import JointTuning, _turned
from featviz.errors import CircuitError, UnitError
from featviz.images import to_picture
from featviz.metrics.pictures import PictureFolder

UNITS = (0, 6, 10, 17)


@pytest.fixture
def folder(tmp_path: Path) -> PictureFolder:
    """Arcs of all orientations, each away from the middle; the same curve is there but once."""
    for k in range(24):
        radius = torch.tensor([28.0])
        canvas = torch.ones(3, 96, 96)
        arc = stimuli.arcs(
            torch.tensor([15.0 * k]), size=(64, 64), radius_px=radius, half_length_px=20.0
        )[0]
        canvas[:, 12:76, 20:84] = arc
        to_picture(canvas).save(tmp_path / f"{k:02}.png")
    return PictureFolder.open(tmp_path)


def test_offsets_are_differences_of_orientation(folder: PictureFolder) -> None:
    model = featviz.load("artificial_curves")
    found = joint_tuning(model, "arcs", UNITS, folder, top=3, angles=48, batch=20)
    assert found.response.shape == (4, 4, 48)
    truth = 15.0 * torch.tensor([[second - first for second in UNITS] for first in UNITS])
    away = ((found.offset_deg - truth + 180) % 360 - 180).abs()
    # Each unit's own preference is up to 20 degrees off (reference section 4.3).
    assert away.mean() < 15
    assert away.max() <= 40
    assert (away.diagonal() <= 7.5).all()
    # Aligned, all agree: a peak at 0, little at 180.
    assert found.aligned[:, 0] == pytest.approx(torch.ones(4))
    assert found.aligned[:, 24].max() < 0.05
    again = joint_tuning(model, "arcs", UNITS, folder, top=3, angles=48, batch=7)
    assert torch.allclose(again.response, found.response, atol=1e-2)


def test_turning_by_quarters_is_exact() -> None:
    image = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(0))
    angles = torch.tensor([0.0, 90.0, 180.0, 270.0])
    found = _turned(image, angles, center_px=(5.0, 5.0), anchor_px=(5.0, 5.0), size=(10, 10))
    for k in range(4):
        assert torch.allclose(found[k], torch.rot90(image, -k, (1, 2)), atol=1e-5)
    moved = _turned(image, angles[:1], center_px=(4.0, 6.0), anchor_px=(2.0, 2.0), size=(4, 4))
    assert torch.allclose(moved[0], image[:, 2:6, 4:8], atol=1e-5)


def test_a_unit_that_sees_nothing_has_no_tuning(folder: PictureFolder) -> None:
    conv = nn.Conv2d(3, 2, 3)
    nn.init.constant_(conv.weight, -1.0)
    network = nn.Sequential(conv, nn.ReLU())
    nn.init.zeros_(conv.bias)
    found = joint_tuning(featviz.load(network, size=32), "1", (0, 1), folder, top=2, angles=4)
    assert found.response.abs().max() == 0
    assert found.aligned.abs().max() == 0
    assert found.offset_deg.isnan().all()


def test_only_a_pair_that_never_responds_has_no_offset() -> None:
    response = torch.rand(2, 2, 4, generator=torch.Generator().manual_seed(0))
    response[0, 1] = 0
    response[1, 0, 3] = 9
    found = JointTuning("a", (0, 1), torch.arange(4) * 90.0, response, 1).offset_deg
    assert found[1, 0] == 270
    assert found.isnan().tolist() == [[False, True], [False, False]]


def test_bad_input(folder: PictureFolder) -> None:
    model = featviz.load("artificial_curves")
    with pytest.raises(CircuitError, match="got 0, 32, 36"):
        joint_tuning(model, "arcs", UNITS, folder, top=0)
    with pytest.raises(CircuitError, match="joint tuning needs one unit at least"):
        joint_tuning(model, "arcs", (), folder)
    with pytest.raises(UnitError, match="channel 24 is out of range: 'arcs' has 24 channels"):
        joint_tuning(model, "arcs", (24,), folder)
    flat = featviz.load(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), size=8)
    with pytest.raises(CircuitError, match="no place to turn a picture about; choose an earlier"):
        joint_tuning(flat, "logits", (0,), folder)


def test_offsets_have_the_sign_of_clockwise() -> None:
    # A clockwise turn of 90 degrees takes `)` to a smile, 0 to 90.
    image = stimuli.arcs(torch.tensor([0.0, 90.0]), size=(32, 32), radius_px=9.0)
    turned = _turned(
        image[0],
        torch.tensor([90.0]),
        center_px=(16.0, 16.0),
        anchor_px=(16.0, 16.0),
        size=(32, 32),
    )
    assert torch.allclose(turned[0], image[1], atol=1e-3)
    assert (image[0] - image[1]).abs().max() > 0.5


def test_the_name_is_the_function_whatever_was_imported_before() -> None:
    import circuits
    import circuits.tuning.turned_pictures

    assert callable(circuits.joint_tuning)
    assert circuits.joint_tuning is circuits.tuning.turned_pictures.joint_tuning
