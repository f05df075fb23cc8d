"""Image parameterisations: what is optimised instead of raw pixels."""

from featviz.errors import ConfigError, did_you_mean
from featviz.params.base import ImageParameters, Parameterisation
from featviz.params.cppn import Cppn
from featviz.params.fourier import Fourier
from featviz.params.maco import Maco
from featviz.params.pixels import Pixels
from featviz.params.pyramid import Pyramid
from featviz.params.shared import Shared

PARAMETERISATIONS: dict[str, type[Parameterisation]] = {
    kind.name: kind
    for kind in (
        Fourier,
        Pixels,
        Pyramid,
        Cppn,
        Maco,
        Shared,
    )
}


# Lucid's settings are the defaults of Fourier: scale, / 4, start values, colours, sigmoid.
PRESETS: dict[str, Parameterisation] = {"lucid": Fourier()}


def parse_parameterisation(text: str | Parameterisation) -> Parameterisation:
    """Return the parameterisation of a preset, of `NAME`, or of `NAME:key=value,key=value`.

    Args:
        text: Such as `lucid`, `fourier` or `fourier:decay_power=1.5,sd=0.05`; settings that are one
            already are returned as they are.

    Raises:
        ConfigError: If the name or an option is unknown.
    """
    if isinstance(text, Parameterisation):
        return text
    if text in PRESETS:
        return PRESETS[text]
    name, _, options = text.partition(":")
    if name not in PARAMETERISATIONS:
        raise ConfigError(
            f"unknown parameterisation {name!r}{did_you_mean(name, PARAMETERISATIONS)} "
            f"featviz has {', '.join(sorted(PARAMETERISATIONS))}"
        )
    return PARAMETERISATIONS[name].from_text(options)


__all__ = [
    "PARAMETERISATIONS",
    "PRESETS",
    "Cppn",
    "Fourier",
    "ImageParameters",
    "Maco",
    "Parameterisation",
    "Pixels",
    "Pyramid",
    "Shared",
    "parse_parameterisation",
]
