"""`artificial_curves`: a curve network whose every weight is known, because a formula made it.

The ground truth of the methods here: what they find in it can be compared with how it was built.
Registered with featviz under its name; torch is imported when the network is built.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from featviz.models.model import Model

_NAME = "artificial_curves"
_ORIGIN = "by formula"
_SITES = ("gabors", "phases", "lines", "early_curves", "early_lines", "arcs")

Kind = Literal["line", "curve"]
T = TypeVar("T")


def kind_of(site: str) -> Kind | None:
    """Return whether the units of a site of `artificial_curves` see lines or curves."""
    name = _layer_of(site)
    if name not in _SITES:
        return None
    return "curve" if name in ("early_curves", "arcs") else "line"


def _layer_of(site: str) -> str:
    """Return the layer that a site lies in: `gabors` of `gabors.conv/0:8`."""
    return site.partition(".")[0].partition("/")[0]


def orientations_deg(site: str) -> tuple[float, ...]:
    """Return the orientation each unit of a site of `artificial_curves` was built for.

    Args:
        site: One of its aliases, or a module inside one; a slice counts as the whole.

    Returns:
        Degrees in channel order, conventions of kernels.py; empty for another site.
    """
    from circuits.artificial.kernels import CURVE_DEG, LINE_DEG, PHASE_DEG

    if kind_of(site) is None:
        return ()
    if kind_of(site) == "curve":
        return CURVE_DEG
    if _layer_of(site) == "gabors":
        return tuple(deg for deg in LINE_DEG for _ in PHASE_DEG)
    return LINE_DEG


def known_orientations_deg(model: "Model", site: str, kind: Kind) -> tuple[float, ...] | None:
    """Return the true orientations of a site's units for stimuli of one kind, if they are known.

    Args:
        model: Any model.
        site: Name of one of its sites.
        kind: What the stimuli are.

    Returns:
        Degrees in channel order; None for every model but `artificial_curves` with the weights of
        the formula, for other sites, and for stimuli of the other kind.
    """
    by_formula = model.spec.name == _NAME and model.weights_origin == _ORIGIN
    if not by_formula or kind_of(site) != kind:
        return None
    return of_channels(orientations_deg(site), site)


def of_channels(whole: tuple[T, ...], site: str) -> tuple[T, ...]:
    """Return what belongs to the channels of a site, which may be a slice: `arcs/4:8`.

    Args:
        whole: One item for each channel of the whole site.
        site: Its name.
    """
    _, _, cut = site.partition("/")
    first, _, stop = cut.partition(":")
    return whole[int(first or 0) : int(stop) if stop else None]


def _unit_labels() -> dict[str, tuple[str, ...]]:
    labels = {name: tuple(f"{deg:g}°" for deg in orientations_deg(name)) for name in _SITES}
    from circuits.artificial.kernels import LINE_DEG, PHASE_DEG

    gabors = (f"{deg:g}° phase {phase:g}°" for deg in LINE_DEG for phase in PHASE_DEG)
    return {**labels, "gabors": tuple(gabors)}


def _build() -> "nn.Module":
    from circuits.artificial.network import ArtificialCurves
    from featviz.models.weights import seeded_init

    with seeded_init():
        return ArtificialCurves()


def _load(path: Path | None) -> "dict[str, Tensor]":
    from circuits.artificial.network import formula_weights
    from featviz.models.weights import read_state_dict

    return formula_weights() if path is None else read_state_dict(path)


def _locate() -> Path:
    return Path(__file__).with_name("kernels.py")


ARTIFICIAL_CURVES = register_model(
    ModelSpec(
        name=_NAME,
        build=_build,
        # White paper is 0 and ink is negative, as the formulas take it.
        preprocess=Preprocess(mean=(1.0,)),
        size=(96, 96),
        sites=tuple(SiteAlias(name, (name,)) for name in _SITES),
        unit_labels=_unit_labels,
        weights=WeightsSource(
            origin=_ORIGIN,
            licence="Apache-2.0",
            locate=_locate,
            load=_load,
        ),
        summary="curve detectors wired by hand from a formula, ground truth for circuits",
    )
)
