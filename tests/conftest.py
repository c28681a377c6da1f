"""Fixtures, markers and hypothesis profiles.

Three lanes: ``pytest`` (the default), ``NUMBA_DISABLE_JIT=1 pytest --cov=imfnb`` (coverage of the kernels, as plain
Python) and ``pytest -m slow`` (minutes of fuzzing).
"""

from __future__ import annotations

import os

import numba
import numpy as np
import pytest
from helpers import encode, picture
from hypothesis import HealthCheck, settings

NO_JIT = bool(numba.config.DISABLE_JIT)

settings.register_profile(
    "imfnb",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    max_examples=12 if NO_JIT else 60,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("imfnb")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "jit: makes no sense, or takes too long, with NUMBA_DISABLE_JIT=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="the JIT is disabled")
    wanted = "slow" in (config.option.markexpr or "")
    kept, dropped = [], []
    for item in items:
        if NO_JIT and item.get_closest_marker("jit"):
            item.add_marker(skip)
        (dropped if item.get_closest_marker("slow") and not wanted else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


@pytest.fixture(scope="session", autouse=True)
def narrow_blocks():
    """Without the JIT, blocks of 64 patches that are mostly padding cost minutes: make them narrow."""
    if NO_JIT:
        from imfnb import patches
        from imfnb.factorization.bcd import cpu

        patches.LANES = cpu.LANES = 16
    yield


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A small RGB picture with odd sides."""
    return picture(37, 29)


@pytest.fixture(scope="session")
def small_file() -> bytes:
    """A small valid file: RGB, 11 x 13, three segments."""
    return encode(picture(11, 13), patch_size=4, rank=2)
