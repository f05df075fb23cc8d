"""Image parameterisations: what is optimised instead of raw pixels."""

from featviz.errors import ConfigError, did_you_mean
from featviz.params.base import ImageParameters, Parameterisation
from featviz.params.fourier import Fourier
from featviz.params.pixels import Pixels

PARAMETERISATIONS: dict[str, type[Parameterisation]] = {
    kind.name: kind
    for kind in (
        Fourier,
        Pixels,
    )
}


def parse_parameterisation(text: str | Parameterisation) -> Parameterisation:
    """Return the parameterisation of `NAME` or `NAME:key=value,key=value`.

    Args:
        text: Such as `fourier` or `fourier:decay_power=1.5,sd=0.05`; settings that are one
            already are returned as they are.

    Raises:
        ConfigError: If the name or an option is unknown.
    """
    if isinstance(text, Parameterisation):
        return text
    name, _, options = text.partition(":")
    if name not in PARAMETERISATIONS:
        raise ConfigError(
            f"unknown parameterisation {name!r}{did_you_mean(name, PARAMETERISATIONS)}; "
            f"featviz has {', '.join(sorted(PARAMETERISATIONS))}"
        )
    return PARAMETERISATIONS[name].from_text(options)


__all__ = [
    "PARAMETERISATIONS",
    "Fourier",
    "ImageParameters",
    "Parameterisation",
    "Pixels",
    "parse_parameterisation",
]
