"""Tests of the CUDA kernels and pipelines, where there is something to run them on.

That is a GPU, Numba's simulator (NUMBA_ENABLE_CUDASIM=1), or, with IMFNB_INTERPRET_PTX=1, the interpreter of the PTX
that the compiler makes. ``tests/test_cuda.py`` runs this folder in processes of their own with the two latter. It has
no ``__init__.py``: a package named "cuda" here would hide the one that numba-cuda needs.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

import interpreted
import numpy as np
import pytest

from imfnb.runtime.cuda import SIMULATED, cuda
from imfnb.runtime.devices import cuda_status

FOLDER = pathlib.Path(__file__).parent
if interpreted.WANTED:
    interpreted.install()
STATUS = cuda_status()

# What runs anywhere.
HERE = "test_interpreter.py"


class SkippedModule(pytest.Module):
    """A module of tests that have nothing to run on."""

    def collect(self) -> Iterable[pytest.Item]:
        ways = "NUMBA_ENABLE_CUDASIM=1 for the simulator, IMFNB_INTERPRET_PTX=1 for the interpreter of PTX"
        pytest.skip(f"no GPU ({ways}): {STATUS}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: pathlib.Path, parent: pytest.Collector) -> pytest.Module | None:
    if FOLDER in module_path.parents and STATUS.startswith("not found") and module_path.name != HERE:
        return SkippedModule.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:.*Grid size"))
            if (SIMULATED or interpreted.WANTED) and item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="takes a real GPU"))


@pytest.fixture(scope="session")
def put():
    """From an array to the device."""
    return lambda array: cuda.to_device(np.ascontiguousarray(array))
