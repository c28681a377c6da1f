"""Planes to learn the restoration network from: a folder of images before and after the codec.

    python benchmarks/network_planes.py FOLDER OUT [--steps 12] [--seed 1] [--jpeg 0.5] [--visual 0.5]

Every image is coded at as many steps of luma, spread evenly by their logarithm between 3 and 210 gray levels and
shifted at random from image to image, with the patch sizes that the encoder would choose. Chroma is coded at both
resolutions, with its step as the encoder's share of that of luma. A share of the images may be taken through JPEG with
half-size chroma before, as most pictures that people have were: such chroma is smoother. A share of the encodings may
be tuned for the eye, with weights of the columns of V and steps of patches of their own.

All arrays are of int16, in 1/16 gray level; ``OUT`` gets, for N images of one size and K steps:

- ``names.txt``, ``steps.npy`` (N, K, 3): steps of luma, of chroma and of half-size chroma, in 1/64 gray level;
- ``luma.npy``, ``chroma.npy``, ``half.npy`` (N, P, H, W): the originals, P = 1 or 2;
- ``luma_decoded.npy``, ``chroma_decoded.npy``, ``half_decoded.npy`` (N, K, P, H, W).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from planes import Plane, image_paths, read_planes

from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import cpu as kernels
from imfnb.format.masking import map_shape, steps_of_patches
from imfnb.lapped import cpu as lapped
from imfnb.layout import PatchGrid, PlaneSpec
from imfnb.masking import cpu as masking
from imfnb.masking.tuning import CELL
from imfnb.pictures import read_picture
from imfnb.profiles import decide
from imfnb.profiles.tuning import PSNR, VISUAL
from imfnb.runtime.run import HostRun

FIRST_STEP, LAST_STEP = 3.0, 210.0
"""Gray levels."""

KINDS = ("luma", "chroma", "half")


def patch_size(plane: Plane, step: int) -> int:
    """The side of patches that the encoder takes for a plane."""
    known = decide.known_patch_size(step)
    if known is not None:
        return known
    costs = []
    for p in (8, 16):
        filtered = np.empty((1, *(size + -size % p for size in plane.shape)), np.int32)
        lapped.forward(plane[None], p, filtered, [0])
        total = np.zeros(1, np.int64)
        kernels.proxy(filtered, p, step, total)
        costs.append(int(total[0]))
    return 16 if decide.long_patches_pay(*costs) else 8


def through_jpeg(path: Path, quality: int, folder: Path) -> Path:
    """A file of what JPEG makes of an image."""
    coded, out = folder / "coded.jpg", folder / "decoded.png"
    with Image.open(path) as image:
        image.convert("RGB").save(coded, quality=quality, subsampling="4:2:0")
    with Image.open(coded) as image:
        image.save(out)
    return out


def block_symbols(luma: Plane, bits: int) -> np.ndarray:
    """The map of steps of an image, from its luma."""
    height, width = luma.shape
    symbols = np.empty((1, *map_shape(height, width, bits)), np.int32)
    masking.classify(luma[None], bits, np.empty((1, 2, -(-height // CELL), -(-width // CELL)), np.int64), symbols)
    return symbols[0].astype(np.uint8)


def decoded(plane: Plane, step: int, kind: str, masks: tuple[int, np.ndarray] | None = None) -> Plane:
    """The plane that comes out of the codec without restoration.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Its samples.
    step : int
        Its step in 1/64 gray level.
    kind : {"luma", "chroma", "half"}
        What it is.
    masks : (int, ndarray), optional
        Binary logarithm of the side of blocks, and the map of their steps: the plane is tuned for the eye.
    """
    p, run, tune = patch_size(plane, step), HostRun("cpu", 1), VISUAL if masks else PSNR
    grid = PatchGrid(plane.shape, p)
    weighting = tune.luma if kind == "luma" else tune.chroma
    local = None
    if masks:
        bits, symbols = masks
        spec = PlaneSpec(
            0 if kind == "luma" else 1, "luma" if kind == "luma" else "chroma", plane.shape, kind == "half"
        )
        local = steps_of_patches(symbols, bits, spec, grid)[None]
    samples = np.empty((1, *grid.extended), np.int32)
    lapped.forward(plane[None], p, samples, [0])
    last = rdoq.prepare(samples, step, p, run, "", weighting=weighting, local=local)
    rdoq.product(*rdoq.choose_last(last, run, ""), step, p, None, samples, run, "", weighting, local)
    out = np.empty((1, *plane.shape), np.int32)
    lapped.inverse(samples, p, out, [0])
    return out[0]


def steps_of(count: int, shift: float) -> list[tuple[int, int, int]]:
    """Steps of luma, of chroma and of half-size chroma, in 1/64 gray level."""
    found = []
    for k in range(count):
        luma = round(64 * FIRST_STEP * (LAST_STEP / FIRST_STEP) ** ((k + shift) / count))
        found.append((luma, decide.chroma_step(luma, False), decide.chroma_step(luma, True)))
    return found


def main() -> None:
    """Code and decode all images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless colour images of one size")
    parser.add_argument("out", type=Path, help="folder for the arrays")
    parser.add_argument("--steps", type=int, default=12, metavar="K", help="steps per image (default 12)")
    parser.add_argument("--seed", type=int, default=1, help="of the random shifts of steps (default 1)")
    parser.add_argument("--jpeg", type=float, default=0.0, metavar="SHARE", help="of the images (default 0)")
    parser.add_argument("--visual", type=float, default=0.0, metavar="SHARE", help="of the encodings (default 0)")
    options = parser.parse_args()

    paths = [path for path in image_paths(options.folder) if read_picture(path).pixels.ndim == 3]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "names.txt").write_text("\n".join(path.name for path in paths) + "\n")
    rng = np.random.default_rng(options.seed)
    shifts, qualities = rng.uniform(size=len(paths)), rng.integers(75, 96, len(paths))
    jpeg = rng.uniform(size=len(paths)) < options.jpeg
    visual = rng.uniform(size=(len(paths), options.steps)) < options.visual
    steps = np.array([steps_of(options.steps, shift) for shift in shifts], np.int32)
    np.save(options.out / "steps.npy", steps)
    arrays: dict[str, np.ndarray] = {}

    def put(name: str, place: tuple[int, ...], plane: Plane, shape: tuple[int, ...]) -> None:
        if name not in arrays:
            file = options.out / f"{name}.npy"
            arrays[name] = np.lib.format.open_memmap(file, "w+", np.int16, (*shape, *plane.shape))
        arrays[name][place] = plane

    folder = tempfile.TemporaryDirectory()  # for images through JPEG
    for n, path in enumerate(paths):
        if jpeg[n]:
            path = through_jpeg(path, int(qualities[n]), Path(folder.name))
        luma, *chroma = read_planes(path, subsample=False)
        half = read_planes(path)[1:]
        for name, planes in zip(KINDS, ((luma,), chroma, half), strict=True):
            for p, plane in enumerate(planes):
                put(name, (n, p), plane, (len(paths), len(planes)))
        for k in range(options.steps):
            bits = decide.local_bits(int(steps[n, k, 0]))
            masks = (bits, block_symbols(luma, bits)) if visual[n, k] else None
            for kind, (name, planes) in enumerate(zip(KINDS, ((luma,), chroma, half), strict=True)):
                for p, plane in enumerate(planes):
                    found = decoded(plane, int(steps[n, k, kind]), name, masks)
                    put(f"{name}_decoded", (n, k, p), found, (len(paths), options.steps, len(planes)))
        print(f"{n + 1} of {len(paths)}", end="\r", flush=True)


if __name__ == "__main__":
    main()
