"""Quality of decoded images, rates, distances between rate-distortion curves, and the SVD view of degradation.

SciPy and scikit-image are imported by the functions that need them, so that importing this package costs NumPy only;
scikit-image and ssimulacra2 are optional dependencies, which the extra ``eval`` brings.
"""

from __future__ import annotations

from .curves import bd_psnr, bd_rate
from .degradation import basis_distortion, rd_cost, recompose, recomposition_gain
from .perception import ssimulacra2
from .rates import bpp, compression_ratio
from .samples import mae, max_error, mse, psnr, snr, spectral_angle
from .structure import ms_ssim, ssim

__all__ = [
    "basis_distortion",
    "bd_psnr",
    "bd_rate",
    "bpp",
    "compression_ratio",
    "mae",
    "max_error",
    "ms_ssim",
    "mse",
    "psnr",
    "rd_cost",
    "recompose",
    "recomposition_gain",
    "snr",
    "spectral_angle",
    "ssim",
    "ssimulacra2",
]
