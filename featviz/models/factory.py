"""`package.module:factory`: a function of the user's that builds a network."""

import importlib
from collections.abc import Callable

import torch
from torch import nn

from featviz.errors import ModelError, did_you_mean
from featviz.models.spec import FAMILIES


def import_factory(name: str) -> Callable[[], object]:
    """Import what `package.module:factory` names.

    Args:
        name: Module to import, a colon, and a function of it that takes no arguments.

    Raises:
        ModelError: If the name is incomplete, the module cannot be imported, or it has no such
            function.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ModelError(f"{name!r} names no factory; write package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"cannot import {error.name!r} for the model {name!r}"
            f"{did_you_mean(str(error.name), FAMILIES)} install it, or run where it can be "
            "imported (PYTHONPATH)"
        ) from error
    # Whatever the user's module does on import may fail in its own way, or end the process.
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"importing {module_name!r} for the model {name!r} failed with "
            f"{type(error).__name__}: {error}; correct that module"
        ) from error
    factory = getattr(module, attribute, None)
    if factory is None:
        near = did_you_mean(attribute, vars(module))
        raise ModelError(
            f"module {module_name!r} has no {attribute!r}{near} give the name of a "
            "function that returns the network"
        )
    if not callable(factory):
        raise ModelError(
            f"{name!r} is a {type(factory).__name__} and cannot be called; give the name of a "
            "function that returns the network"
        )
    found: Callable[[], object] = factory
    return found


def call_factory(factory: Callable[[], object], *, name: str) -> nn.Module:
    """Return the network a factory builds, leaving the CPU's global RNG as it was.

    Args:
        factory: A function of the user's.
        name: What it is called in messages.

    Raises:
        ModelError: If it raises or returns anything but a module.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            network = factory()
    # Code of the user may fail in its own way, or end the process.
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{name!r} failed with {type(error).__name__}: {error}; it must build the network "
            "when called without arguments"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{name!r} returned a {type(network).__name__}, not a torch.nn.Module; return the "
            "network"
        )
    return network
