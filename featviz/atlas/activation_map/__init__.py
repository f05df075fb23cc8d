"""The activation atlas: average activations of a site on a 2-D map, each rendered.

    from featviz.atlas.activation_map import MapConfig, make_map

    made = make_map(featviz.load("squeezenet1_1"), "fire8", images="photographs/", folder="map/")

One file a step, in this order: sampling and attribution (what the network does at places of
photographs), projection (two coordinates each), grid (cells and their means), whitening (means to
directions), cells (render them, keep them), sheet and page (show them); making.py leads through.

References:
    Carter, Armstrong, Schubert, Johnson, Olah 2019, "Activation Atlas", Distill.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featviz.atlas.activation_map.making import ActivationMap, make_map
    from featviz.atlas.activation_map.settings import MapConfig

_HOMES = {"ActivationMap": "making", "MapConfig": "settings", "make_map": "making"}

__all__ = ["ActivationMap", "MapConfig", "make_map"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'featviz.atlas.activation_map' has no attribute {name!r}")
    home = import_module(f"featviz.atlas.activation_map.{_HOMES[name]}")
    value = globals()[name] = getattr(home, name)
    return value
