"""`artificial_curves`: a curve network whose every weight is known, because a formula made it.

The ground truth of the methods here: what they find in it can be compared with how it was built.
Registered with featviz under its name; torch is imported when the network is built.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from featviz.models.spec import ModelSpec, Preprocess, SiteAlias, WeightsSource, register_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from featviz.models.model import Model

_ORIGIN = "by formula, circuits/curve_kernels.py"
_SITES = ("gabors", "phases", "lines", "early_curves", "early_lines", "arcs")

Kind = Literal["line", "curve"]


def kind_of(site: str) -> Kind | None:
    """Return whether the units of a site of `artificial_curves` see lines or curves."""
    name = site.partition(".")[0].partition("/")[0]
    if name not in _SITES:
        return None
    return "curve" if name in ("early_curves", "arcs") else "line"


def orientations_deg(site: str) -> tuple[float, ...]:
    """Return the orientation each unit of a site of `artificial_curves` was built for.

    Args:
        site: One of its aliases.

    Returns:
        Degrees in channel order, conventions of curve_kernels.py; empty for another site.
    """
    from circuits.artificial.kernels import CURVE_DEG, LINE_DEG, PHASE_DEG

    if kind_of(site) is None:
        return ()
    if kind_of(site) == "curve":
        return CURVE_DEG
    return tuple(deg for deg in LINE_DEG for _ in PHASE_DEG) if site == "gabors" else LINE_DEG


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
    if model.weights_origin != _ORIGIN or kind_of(site) != kind:
        return None
    name, _, cut = site.partition("/")
    known = orientations_deg(name.removesuffix(".pre"))
    if not cut:
        return known
    first, _, stop = cut.partition(":")
    return known[int(first or 0) : int(stop) if stop else None]


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
        name="artificial_curves",
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
