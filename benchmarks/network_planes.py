"""Planes to learn the restoration network from: a folder of images before and after the codec.

    python benchmarks/network_planes.py FOLDER OUT [--steps 12] [--seed 1] [--dependent] [--jpeg 0.5]

Every image is coded at as many steps of luma, spread evenly by their logarithm between 3 and 210 gray levels and
shifted at random from image to image, with the patch sizes that the encoder would choose. Chroma is coded at both
resolutions, with its step as the encoder's share of that of luma. A share of the images may be taken through JPEG with
half-size chroma before, as most pictures that people have were: such chroma is smoother. All arrays are of int16, in 1/16 gray level; ``OUT``
gets, for N images of one size and K steps:

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
from planes import Plane, decoded, image_paths, read_planes

from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import cpu as kernels
from imfnb.lapped import cpu as lapped
from imfnb.pictures import read_picture
from imfnb.profiles import decide
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


def decoded_dependent(plane: Plane, step: int, patch_size: int) -> Plane:
    """The plane that comes out of the codec with dependent quantization, without restoration."""
    from imfnb.format.dependent import fine_step

    run, shape = HostRun("cpu", 1), tuple(size + -size % patch_size for size in plane.shape)
    filtered, step = np.empty((1, *shape), np.int32), fine_step(step)
    lapped.forward(plane[None], patch_size, filtered, [0])
    settings = rdoq.Settings(dependent=True)
    last = rdoq.prepare(filtered, step, patch_size, run, "", settings=settings)
    factors, ranks = rdoq.choose_last(last, run, "")
    rdoq.product(factors, ranks, step, patch_size, None, filtered, run, "")
    out = np.empty((1, *plane.shape), np.int32)
    lapped.inverse(filtered, patch_size, out, [0])
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
    parser.add_argument("--dependent", action="store_true", help="with dependent quantization, as effort='best' codes")
    parser.add_argument("--jpeg", type=float, default=0.0, metavar="SHARE", help="of the images (default 0)")
    options = parser.parse_args()
    code = decoded_dependent if options.dependent else decoded

    paths = [path for path in image_paths(options.folder) if read_picture(path).pixels.ndim == 3]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "names.txt").write_text("\n".join(path.name for path in paths) + "\n")
    rng = np.random.default_rng(options.seed)
    shifts, qualities = rng.uniform(size=len(paths)), rng.integers(75, 96, len(paths))
    jpeg = rng.uniform(size=len(paths)) < options.jpeg
    steps = np.array([steps_of(options.steps, shift) for shift in shifts], np.int32)
    np.save(options.out / "steps.npy", steps)
    arrays: dict[str, np.ndarray] = {}

    def put(name: str, place: tuple[int, ...], plane: Plane, shape: tuple[int, ...]) -> None:
        if name not in arrays:
            file = options.out / f"{name}.npy"
            arrays[name] = np.lib.format.open_memmap(file, "w+", np.int16, (*shape, *plane.shape))
        arrays[name][place] = plane

    folder = tempfile.TemporaryDirectory()
    for n, path in enumerate(paths):
        if jpeg[n]:
            path = through_jpeg(path, int(qualities[n]), Path(folder.name))
        luma, *chroma = read_planes(path, subsample=False)
        half = read_planes(path)[1:]
        for kind, (name, planes) in enumerate(zip(KINDS, ((luma,), chroma, half), strict=True)):
            shape = len(paths), len(planes)
            for p, plane in enumerate(planes):
                put(name, (n, p), plane, shape)
                for k in range(options.steps):
                    step = int(steps[n, k, kind])
                    found = code(plane, step, patch_size(plane, step))
                    put(f"{name}_decoded", (n, k, p), found, (shape[0], options.steps, shape[1]))
        print(f"{n + 1} of {len(paths)}", end="\r", flush=True)


if __name__ == "__main__":
    main()
