"""Search for a V that serves a plane better than the DCT basis; on the host, since it sees a megapixel at most."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ....format.basis import PLAIN, Weighting, scale_bits
from ....format.basis_update import COLUMNS, ROWS, UPDATE_BITS, UPDATE_LIMIT
from ....runtime.run import HostRun, Run
from ..basis import squared_length
from ..pipeline import DEFAULT, Settings, choose_last, product, project, rebased, sweeps
from ..tuning import LEAST_ENERGY, LEAST_GAIN, PRICE, ROUNDS

__all__ = ["find_basis_update"]

# Name of the kernels.
_STAGE = "factorization.rdoq.basis_search"

# A V step knows its largest sum of squares to this many bits, so that its sums are exact in float64.
_SUM_BITS = 34

# Bounds of the entries of C.
_BOUNDS = -float(UPDATE_LIMIT), 2.0**UPDATE_BITS + UPDATE_LIMIT


def find_basis_update(
    plane: np.ndarray,
    step: int,
    patch_size: int,
    device: str,
    weight: int = 1,
    settings: Settings = DEFAULT,
    weighting: Weighting = PLAIN,
) -> np.ndarray | None:
    """Find a V that serves a plane better than the DCT basis.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Pre-filtered plane with four fractional bits; H and W are multiples of `patch_size`.
    step : int
        Step in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same V.
    weight : int, default 1
        How many times as large the plane is of which this one is a sample: V serves all of it and costs its bits once.
    settings : Settings
        How U is chosen, in a single sweep whatever they say.
    weighting : Weighting
        Weights of the columns of V.

    Returns
    -------
    ndarray of int32, shape (ROWS, COLUMNS) of `format.basis_update`, or None
        How V differs from the DCT basis; None where too little is gained.
    """
    run, once = HostRun(device, 1), replace(settings, sweeps=1)
    planes = plane[None]
    plain = x = project(planes, step, patch_size, run, "", weighting)
    update = None
    for number in range(ROUNDS):
        factors, ranks = choose_last(sweeps(x, run, "", once), run, "")
        factors = factors[:, : int(ranks.max()) + 1]
        update = v_step(plain.products[0], factors[0], step, update, weight, run)
        if number == 0:
            errors = [_error(planes, factors, ranks, step, patch_size, v, weighting, run) for v in (None, update)]
            if not errors[0] - errors[1] > LEAST_GAIN * errors[0]:
                return None
        if number < ROUNDS - 1:
            x = rebased(plain, factors, update, run, "")
    return update


def _error(
    planes: np.ndarray,
    factors: Any,
    ranks: Any,
    step: int,
    patch_size: int,
    update: np.ndarray | None,
    weighting: Weighting,
    run: Run,
) -> int:
    """Squared error of U with a V."""
    difference = np.empty_like(planes)
    product(factors, ranks, step, patch_size, update, difference, run, "", weighting)
    difference -= planes
    return sum(int(np.square(row, dtype=np.int64).sum()) for row in difference[0])


def v_step(
    products: np.ndarray, factors: np.ndarray, step: int, update: np.ndarray | None, weight: int, run: Run
) -> np.ndarray:
    """How V differs from the DCT basis, int32 (ROWS, COLUMNS), given X V0, U of one plane and the difference so far."""
    count = min(COLUMNS, len(factors))
    a, b = np.empty((ROWS, count), np.int64), np.empty((ROWS, count), np.int64)
    kernels = run.kernels(_STAGE)
    kernels.moments(products, factors, a, b)
    a *= weight
    b *= weight
    energy = np.diagonal(b).copy()
    shift = max(0, int(energy.max()).bit_length() - _SUM_BITS)
    b >>= shift
    # Y^T U in units of 2^-UPDATE_BITS, less what the columns of V beyond those that may move stand for.
    target = np.rint(a * (2.0 ** (scale_bits(step) + UPDATE_BITS - shift) / squared_length(step)))
    target[count:] -= b[count:] << UPDATE_BITS
    origin = np.eye(ROWS, count) * 2.0**UPDATE_BITS
    factor = origin.copy() if update is None else origin + update[:, :count]
    # A quantum costs about what its bits are worth: one to two times the step of U over |u_r|.
    quanta = np.array([2.0 ** max(0, UPDATE_BITS + 1 - (int(e).bit_length() + 1) // 2) for e in energy])
    quanta[(energy < LEAST_ENERGY) | (quanta > UPDATE_LIMIT // 2)] = 0
    price = PRICE * 2.0 ** (2 * UPDATE_BITS - shift)
    kernels.update_v(target, b[:count].astype(np.float64), factor, origin, quanta, price, *_BOUNDS)
    out = np.zeros((ROWS, COLUMNS), np.int32)
    out[:, :count] = factor - origin
    return out
