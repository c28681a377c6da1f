"""
A preview from the first components
===================================

A picture is a sum of components, the largest first. ``decode(max_rank=)`` stops after some of them.
"""

import matplotlib.pyplot as plt
from skimage import data

import imfnb
from imfnb import metrics

image = data.astronaut()
coded = imfnb.encode(image, bpp=0.6)

# %%
# The first component of a patch is about its mean; every further one adds a pattern to it.

figure, axes = plt.subplots(1, 4, figsize=(12, 3.4))
for axis, rank in zip(axes, (1, 3, 10, None), strict=True):
    preview = imfnb.decode(coded, max_rank=rank)
    axis.imshow(preview[:256, 120:376])
    name = "all components" if rank is None else f"max_rank={rank}"
    axis.set_title(f"{name}: {metrics.psnr(image, preview):.1f} dB")
    axis.set_axis_off()
figure.tight_layout()

# %%
# ``info(components=True)`` says how many bytes each of them takes: of a plane the first one, then a map that says how
# many of the others each patch has, then those.

first, ranks, *others = imfnb.info(coded, components=True)["components"]["Y"]
print(first, "bytes for the first,", ranks, "for the map,", sum(others), "for", len(others), "others")
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.bar(range(1, len(others) + 2), [first, *others])
axis.set_xlabel("component of luma")
axis.set_ylabel("bytes")
