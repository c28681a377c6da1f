"""Show what the factors of a photograph look like: the columns of U as small images, the columns of V as patches.

    python examples/factor_maps.py [PICTURE] [-o factor_maps.png] [--rank 6]

This is the picture of the paper's Figure 2. Needs matplotlib (pip install "imfnb[eval]").
"""

from __future__ import annotations

import argparse

import matplotlib
import numpy as np

import imfnb
from imfnb.color import split_planes
from imfnb.patches import from_blocks, grid_shape, patchify
from imfnb.pictures import read_picture

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", help="any RGB picture; default: scikit-image's coffee cup")
    parser.add_argument("-o", "--output", default="factor_maps.png", help="where the figure goes")
    parser.add_argument("--rank", type=int, default=6, help="number of components to show")
    arguments = parser.parse_args()
    if arguments.picture:
        image = read_picture(arguments.picture)
    else:
        from skimage import data

        image = data.coffee()
    planes = split_planes(image.reshape(*image.shape[:2], -1), "YCbCr", True, "cpu")[:3]
    names = ("Y", "Cb", "Cr") if len(planes) == 3 else ("gray",)

    rows, columns = 2 * len(planes), arguments.rank + 1
    figure, axes = plt.subplots(rows, columns, figsize=(1.7 * columns, 1.35 * rows), layout="constrained")
    for p, (name, plane) in enumerate(zip(names, planes, strict=False)):
        grid = grid_shape(plane.shape, 8)
        (blocks,) = patchify(plane[:, :, None], "YCbCr", True, 8, "cpu")
        u, v = imfnb.factorize(from_blocks(blocks, grid[0] * grid[1]), arguments.rank)
        top, bottom = axes[2 * p], axes[2 * p + 1]
        top[0].imshow(plane, cmap="gray", vmin=0, vmax=255)
        top[0].set_title(f"{name}, {plane.shape[1]} x {plane.shape[0]}", fontsize=8)
        for r in range(arguments.rank):
            top[r + 1].imshow(u[:, r].reshape(grid), cmap="gray")
            top[r + 1].set_title(f"$u_{{{r + 1}}}$: {u[:, r].min()} to {u[:, r].max()}", fontsize=8)
            limit = max(1, np.abs(v[:, r]).max())
            bottom[r + 1].imshow(v[:, r].reshape(8, 8), cmap="PuOr", vmin=-limit, vmax=limit)
            bottom[r + 1].set_title(f"$v_{{{r + 1}}}$: {v[:, r].min()} to {v[:, r].max()}", fontsize=8)
        for axis in (*top, *bottom):
            axis.set_axis_off()
    figure.suptitle("Integer factors of the 8 x 8 patches, in [-16, 15]: U as maps, V as patches", fontsize=10)
    figure.savefig(arguments.output, dpi=150)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
