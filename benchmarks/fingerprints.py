"""SHA-256 of some two hundred files and of the pixels that they decode to, to compare two states of the code.

    python benchmarks/fingerprints.py record before.json [PICTURES ...]
    python benchmarks/fingerprints.py compare before.json [PICTURES ...]

Both profiles, all options and targets, gray to RGBA, 1 x 1 to several megapixels, one and several threads. `compare`
exits with 1 and names what differs. PICTURES are files that imageio reads; without them all pictures are synthetic.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import imfnb

Case = tuple[str, np.ndarray, dict[str, Any]]


def shaded(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """A photograph-like picture: smooth shading, an edge, some texture. 0 channels: no channel axis."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    layers = []
    for c in range(max(1, channels)):
        plane = 120 + 70 * np.sin(x / (9 + 3 * c) + c) + 40 * np.cos(y / (7 + c)) + 50 * (x + 2 * y > width)
        layers.append(plane + rng.normal(0, 6, plane.shape))
    image = np.clip(np.rint(np.stack(layers, axis=-1)), 0, 255).astype(np.uint8)
    return image if channels else image[:, :, 0]


def drawing(height: int, width: int) -> np.ndarray:
    """Flat colours with hard edges."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x // 17 * 40) % 256, (y // 23 * 60) % 256, ((x + y) // 31 * 90) % 256], axis=-1).astype(np.uint8)


def cases(paths: list[Path]) -> Iterator[Case]:
    """Names, images and options."""
    sizes = [(1, 1), (1, 40), (40, 1), (7, 5), (8, 8), (15, 17), (16, 16), (33, 70), (61, 43)]
    for height, width in sizes:
        for channels in (0, 1, 3, 4):
            image, name = shaded(height, width, channels), f"{height}x{width}x{channels}"
            yield f"main {name}", image, {"quality": 60}
            yield f"baseline {name}", image, {"profile": "baseline", "quality": 20}
    small = {c: shaded(97, 130, c, 1) for c in (0, 3, 4)}
    small[5] = drawing(90, 120)
    few = shaded(64, 80, 4, 2)
    few[:, :, 3] = (few[:, :, 3] > 128) * 255
    small[6] = few
    main: list[dict[str, Any]] = [{"quality": q} for q in (0, 25, 50, 75, 100)]
    main += [{"step": s} for s in (1, 9.3, 30, 120, 256)]
    main += [{"step": 40, "patch_size": p} for p in (8, 16)]
    main += [{"bpp": 0.7}, {"bpp": 2.5}, {"size": 2500}, {"psnr": 28}, {"psnr": 36.5}]
    main += [{"step": 20, "device": "reference"}]
    base: list[dict[str, Any]] = [{"rank": 3}, {"rank": 7, "iterations": 2}, {"quality": 50}, {"bpp": 4}, {"psnr": 27}]
    base += [{"rank": 4, "patch_size": p} for p in (4, 16, 32, None)]
    base += [{"rank": 3, "bounds": b} for b in ((-1000, 1000), (0, 31), (-32767, 32767), (-1, 1))]
    base += [{"size": 3000}, {"rank": 3, "device": "reference"}]
    for kind, image in small.items():
        for options in main:
            yield f"main small {kind} {options}", image, options
            if image.ndim == 3:
                for subsampling in ("4:2:0", "4:4:4"):
                    if "device" not in options and kind in (3, 5):
                        case = f"main small {kind} {subsampling} {options}"
                        yield case, image, {**options, "subsampling": subsampling}
        for options in base:
            yield f"baseline small {kind} {options}", image, {"profile": "baseline", **options}
    for options in ({"rank": 3}, {"rank": 3, "patch_size": None}, {"quality": (30, 20, 10)}):
        rgb = {"profile": "baseline", "color_space": "RGB", **options}
        if "quality" in options:
            rgb = {"profile": "baseline", **options}
        yield f"baseline RGB {options}", small[3], rgb
    yield "main svd", small[3], {"step": 30, "objective": "svd"}
    large = {c: shaded(1100, 1300, c, 3) for c in (0, 3)}
    large[7] = shaded(3000, 1700, 0, 4)
    large[8] = np.repeat(np.repeat(shaded(420, 500, 3, 5), 5, axis=0), 5, axis=1)
    for kind, image in large.items():
        for options in ({"quality": 30}, {"step": 60, "threads": 1}, {"quality": 80, "threads": 3}):
            yield f"main large {kind} {options}", image, options
        yield f"baseline large {kind}", image, {"profile": "baseline", "rank": 3, "threads": 2}
    yield "main large bpp", large[3], {"bpp": 0.4}
    yield "main large psnr", large[8], {"psnr": 30}
    yield "main large size", large[7], {"size": 200_000}
    for path in paths:
        import imageio.v3 as iio

        image = iio.imread(path)
        found = [{"quality": 30}, {"quality": 65}, {"bpp": 0.3}, {"psnr": 32}, {"profile": "baseline", "rank": 4}]
        for options in found:
            yield f"{path.name} {options}", image, options


def fingerprint(image: np.ndarray, options: dict[str, Any]) -> list[str]:
    """Digests of the file and of its pixels; the text of the error where there is one."""
    try:
        data = imfnb.encode(image, **options)
    except imfnb.ImfError as error:
        return [type(error).__name__, str(error)]
    pixels = imfnb.decode(data, threads=options.get("threads"))
    preview = imfnb.decode(data, max_rank=2)
    return [hashlib.sha256(part).hexdigest() for part in (data, pixels.tobytes(), preview.tobytes())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("pictures", nargs="*", type=Path)
    arguments = parser.parse_args()
    found = {name: fingerprint(image, options) for name, image, options in cases(arguments.pictures)}
    if arguments.mode == "record":
        arguments.file.write_text(json.dumps(found, indent=0))
        sys.stdout.write(f"{len(found)} fingerprints\n")
        return 0
    expected = json.loads(arguments.file.read_text())
    different = [name for name in found if found[name] != expected.get(name)]
    sys.stdout.write("".join(f"differs: {name}\n" for name in different))
    sys.stdout.write(f"{len(found) - len(different)} of {len(found)} equal\n")
    return 1 if different or found.keys() != expected.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
