"""The settings that a gallery compares, and what each is good for.

Kinds of image and presets come from their registries, so that a new one is shown without a line
here; its sentence goes into `GOOD_FOR`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from featviz.config import RenderConfig
from featviz.params import PARAMETERISATIONS
from featviz.transforms import PRESETS, parse_transforms

# What each setting is good for, said after looking at its pictures of the units above.
GOOD_FOR: dict[str, str] = {
    "--param fourier": (
        "The default: clear shapes at every depth, in strong colours that mean little."
    ),
    "--param pixels": (
        "Fine texture on grey: shows the pattern that an early unit repeats, misses large shapes "
        "and colour."
    ),
    "--param pyramid": (
        "Poster colours and bold outlines, at about fourier's score: for early units; deep ones "
        "come out cluttered."
    ),
    "--param cppn": (
        "One smooth shape: a cartoon of a deep unit, and for early ones, which repeat a texture, "
        "next to nothing."
    ),
    "--param maco": (
        "Muted, natural colours and a photograph's spectrum: the easiest to recognise for deep "
        "units; faint but legible for early ones."
    ),
    "--param shared": (
        "Images that line up, here two: for interpolations and for comparing units; high scores, "
        "harsh colours, much clipped."
    ),
    "--transforms lucid": "The default: shapes stay sharp, and survive being moved.",
    "--transforms maco": (
        "Small copies around the centre, since the crops shrink to 5 %: one instance of the "
        "feature, and an empty border; slow, and at a quarter of the steps deep units stay faint."
    ),
    "--transforms none": (
        "For comparison: the highest scores, of high-frequency noise that does not survive a move "
        "(robust 0.02 to 0.25)."
    ),
    "--transforms smooth": (
        "Wide shifts and blur: fewer, larger, calmer shapes, often the clearest object of a deep "
        "unit; speckles and a dashed rim of a pixel, which the blur hides from the network."
    ),
    "--param maco --transforms maco": (
        "MACO as published: a few small, tidy copies on a natural ground, at a low score; slow, "
        "so here with a quarter of the steps."
    ),
    "--param fourier:decay_power=0.5": (
        "Fine detail on grey, hardly clipped: for texture, and where loud colours disturb."
    ),
    "--param fourier:decay_power=1": "The default: detail and layout in balance.",
    "--param fourier:decay_power=1.5": (
        "Large patches of saturated colour, nearly half of the pixels clipped or more: for layout."
    ),
    "--optimiser adam": "The default.",
    "--optimiser nadam": "Nearly Adam's picture and score: no reason to change.",
    "--optimiser lbfgs": (
        "Few steps, hard contrast: a second opinion on whether a shape depends on the optimiser."
    ),
    "--negative": (
        "What silences the unit most, before its ReLU: the opposite of an early unit (other "
        "slant), of deep ones something unrelated."
    ),
    "--alpha 1": (
        "What of the picture the unit needs, cut out: one or a few objects of firm outline, clear "
        "elsewhere; about half the score, since the rest is left away."
    ),
    "--images 4 --diversity 0.5": (
        "Whether the unit looks for one thing or several: what all four share is what it needs; "
        "from 1 on an image of a deep unit may give up its score for being different."
    ),
}

# Settings of which one step costs several times as much as one of the others: share of the steps.
SLOW_SHARE = 0.25


@dataclass(frozen=True)
class Setting:
    """One way to render every unit.

    Attributes:
        heading: The group that it stands in.
        name: As on the command line.
        changes: Settings that differ from the default.
        negative: Whether the unit is minimised.
    """

    heading: str
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    negative: bool = False

    def config(self, base: RenderConfig) -> RenderConfig:
        """Return the settings, with fewer steps where a step is slow.

        Args:
            base: What is common to all pictures of the gallery.
        """
        config = dataclasses.replace(base, **self.changes)
        views = parse_transforms(config.transforms).views
        if views == 1 and config.optimiser_used != "lbfgs":
            return config
        return dataclasses.replace(config, steps=max(1, round(base.steps * SLOW_SHARE)))


def list_settings() -> list[Setting]:
    """Return every parameterisation, every preset of transforms, and the variants that matter."""
    kinds, moves, variants = "Parameterisations", "Transforms", "Variants"
    found = [
        # One image alone has nobody to share with.
        Setting(kinds, f"--param {name}", {"param": name} | ({"images": 2} if kind.joint else {}))
        for name, kind in PARAMETERISATIONS.items()
    ]
    found += [Setting(moves, f"--transforms {name}", {"transforms": name}) for name in PRESETS]
    both = {"param": "maco", "transforms": "maco"}
    found.append(Setting(variants, "--param maco --transforms maco", both))
    for power in (0.5, 1.0, 1.5):
        text = f"fourier:decay_power={power:g}"
        found.append(Setting(variants, f"--param {text}", {"param": text}))
    found.append(Setting(variants, "--optimiser adam", {}))
    for kind in ("nadam", "lbfgs"):
        found.append(Setting(variants, f"--optimiser {kind}", {"optimiser": kind}))
    found.append(Setting(variants, "--negative", negative=True))
    found.append(Setting(variants, "--alpha 1", {"alpha": 1.0}))
    diverse = {"images": 4, "diversity": 0.5}
    return [*found, Setting(variants, "--images 4 --diversity 0.5", diverse)]


def good_for(setting: Setting) -> str:
    """Return the sentence about a setting; what its class says of itself where there is none."""
    if setting.name in GOOD_FOR:
        return GOOD_FOR[setting.name]
    kind = PARAMETERISATIONS.get(str(setting.changes.get("param")))
    return (kind.__doc__ or "").partition("\n")[0] if kind else ""
