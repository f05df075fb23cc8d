"""The images of `featviz circuit graph`: those that choose its units, and those that check them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from circuits.cli.photographs import read_photographs
from featviz.errors import CircuitError

if TYPE_CHECKING:
    from torch import Tensor

    from circuits.graphs.held_out import HeldOut
    from featviz.models import Model


@dataclass(frozen=True)
class GraphImages:
    """What a circuit is built and checked on.

    Attributes:
        halves: The images; None if none are needed and there can be none.
        told: What they are, for people.
        region: Where the target's map is read in the check.
    """

    halves: "HeldOut | None"
    told: str
    region: str

    @property
    def choosing(self) -> "Tensor | None":
        """The images that choose the units."""
        return None if self.halves is None else self.halves.choosing


def graph_images(
    model: "Model",
    unit: str,
    folder: Path | None,
    *,
    count: int,
    needed: bool,
    looks: bool,
    hold_out: bool,
    seed: int,
) -> GraphImages:
    """Return photographs of a folder, or arcs and lines, in halves.

    Args:
        model: The network.
        unit: `SITE:CHANNELS`.
        folder: Of photographs; None: stimuli at the unit's scale.
        count: Photographs at most.
        needed: Whether there must be some.
        looks: Whether choosing units looks at images; if not, all check them.
        hold_out: Whether to hold half of them out.
        seed: Of the halves.

    Raises:
        CircuitError: If stimuli are needed and the network takes no RGB.
    """
    given, told = _pictures(model, unit, folder, count, needed=needed)
    halves = None if given is None else _halves(given, seed, looks=looks, asked=hold_out)
    return GraphImages(halves, told, "center" if folder is None else "map")


def _pictures(
    model: "Model", unit: str, folder: Path | None, count: int, *, needed: bool
) -> "tuple[Tensor | None, str]":
    """Return photographs, or else stimuli at the unit's scale, and what they are.

    None if none are needed and there can be none: stimuli are RGB. The gates that want images are
    then not compared, which is said.
    """
    from circuits.cli.weights import pick_units
    from circuits.graphs.check import probe_images

    site, _ = pick_units(model, unit)
    if folder is None and model.spec.channels != 3 and not needed:
        return None, ""
    if folder is None:
        try:
            found = probe_images(model, site)
        except CircuitError as error:
            raise CircuitError(
                f"{error} with --images FOLDER, or pass --score weights --no-check"
            ) from error
        return found, f"{len(found)} arcs and lines"
    return read_photographs(model, folder, count)


def _halves(images: "Tensor", seed: int, *, looks: bool, asked: bool) -> "HeldOut":
    """Return images to choose units on and images to check them on."""
    from circuits.graphs.held_out import HeldOut, hold_out

    if not looks:
        return HeldOut(images, images, "neither the score nor the gates look at images")
    if not asked:
        return HeldOut(images, images, "as asked for")
    return hold_out(images, seed=seed)
