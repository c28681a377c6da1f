"""Write the golden files that do not exist yet; an existing one is never touched.

Files of every released format version must decode to the same pixels for ever, so neither the files nor their entries
in sha256.json are ever regenerated: add a case below and run ``python tests/golden/make.py``.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys

import numpy as np

import imfnb

FOLDER = pathlib.Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from helpers import picture  # noqa: E402

#: Name of the file -> shape of the picture (height, width, channels; 0: no channel axis) and options of encode.
CASES = {
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
}


def checksum(pixels: np.ndarray) -> dict:
    """Shape and SHA-256 of decoded pixels, as kept in sha256.json."""
    return {"shape": list(pixels.shape), "sha256": hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()}


def main(folder: pathlib.Path = FOLDER) -> list[str]:
    """Write the missing files and their checksums; returns the names of the new ones."""
    table_path = folder / "sha256.json"
    table = json.loads(table_path.read_text()) if table_path.exists() else {}
    new = []
    for name, (shape, options) in CASES.items():
        path = folder / f"{name}.imf"
        if path.exists() or name in table:
            continue
        profile = name.split("-")[1]
        data = imfnb.encode(picture(*shape, seed=len(name)), profile=profile, **options)
        table[name] = checksum(imfnb.decode(data, device="reference"))
        path.write_bytes(data)
        new.append(name)
    if new:
        table_path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return new


if __name__ == "__main__":
    print("\n".join(main()) or "nothing new")
