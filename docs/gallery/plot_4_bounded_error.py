"""
Bands with a bounded error
==========================

An array of several bands, of which no sample may be off by more than a given number of units, and some have no value.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import imfnb
from imfnb import metrics

# %%
# A scene of four bands with 12 bits, made of a photograph: its colours and one more that follows from them, with noise
# as sensors have it. The corner that was not observed is 0.

colours = data.coffee().astype(float)
noise = np.random.default_rng(0).normal(0, 6, (*colours.shape[:2], 4))
bands = np.dstack([12 * colours, 900 + 14 * colours[:, :, 0] - 5 * colours[:, :, 2]])
scene = np.clip(bands + noise, 1, 4095).astype(np.uint16)
scene[:90, :140] = 0

# %%
# Every file is decoded once before it is handed out, to see that the bound holds.

bounds = (0, 2, 8, 32)
print("bound  largest error  bits a sample")
differences = []
for bound in bounds:
    coded = imfnb.encode(scene, nodata=0, **({"max_error": bound} if bound else {"lossless": True}))
    decoded = imfnb.decode(coded)
    differences.append(decoded.astype(int) - scene)
    print(f"{bound:5d} {metrics.max_error(scene, decoded):14.0f} {8 * len(coded) / scene.size:14.2f}")
    assert np.array_equal(decoded == 0, scene == 0)  # missing samples are missing, and no others

# %%
# What is left is within the bound, at the largest values as at the smallest.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for axis, bound, difference in zip(axes, bounds[1:], differences[1:], strict=True):
    shown = axis.imshow(difference[60:220, 100:340, 3], cmap="RdBu_r", vmin=-bound, vmax=bound)
    axis.set_title(f"max_error={bound}")
    axis.set_axis_off()
    figure.colorbar(shown, ax=axis, shrink=0.7)
