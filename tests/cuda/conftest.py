"""Tests of the CUDA kernels and pipelines: in Numba's simulator (NUMBA_ENABLE_CUDASIM=1) or on a GPU.

``tests/test_cuda.py`` runs this folder in a process of its own with the simulator. It has no ``__init__.py``: a package
named "cuda" here would hide the one that numba-cuda needs.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from imfnb._backend import cuda_status
from imfnb._cuda import SIMULATED, cuda

FOLDER = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    status = cuda_status()
    for item in items:
        if FOLDER not in item.path.parents:
            continue
        item.add_marker(pytest.mark.filterwarnings("ignore:Grid size"))
        if status.startswith("not found"):
            item.add_marker(pytest.mark.skip(reason=f"no GPU and no simulator (NUMBA_ENABLE_CUDASIM=1): {status}"))
        elif SIMULATED and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="takes a real GPU"))


@pytest.fixture(scope="session")
def put():
    """From an array to the device."""
    return lambda array: cuda.to_device(np.ascontiguousarray(array))
