"""Measure how units respond to stimuli of every orientation.

    model = featviz.load("squeezenet1_1")
    curves = measure_tuning(model, "fire4", stimulus="curve")
    max(curves, key=lambda curve: curve.selectivity)

stimuli draws, the network answers up to the deepest site, curve.py describes the answers.
All channels of all sites come from one pass; the pictures exist one batch at a time.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from circuits import stimuli
from circuits.artificial.model import Kind, known_orientations_deg, of_channels
from circuits.tuning.curve import TuningCurve
from circuits.tuning.stimulus_scale import middle, middle_size, scale_of
from featviz.borrowing import own_settings
from featviz.errors import CircuitError, UnitError, did_you_mean
from featviz.models.model import Model

__all__ = [
    "TuningConfig",
    "TuningCurve",
    "grid_for",
    "measure_responses",
    "measure_tuning",
    "read_map",
    "tuning_curves",
]

REGIONS = ("center", "map", "mean")
"""Where a map is read: largest of its 3x3 middle positions, or of all, or the mean of all."""

MAX_SIDE = 4096
"""Largest side of stimuli, px."""

# What the artificial network's curves and lines were built for.
_KINDS: dict[str, Kind] = {
    "curve": "curve",
    "circle": "curve",
    "angle": "curve",
    "line": "line",
    "grating": "line",
}


@dataclass(frozen=True)
class TuningConfig:
    """How tuning is measured.

    Attributes:
        angles: Orientations over the period; None: steps of 5 degrees.
        levels: Values of the stimulus's second quantity; None: four radii and the like, as
            multiples of the scale.
        size: Height and width of the images, px, at most 4096; None: the model's, or for the
            region `center` as much of its middle as the middle positions see, which gives the same
            responses.
        scale_px: What lengths are multiples of; None: the receptive field of the site, at most
            the shorter side of the image.
        region: Where a map is read: `center`, the largest of its 3x3 middle positions; `map`,
            the largest of all; `mean`, the mean of all.
        ink: How the stimuli are drawn.
        batch: Pictures at a time.
        progress: Whether to show progress on stderr, if that is a terminal.
    """

    angles: int | None = None
    levels: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    scale_px: float | None = None
    region: str = "center"
    ink: stimuli.Ink = field(default_factory=stimuli.Ink)
    batch: int = 32
    progress: bool = False

    def __post_init__(self) -> None:
        _check_region(self.region)
        if self.batch < 1:
            raise CircuitError(f"batch must be 1 or more, got {self.batch}")
        if self.size is not None and max(self.size) > MAX_SIDE:
            raise CircuitError(
                f"stimuli of {self.size[0]}x{self.size[1]} px are too large; choose {MAX_SIDE} px "
                "a side at most"
            )


def _check_region(region: str) -> None:
    if region not in REGIONS:
        raise CircuitError(
            f"unknown region {region!r}{did_you_mean(region, REGIONS)} "
            f"choose one of {', '.join(REGIONS)}"
        )


@own_settings()
def measure_tuning(
    model: Model,
    site: str,
    units: Iterable[int] | None = None,
    *,
    stimulus: str = "curve",
    config: TuningConfig | None = None,
) -> list[TuningCurve]:
    """Measure the tuning of units of one site.

    Args:
        model: The network.
        site: Name of the site; of a `.pre` site, what is above 0 counts.
        units: Channels, in the order wanted, one at least; None: all.
        stimulus: Family of stimuli, see `stimuli.FAMILIES`.
        config: How; None: all defaults.

    Returns:
        One curve a unit.

    Raises:
        CircuitError: If the stimulus is unknown, a setting out of range, or the response is not a
            finite number.
        SiteError: If the site is unknown.
        UnitError: If it has no such channel, or none is given.
    """
    units = None if units is None else list(units)
    if units == []:
        raise UnitError(f"no channel of {site!r} is given; name some, or leave units out for all")
    config = config or TuningConfig()
    grid = grid_for(model, site, stimulus=stimulus, config=config)
    found = measure_responses(
        model, [site], grid, region=config.region, batch=config.batch, progress=config.progress
    )
    return tuning_curves(model, site, grid, found[site], units=units)


def grid_for(model: Model, site: str, *, stimulus: str, config: TuningConfig) -> stimuli.Grid:
    """Return the stimuli for one site, scaled to what its units see.

    Args:
        model: The network.
        site: Name of the site.
        stimulus: Family of stimuli.
        config: How.

    Raises:
        CircuitError: If the stimulus is unknown, or a setting out of range.
        SiteError: If the site is unknown.
    """
    if model.spec.channels != 3:
        raise CircuitError(
            f"stimuli are RGB, and {model.name!r} takes images of {model.spec.channels} channels; "
            "wrap it in a module that makes its input from RGB"
        )
    size = config.size or (
        middle_size(model, site) if config.region == "center" else model.spec.size
    )
    resolved = model.site_table(size).resolve(site)
    return stimuli.grid(
        stimulus,
        size=size,
        scale_px=config.scale_px or scale_of(resolved, size),
        angles=config.angles,
        levels=config.levels,
        ink=config.ink,
    )


@torch.no_grad()
def measure_responses(
    model: Model,
    sites: Sequence[str],
    grid: stimuli.Grid,
    *,
    region: str = "center",
    batch: int = 32,
    progress: bool = False,
) -> dict[str, Float[Tensor, "a l c"]]:
    """Return the responses of all channels of sites to a grid of stimuli, in one pass.

    Args:
        model: The network.
        sites: Names of the sites.
        grid: The stimuli.
        region: Where maps are read, see `TuningConfig`.
        batch: Pictures at a time.
        progress: Whether to show progress on stderr, if that is a terminal.

    Returns:
        Site -> response by orientation, second quantity and channel; at least 0, on the CPU.

    Raises:
        CircuitError: If a response is not a finite number, or the region is unknown.
        SiteError: If a site is unknown.
    """
    _check_region(region)
    found: dict[str, list[Tensor]] = {site: [] for site in sites}
    quiet = not (progress and sys.stderr.isatty())
    with tqdm(total=len(grid), disable=quiet, unit=" stimuli", desc=model.name) as bar:
        for first in range(0, len(grid), batch):
            images = grid.images(slice(first, first + batch), device=model.device)
            for site, activation in model.record(images, list(found)).items():
                found[site].append(read_map(activation, region).cpu())
            bar.update(len(images))
    shape = (len(grid.angles_deg), len(grid.levels), -1)
    responses = {site: torch.cat(rows).view(shape) for site, rows in found.items()}
    for site, response in responses.items():
        if not response.isfinite().all():
            raise CircuitError(
                f"{site!r} in {model.name!r} gave a response that is not a finite number; are its "
                "weights complete?"
            )
    return responses


def read_map(activation: Float[Tensor, "b c *map"], region: str) -> Float[Tensor, "b c"]:
    """Return one number an image and channel, at least 0; a vector as it is.

    Args:
        activation: [b c h w] or [b c].
        region: See `TuningConfig`.

    Raises:
        CircuitError: If the region is unknown.
    """
    _check_region(region)
    positive = activation.float().clamp(min=0)
    if positive.dim() == 2:
        return positive
    if region == "mean":
        return positive.mean((2, 3))
    if region == "center":
        h, w = positive.shape[2:]
        positive = positive[:, :, slice(*middle(h)), slice(*middle(w))]
    return positive.amax((2, 3))


def tuning_curves(
    model: Model,
    site: str,
    grid: stimuli.Grid,
    responses: Float[Tensor, "a l c"],
    *,
    units: Iterable[int] | None = None,
) -> list[TuningCurve]:
    """Turn the responses of one site into curves: means over the second quantity.

    Args:
        model: The network that gave them.
        site: Name of the site.
        grid: The stimuli.
        responses: From `measure_responses`.
        units: Channels, in the order wanted; None: all.

    Raises:
        UnitError: If there is no such channel.
    """
    channels = list(range(responses.shape[2]) if units is None else units)
    for channel in channels:
        if not 0 <= channel < responses.shape[2]:
            raise UnitError(
                f"channel {channel} is out of range: {site!r} has {responses.shape[2]} channels, "
                f"0 to {responses.shape[2] - 1}"
            )
    kind = _KINDS.get(grid.stimulus)
    known = known_orientations_deg(model, site, kind) if kind else None
    named = model.spec.unit_labels() if model.spec.unit_labels else {}
    # A slice has the names of its part; what lies inside a named site has none of its own.
    labels = named.get(site.partition("/")[0].removesuffix(".pre"))
    labels = labels and of_channels(labels, site)
    means = responses.mean(1)
    return [
        TuningCurve(
            unit=f"{site}:{channel}",
            channel=channel,
            angles_deg=grid.angles_deg,
            response=means[:, channel],
            period_deg=grid.family.period_deg,
            surface=responses[:, :, channel],
            levels=tuple(grid.levels.tolist()),
            level=grid.family.level,
            stimulus=grid.stimulus,
            label=labels[channel] if labels else None,
            expected_deg=known[channel] if known else None,
        )
        for channel in channels
    ]
