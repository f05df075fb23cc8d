"""From photographs to the rivals that units are rendered against: `contrast` settings.

Comes between the plan and the loop: the plan says which units there are, the metrics how the
network answers to photographs, and the loop climbs what comes out of both.
"""

import dataclasses
import hashlib

from featviz.errors import ConfigError
from featviz.metrics import Moments, PictureFolder
from featviz.objectives import (
    Channel,
    Contrast,
    Objective,
    Shaped,
    contrast,
    unshaped,
)
from featviz.plan import Plan
from featviz.rivals import is_rivals_file, measure_rivals, read_rivals


def check_contrast(plan: Plan) -> None:
    """Raise an error if the photographs are missing or nothing is to be contrasted.

    Raises:
        ConfigError: If there is no whole channel among the objectives, or a file of statistics
            cannot be read or is of another network or other sites.
        PictureError: If the folder is missing or holds fewer than two pictures.
    """
    path = plan.config.contrast
    if path is None:
        return
    sites = _contrasted_sites(plan)
    if is_rivals_file(path):
        rivals = read_rivals(path)
        for name in sites:
            rivals.at(plan.model, plan.sites[name])
    else:
        PictureFolder.open(path)
    if not sites:
        raise ConfigError(
            "contrast sets whole channels such as fire4:5 apart from the others of their site, and "
            f"there is none among {', '.join(plan.labels[:3])}; leave it out"
        )


def with_contrast(plan: Plan) -> Plan:
    """Return the plan with every whole channel climbing away from its rivals.

    Photographs are shown at the network's own size, all of them, once for all sites; a file of
    `featviz contrast` spares that. What is reported stays the score of the unit itself. Objectives
    other than whole channels, and channels that are the same on all photographs and so have no
    scale, are left as they are.

    Args:
        plan: With or without `contrast` among its settings.

    Raises:
        ConfigError: If there is no whole channel among the objectives, or a file of statistics
            cannot be read or is of another network or other sites.
        PictureError: If the folder is missing, holds fewer than two pictures, or one that cannot
            be read.
    """
    check_contrast(plan)
    path = plan.config.contrast
    if path is None:
        return plan
    sites = _contrasted_sites(plan)
    rivals = read_rivals(path) if is_rivals_file(path) else measure_rivals(plan.model, sites, path)
    moments = {site: rivals.at(plan.model, plan.sites[site]) for site in sites}
    # Images of one joint objective share the very same object.
    made = {id(o): _contrasted(o, moments) for o in plan.climbed}
    return dataclasses.replace(
        plan,
        climbed=tuple(made[id(o)] for o in plan.climbed),
        contrast={"pictures": rivals.pictures, "statistics_sha256": _digest(moments)},
    )


def _contrasted_sites(plan: Plan) -> list[str]:
    return sorted({o.site for o in plan.objectives if isinstance(o, Channel)})


def _contrasted(climbed: Objective, moments: dict[str, Moments]) -> Objective:
    if isinstance(climbed, Shaped):
        return dataclasses.replace(climbed, objective=_contrasted(climbed.objective, moments))
    if not isinstance(climbed, Channel):
        return climbed
    found = moments[climbed.site]
    rivals = int((found.sd > 0).sum()) - 1
    if not found.sd[climbed.index] or rivals < 1:
        return climbed
    return contrast(climbed.site, climbed.index, found.mean, found.sd)


def unit_threshold(climbed: Objective) -> float | None:
    """Return the score above which a contrasted unit has risen: its mean over the photographs.

    Args:
        climbed: What was maximised.

    Returns:
        None for objectives whose history is on the scale of their score.
    """
    unit = unshaped(climbed)
    return float(unit.means[unit.index]) if isinstance(unit, Contrast) else None


def _digest(moments: dict[str, Moments]) -> str:
    found = hashlib.sha256()
    for site in sorted(moments):
        found.update(site.encode())
        for values in (moments[site].mean, moments[site].sd):
            found.update(values.contiguous().numpy().tobytes())
    return found.hexdigest()
