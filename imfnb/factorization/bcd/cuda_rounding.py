"""Exact rounding on the device, for all kernels of block coordinate descent."""

from __future__ import annotations

import math

import numpy as np

from ...runtime.cuda import device_function

__all__ = ["quotient"]

_f64 = np.float64


@device_function
def quotient(numerator, denominator, inverse, low, high):
    """clamp(rint(numerator / denominator)) of float64, exactly: halves to even, for any integers; a device function.

    Multiplying by the inverse, 1 / denominator, and taking the floor is off by at most one, which the remainder
    reveals. (There is no np.rint here, and round() goes through 64-bit integers.)
    """
    q = _f64(math.floor(numerator * inverse + _f64(0.5)))
    rest = numerator - q * denominator
    odd = q - _f64(2) * _f64(math.floor(q * _f64(0.5)))
    if rest + rest > denominator or (rest + rest == denominator and odd != 0):
        q += _f64(1)
    elif rest + rest < -denominator or (rest + rest == -denominator and odd != 0):
        q -= _f64(1)
    return min(max(q, low), high)
