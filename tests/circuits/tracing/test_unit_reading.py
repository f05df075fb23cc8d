import numpy as np
import pytest
import torch
from torch import Tensor

from circuits.tracing.unit_reading import (
    as_channel,
    as_channels,
    check_channel,
    places_of,
    pre_site,
    read_at,
    read_unit,
)
from featviz.errors import CircuitError, UnitError
from featviz.models import load
from nets import small_net


def test_vectors_and_maps_are_read_alike() -> None:
    maps = torch.arange(2 * 3 * 2 * 4, dtype=torch.float32).view(2, 3, 2, 4)
    maps[1, 2, 0, 1] = 99
    assert read_unit(maps, 2, "peak").tolist() == [23, 99]
    assert read_unit(maps, 2, "center").tolist() == [22, 46]
    assert read_unit(maps, 2, (1, 0)).tolist() == [20, 44]
    assert read_unit(maps, 0, "sum").tolist() == [28, 220]
    places = places_of(maps, 2, "peak")
    assert places is not None
    assert places.tolist() == [7, 1]
    assert read_at(maps, 0, places).tolist() == [7, 25]
    vector: Tensor = maps[:, :, 0, 0]
    for where in ("peak", "center", "sum", (0, 0)):
        assert torch.equal(read_unit(vector, 1, where), vector[:, 1])
    with pytest.raises(CircuitError, match="position 0,1 is outside of the map of 1x1"):
        read_unit(vector, 1, (0, 1))


@pytest.mark.parametrize(
    "given",
    [[0, 5], (0, 5), range(0, 6, 5), np.array([0, 5]), torch.tensor([0, 5]), [np.int8(0), 5]],
)
def test_any_whole_numbers_are_channels(given: object) -> None:
    found = as_channels(given)
    assert found == (0, 5)
    assert all(type(channel) is int for channel in found)


@pytest.mark.parametrize("given", [True, np.True_, torch.tensor(True), 1.0, "1", None, [1]])
def test_what_is_no_whole_number_is_told(given: object) -> None:
    with pytest.raises(CircuitError, match="a channel must be a whole number, got"):
        as_channel(given)
    with pytest.raises(CircuitError, match="a channel must be a whole number, got"):
        as_channels([0, given])
    for wrong, said in (("05", "got '05'"), (7, "got 7"), (torch.zeros(2, 2), r"shape \(2, 2\)")):
        with pytest.raises(CircuitError, match=f"channels must be a sequence.*{said}"):
            as_channels(wrong)


def test_channels_out_of_range_and_pre_activations() -> None:
    with pytest.raises(UnitError, match="channel 3 is out of range: there are 3 channels, 0 to 2"):
        check_channel(torch.zeros(1, 3), 3)
    model = load(small_net(), size=32)
    names = model.site_table().names()
    found = {name: pre_site(model, name) for name in names}
    assert any(pre.endswith(".pre") for pre in found.values())
    for name, pre in found.items():
        assert pre == (f"{name}.pre" if model.site_table().resolve(name).has_pre else name)
