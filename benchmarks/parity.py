"""Compare the baseline profile with the published points of IMF, image by image, at the published ranks.

    python benchmarks/parity.py KODAK_FOLDER lrf_kodak_results.csv

The table has one row per published rank: means over the images of bits per pixel and PSNR, published and ours.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

import imageio.v3 as iio
import numpy as np

import imfnb
from imfnb.metrics import psnr


def published(path: Path) -> dict[tuple[int, int], dict[str, tuple[float, float]]]:
    """For each pair of ranks (luma, chroma) and image the published bpp and PSNR of IMF."""
    points: dict[tuple[int, int], dict[str, tuple[float, float]]] = defaultdict(dict)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] == "IMF":
                q = float(row["quality"])
                ranks = max(1, round(64 * q / 100)), max(1, round(64 * q / 200))
                points[ranks][row["image"]] = float(row["bpp"]), float(row["psnr_db"])
    return dict(sorted(points.items()))


def main() -> int:
    """Print the table; the exit code is 1 if a mean is worse than issue bounds allow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with kodim01.png to kodim24.png")
    parser.add_argument("csv", type=Path, help="published results with columns image, method, quality, bpp, psnr_db")
    arguments = parser.parse_args()
    points = published(arguments.csv)
    images = {path.name: iio.imread(path) for path in sorted(arguments.folder.glob("*.png"))}
    print("| ranks | bpp published | bpp imfnb | bytes % | PSNR published | PSNR imfnb | difference dB |")
    print("|---|---|---|---|---|---|---|")
    worst_psnr, worst_rate = np.inf, -np.inf
    for (luma, chroma), rows in points.items():
        theirs, ours = [], []
        for name, point in rows.items():
            image = images[name]
            data = imfnb.encode(image, profile="baseline", rank=(luma, chroma, chroma))
            theirs.append(point)
            ours.append((8 * len(data) / (image.shape[0] * image.shape[1]), psnr(image, imfnb.decode(data))))
        (bpp_then, psnr_then), (bpp_now, psnr_now) = np.mean(theirs, axis=0), np.mean(ours, axis=0)
        gain, rate = psnr_now - psnr_then, 100 * (bpp_now / bpp_then - 1)
        worst_psnr, worst_rate = min(worst_psnr, gain), max(worst_rate, rate)
        print(
            f"| {luma}, {chroma} | {bpp_then:.4f} | {bpp_now:.4f} | {rate:+.1f} "
            f"| {psnr_then:.2f} | {psnr_now:.2f} | {gain:+.3f} |",
            flush=True,
        )
    print(f"\nLargest loss of PSNR {-worst_psnr:+.3f} dB, largest excess of bytes {worst_rate:+.1f}%.")
    return int(worst_psnr < -0.1 or worst_rate > 0)


if __name__ == "__main__":
    sys.exit(main())
