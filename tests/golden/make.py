"""Write the golden files that do not exist yet; an existing one is never touched.

Files of every released format version must decode to the same pixels for ever, so neither the files nor their entries
in sha256.json are ever regenerated: add a case below, or in `crafted` or `rasters`, and run
``python tests/golden/make.py``. The cases of version 1 tell how its files were made; an encoder writes the newest
version only and would not make them again.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
from collections.abc import Callable
from functools import partial

import numpy as np

import imfnb

FOLDER = pathlib.Path(__file__).parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import crafted  # noqa: E402
import rasters  # noqa: E402
from helpers import picture  # noqa: E402

#: Name of the file -> shape of the picture (height, width, channels; 0: no channel axis) and options of encode;
#: "alpha" is the number of values that alpha is reduced to; "waves" the amplitude of waves that repeat every 8 samples,
#: for which V leaves the DCT basis.
PICTURES = {
    "v1-baseline-gray": ((19, 23, 0), {"rank": 4}),
    "v1-baseline-gray-axis-p4": ((19, 23, 1), {"rank": 3, "patch_size": 4}),
    "v1-baseline-one-pixel": ((1, 1, 0), {"rank": 1}),
    "v1-baseline-rgb": ((19, 23, 3), {"rank": 4}),
    "v1-baseline-rgb-444": ((19, 23, 3), {"rank": (4, 3, 2), "subsampling": "4:4:4"}),
    "v1-baseline-rgb-p16": ((33, 40, 3), {"rank": 3, "patch_size": 16}),
    "v1-baseline-rgb-p32": ((33, 40, 3), {"rank": 2, "patch_size": 32}),
    "v1-baseline-rgb-no-patches": ((21, 17, 3), {"rank": 5, "patch_size": None}),
    "v1-baseline-rgba": ((19, 23, 4), {"rank": 4}),
    "v1-baseline-rgba-joint": ((19, 23, 4), {"rank": 4, "color_space": "RGB"}),
    "v1-baseline-joint-p4": ((18, 25, 3), {"rank": 6, "color_space": "RGB", "patch_size": 4}),
    "v1-baseline-rgb-space-no-patches": ((18, 25, 3), {"rank": 4, "color_space": "RGB", "patch_size": None}),
    "v1-baseline-bounds-0-31": ((19, 23, 3), {"rank": 4, "bounds": (0, 31)}),
    "v1-baseline-bounds-int16": ((19, 23, 3), {"rank": 4, "bounds": (-1000, 1000)}),
    "v1-baseline-bounds-limit": ((19, 23, 0), {"rank": 4, "bounds": (-32767, 32767), "patch_size": None}),
    "v1-baseline-quality": ((40, 33, 3), {"quality": 12.5, "patch_size": 8}),
    "v1-main-gray": ((19, 23, 0), {"quality": 50}),
    "v1-main-gray-axis-p16": ((19, 23, 1), {"step": 30, "patch_size": 16}),
    "v1-main-one-pixel": ((1, 1, 3), {"step": 10}),
    "v1-main-one-row": ((1, 41, 0), {"step": 12}),
    "v1-main-rgb-420": ((19, 23, 3), {"step": 20, "subsampling": "4:2:0", "patch_size": 8}),
    "v1-main-rgb-420-fine": ((17, 13, 3), {"step": 3.5, "subsampling": "4:2:0"}),
    "v1-main-rgb-444": ((19, 23, 3), {"step": 6}),
    "v1-main-rgb-444-coarse-p16": ((33, 20, 3), {"step": 60, "subsampling": "4:4:4", "patch_size": 16}),
    "v1-main-rgb-step-1": ((9, 11, 3), {"step": 1}),
    "v1-main-rgb-step-200": ((33, 40, 3), {"step": 200}),
    "v1-main-rgb-auto": ((32, 40, 3), {"quality": 20}),
    "v1-main-rgba-few": ((19, 13, 4), {"step": 25, "alpha": 3}),
    "v1-main-rgba-many": ((19, 13, 4), {"step": 25}),
    "v1-main-psnr": ((18, 15, 3), {"psnr": 33.0}),
    "v1-main-two-bands-own-v": ((2056, 2064, 0), {"step": 200, "waves": 30}),
}
PICTURES.update(
    {
        f"v2{name[2:]}": (shape, options | {"tune": "psnr"} if "-main-" in name else options)
        for name, (shape, options) in PICTURES.items()
        if "main-rgba" not in name and "waves" not in options
    }
)
PICTURES.update(
    {
        "v2-baseline-fast-gray": ((45, 37, 0), {"rank": 6, "coder": "fast"}),
        "v2-baseline-fast-one-pixel": ((1, 1, 3), {"rank": 1, "coder": "fast"}),
        "v2-baseline-fast-rgb": ((50, 67, 3), {"rank": 8, "coder": "fast"}),
        "v2-baseline-fast-rgb-no-patches": ((21, 17, 3), {"rank": 5, "patch_size": None, "coder": "fast"}),
        "v2-baseline-fast-rgba-joint": ((33, 40, 4), {"rank": 4, "color_space": "RGB", "coder": "fast"}),
        "v2-baseline-fast-bounds-limit": (
            (40, 33, 0),
            {"rank": 4, "bounds": (-32767, 32767), "patch_size": None, "coder": "fast"},
        ),
        "v2-baseline-fast-lanes": ((240, 320, 0), {"rank": 7, "patch_size": 8, "coder": "fast"}),
        "v2-main-rgba-constant": ((19, 13, 4), {"step": 25, "alpha": 1, "tune": "psnr"}),
        "v2-main-rgba-two-values": ((19, 13, 4), {"step": 25, "alpha": 2, "tune": "psnr"}),
        "v2-main-rgba-sixteen-values": ((24, 24, 4), {"step": 40, "alpha": 16, "tune": "psnr"}),
        "v2-main-rgba-lossless": (
            (24, 21, 4),
            {"step": 30, "alpha_quality": "lossless", "keep_hidden": True, "tune": "psnr"},
        ),
        "v2-main-rgba-lossy": ((40, 38, 4), {"step": 25, "alpha_quality": 20, "tune": "psnr"}),
        "v2-main-rgba-lossy-fine": ((33, 47, 4), {"psnr": 35, "alpha_quality": 60}),
        "v2-main-visual-gray": ((45, 37, 0), {"quality": 40, "tune": "visual"}),
        "v2-main-visual-rgb": ((50, 67, 3), {"quality": 55, "tune": "visual", "subsampling": "4:2:0"}),
        "v2-main-visual-rgb-444-p16": (
            (50, 67, 3),
            {"step": 90, "tune": "visual", "subsampling": "4:4:4", "patch_size": 16},
        ),
        "v2-main-visual-rgba": ((40, 38, 4), {"step": 30, "alpha_quality": 20, "tune": "visual"}),
        "v2-main-visual-one-pixel": ((1, 1, 3), {"quality": 100, "tune": "visual"}),
        "v2-main-best-gray": ((45, 37, 0), {"quality": 40, "tune": "psnr", "effort": "best"}),
        "v2-main-best-one-pixel": ((1, 1, 3), {"quality": 80, "effort": "best"}),
        "v2-main-best-one-row": ((1, 41, 3), {"step": 12, "effort": "best", "subsampling": "4:2:0"}),
        "v2-main-best-rgb-420": ((50, 67, 3), {"step": 20, "tune": "psnr", "effort": "best", "subsampling": "4:2:0"}),
        "v2-main-best-rgb-444-p16": (
            (51, 67, 3),
            {"step": 60, "tune": "psnr", "effort": "best", "subsampling": "4:4:4", "patch_size": 16},
        ),
        "v2-main-best-rgb-fine": ((33, 40, 3), {"step": 1, "tune": "psnr", "effort": "best"}),
        "v2-main-best-rgb-coarse": ((64, 80, 3), {"step": 200, "tune": "psnr", "effort": "best"}),
        "v2-main-best-visual-rgba": ((40, 38, 4), {"step": 30, "alpha_quality": 20, "effort": "best"}),
        "v2-main-fast-gray": ((45, 37, 0), {"quality": 40, "tune": "psnr", "effort": "fast"}),
        "v2-main-fast-one-pixel": ((1, 1, 3), {"quality": 80, "effort": "fast"}),
        "v2-main-fast-one-column": ((41, 1, 3), {"step": 12, "effort": "fast", "subsampling": "4:2:0"}),
        "v2-main-fast-rgb-420": ((50, 67, 3), {"step": 20, "tune": "psnr", "effort": "fast", "subsampling": "4:2:0"}),
        "v2-main-fast-rgb-444-p16": (
            (51, 67, 3),
            {"step": 60, "tune": "psnr", "effort": "fast", "subsampling": "4:4:4", "patch_size": 16},
        ),
        "v2-main-fast-rgb-fine": ((33, 40, 3), {"step": 1, "tune": "psnr", "effort": "fast", "subsampling": "4:2:0"}),
        "v2-main-fast-rgb-coarse": ((64, 80, 3), {"step": 200, "tune": "psnr", "effort": "fast"}),
        "v2-main-fast-lanes": ((192, 200, 0), {"step": 20, "tune": "psnr", "effort": "fast", "patch_size": 8}),
        "v2-main-fast-visual-rgb": ((70, 90, 3), {"quality": 30, "effort": "fast", "patch_size": 8}),
        "v2-main-fast-visual-rgba": ((40, 38, 4), {"step": 30, "alpha_quality": 20, "effort": "fast"}),
    }
)


def checksum(pixels: np.ndarray) -> dict:
    """Shape and SHA-256 of decoded pixels, as kept in sha256.json, and their type if it is not uint8."""
    found = {"shape": list(pixels.shape), "sha256": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()}
    return found if pixels.dtype == np.uint8 else found | {"dtype": pixels.dtype.name}


def encode(name: str) -> bytes:
    """The file of a picture."""
    shape, options = PICTURES[name][0], dict(PICTURES[name][1])
    values, amplitude = options.pop("alpha", 0), options.pop("waves", 0)
    image = crafted.waves(*shape[:2], amplitude) if amplitude else picture(*shape, seed=len(name))
    if values == 1:
        image[:, :, 3] = 200
    elif values:
        image[:, :, 3] = image[:, :, 3] // (256 // values) * (255 // values)
    elif shape[2] == 4:  # fully transparent and opaque areas with soft edges
        image[:, :, 3] = np.clip(2.0 * image[:, :, 3] - 120, 0, 255)
    return imfnb.encode(image, profile=name.split("-")[1], **options)


#: Name of the file -> what makes its bytes.
CASES: dict[str, Callable[[], bytes]] = {
    **{name: partial(encode, name) for name in PICTURES},
    **crafted.CASES,
    **rasters.CASES,
}


def main(folder: pathlib.Path = FOLDER) -> list[str]:
    """Write the missing files and their checksums; returns the names of the new ones."""
    table_path = folder / "sha256.json"
    table = json.loads(table_path.read_text()) if table_path.exists() else {}
    new = []
    for name, make in CASES.items():
        path = folder / f"{name}.imf"
        if path.exists() or name in table:
            continue
        data = make()
        table[name] = checksum(imfnb.decode(data, device="reference"))
        path.write_bytes(data)
        new.append(name)
    if new:
        table_path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return new


if __name__ == "__main__":
    print("\n".join(main()) or "nothing new")
