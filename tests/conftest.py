"""Fixtures for every test: a small network, the shared data folder, a clean environment."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser
from torch import nn

from browser import open_browser
from nets import small_net

# Speed is measured in benchmarks/; a busy machine is no defect.
settings.register_profile("featviz", deadline=None)
settings.load_profile("featviz")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture
def tiny_cnn() -> nn.Module:
    """A small network with what trips hooks; new for each test, in eval mode."""
    return small_net()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Photographs and weights that may not be redistributed, beside the checkout."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared (photographs, BVLC weights) is not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that want it skip where there is none."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in [name for name in os.environ if name.startswith("FEATVIZ_")]:
        monkeypatch.delenv(name)
