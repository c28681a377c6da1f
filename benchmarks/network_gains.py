"""What the restoration network gains over the restoration filter, on the planes of a folder of images.

    python benchmarks/network_gains.py FOLDER [--every 1] [--steps 8 16 32 64] [--visual]

Every plane is coded and decoded as by `network_planes.py`; printed are, for each step of luma in gray levels, the
mean bits per pixel of the whole codec today, and the mean gains in PSNR over the decoded planes, in dB.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from network_planes import block_symbols, decoded
from planes import Plane, image_paths, read_planes

import imfnb
from imfnb.format.network import network
from imfnb.format.restoration import filter_set
from imfnb.network import cpu as networks
from imfnb.pictures import read_picture
from imfnb.profiles import decide
from imfnb.restoration import cpu as filters


def psnr_gain(originals: list[Plane], before: list[Plane], after: list[Plane]) -> float:
    """By how many dB the planes are nearer to the originals, all of them together."""
    errors = [
        sum(float(np.square((a - b).astype(np.float64)).sum()) for a, b in zip(originals, planes, strict=True))
        for planes in (before, after)
    ]
    return 10.0 * math.log10(max(errors[0], 1.0) / max(errors[1], 1.0))


def filtered(planes: list[Plane], step: int, chroma: bool) -> list[Plane]:
    """Planes after the restoration filter."""
    out = [np.empty_like(plane) for plane in planes]
    for plane, goal in zip(planes, out, strict=True):
        filters.restore(plane[None], step, *filter_set(step, chroma), goal[None], [0])
    return out


def corrected(planes: list[Plane], step: int, kind: str) -> list[Plane]:
    """Planes after the network; the last of several is the guide."""
    out = [np.empty_like(plane) for plane in planes[: max(len(planes) - 1, 1)]]
    networks.correct([p[None] for p in planes], step, *network(step, kind), [goal[None] for goal in out], [0])
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless images")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th image (default 1)")
    parser.add_argument("--steps", type=float, nargs="+", default=[4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
    parser.add_argument("--visual", action="store_true", help="tuned for the eye")
    options = parser.parse_args()
    paths = [path for path in image_paths(options.folder) if read_picture(path).pixels.ndim == 3]
    paths = paths[:: options.every]
    print("  step   bpp | luma: filter network  | chroma 4:4:4: filter network  | 4:2:0: filter network")
    for level in options.steps:
        rows = []
        for path in paths:
            luma, *chroma = read_planes(path, subsample=False)
            half = read_planes(path)[1:]
            pixels = read_picture(path, srgb=True).pixels
            tune, step = "visual" if options.visual else "psnr", round(64 * level)
            row = [8 * len(imfnb.encode(pixels, step=level, tune=tune)) / luma.size]
            bits = decide.local_bits(step)
            masks = (bits, block_symbols(luma, bits)) if options.visual else None
            restored = None
            for kind, originals in (("luma", [luma]), ("chroma", chroma), ("half", half)):
                own = step if kind == "luma" else decide.chroma_step(step, kind == "half")
                before = [decoded(plane, own, kind, masks) for plane in originals]
                row.append(psnr_gain(originals, before, filtered(before, own, kind != "luma")))
                inputs = before
                if restored is not None:
                    guide = restored
                    if kind == "half":
                        guide = np.empty_like(half[0])
                        networks.guide(restored[None], guide[None])
                    inputs = [*before, guide]
                after = corrected(inputs, own, kind)
                row.append(psnr_gain(originals, before, after))
                if restored is None:
                    (restored,) = after
            rows.append(row)
        mean, least = np.mean(rows, axis=0), np.min(rows, axis=0)
        print(
            f"{level:6.1f} {mean[0]:5.3f} |"
            + " |".join(f" {mean[k]:+.3f} {mean[k + 1]:+.3f} (least {least[k + 1]:+.3f})" for k in (1, 3, 5)),
            flush=True,
        )


if __name__ == "__main__":
    main()
