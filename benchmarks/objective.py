"""What `objective="svd"` changes: BD-rates against `objective="mse"`, in PSNR, MS-SSIM and basis distortion.

    python benchmarks/objective.py FOLDER [--profile main] [--every N]

Negative numbers: the SVD's objective needs fewer bits for the same value of the measure. The basis distortion is put on
a logarithmic scale of quality, as PSNR puts the squared error.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from planes import image_paths

import imfnb
from imfnb import metrics
from imfnb.pictures import read_picture

QUALITIES = {"main": (20, 30, 40, 50, 60), "baseline": (3, 6, 10, 16, 24)}
MEASURES = {
    "PSNR": metrics.psnr,
    "MS-SSIM": lambda a, b: -10 * math.log10(1 - metrics.ms_ssim(a, b)),
    "basis distortion": lambda a, b: -10 * math.log10(metrics.basis_distortion(a, b)),
}


def curve(image: np.ndarray, profile: str, objective: str) -> tuple[list[float], dict[str, list[float]]]:
    """Rates, and values of every measure."""
    rates: list[float] = []
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    for quality in QUALITIES[profile]:
        data = imfnb.encode(image, quality=quality, profile=profile, objective=objective)
        decoded = imfnb.decode(data)
        rates.append(metrics.bpp(data, image))
        for name, measure in MEASURES.items():
            values[name].append(measure(decoded, image))
    return rates, values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless pictures")
    parser.add_argument("--profile", choices=sorted(QUALITIES), default="main")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th picture")
    arguments = parser.parse_args()
    changes: dict[str, list[float]] = {name: [] for name in MEASURES}
    for path in image_paths(arguments.folder)[:: arguments.every]:
        image = read_picture(path, srgb=True).pixels
        rates_ref, values_ref = curve(image, arguments.profile, "mse")
        rates, values = curve(image, arguments.profile, "svd")
        for name in MEASURES:
            changes[name].append(metrics.bd_rate(rates_ref, values_ref[name], rates, values[name]))
    for name, found in changes.items():
        print(f"{name:18s} BD-rate {np.nanmean(found):7.2f}%  ({np.isfinite(found).sum()} pictures)")


if __name__ == "__main__":
    main()
