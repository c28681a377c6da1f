"""One plane through the rate-distortion factorization and back, on one thread of the host."""

from __future__ import annotations

import numpy as np

from imfnb.factorization import rdoq
from imfnb.runtime.run import HostRun, finish

__all__ = ["factorize", "multiply"]


def factorize(plane: np.ndarray, step: int, patch_size: int, device: str = "cpu") -> rdoq.Factors:
    """The factors of a filtered plane; `step` in 1/64 gray level."""
    run, grid = HostRun(device, 1), (plane.shape[0] // patch_size, plane.shape[1] // patch_size)
    there = rdoq.choose_last(rdoq.prepare(plane[None], step, patch_size, run, ""), run, "")
    return finish(rdoq.download(*there, grid, None, run, ""))[0]


def multiply(factors: rdoq.Factors, step: int, patch_size: int, out: np.ndarray, device: str = "cpu") -> None:
    """Write the filtered plane that factors stand for."""
    run = HostRun(device, 1)
    there = finish(rdoq.upload([factors], run, ""))
    rdoq.product(*there, step, patch_size, factors.basis_update, out[None], run, "")
