"""
What U and V look like
======================

The rows of X are the patches of a picture. In X ~ U V^T, a column of V is a pattern, and the column of U that belongs
to it says how much of that each patch has: a small picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import imfnb

image = data.camera()
side, rank = 8, 5
rows, columns = image.shape[0] // side, image.shape[1] // side
X = image.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side * side)

# %%
# Every entry of U and V is an integer from -16 to 15. The descent begins at the truncated SVD; its cost never rises.

U, V, cost = imfnb.factorize(X, rank=rank, bounds=(-16, 15), return_cost=True)
print("from", U.min(), "to", U.max(), "in", U.dtype)
print("root mean square error after every sweep:", np.sqrt(cost / X.size).round(2))

# %%
# Above the columns of U as pictures of 64 x 64, below the columns of V as patches.

figure, axes = plt.subplots(2, rank, figsize=(11, 4.6))
for r in range(rank):
    axes[0, r].imshow(U[:, r].reshape(rows, columns), cmap="RdBu_r", vmin=-16, vmax=15)
    axes[1, r].imshow(V[:, r].reshape(side, side), cmap="RdBu_r", vmin=-16, vmax=15)
    axes[0, r].set_title(f"component {r + 1}")
for axis in axes.flat:
    axis.set_xticks([])
    axis.set_yticks([])
figure.tight_layout()

# %%
# Their product, put back in place, is the picture.

product = np.clip(U.astype(int) @ V.T.astype(int), 0, 255).reshape(rows, columns, side, side)
figure, axes = plt.subplots(1, 2, figsize=(8, 4.2))
for axis, pixels, name in zip(axes, (image, product.swapaxes(1, 2).reshape(image.shape)), ("X", "U V^T"), strict=True):
    axis.imshow(pixels, cmap="gray")
    axis.set_title(name)
    axis.set_axis_off()
figure.tight_layout()
