"""
Rate and distortion of one picture
==================================

One photograph at six rates, with both tunings of the main profile, with the paper's method and with JPEG.
"""

# %%
# ``tune="visual"``, the default, puts errors where the eye overlooks them, ``tune="psnr"`` makes their squares least.
# Both are the profile "main"; "baseline" is the method of the paper to the letter.

import matplotlib.pyplot as plt
from skimage import data

from imfnb import baselines, metrics

image = data.coffee()
rates = (0.1, 0.15, 0.25, 0.4, 0.7, 1.1)
curves = {name: [] for name in ("imf", "imf-psnr", "imf-baseline", "jpeg")}
for name, points in curves.items():
    codec = baselines.codec(name)
    for rate in rates:
        coded = baselines.encode_at(codec, image, bpp=rate)
        points.append((metrics.bpp(coded, image), metrics.psnr(image, codec.decode(coded))))

figure, axis = plt.subplots(figsize=(7, 4.5))
for name, points in curves.items():
    axis.plot(*zip(*points, strict=True), marker="o", label=name)
axis.set_xscale("log")
axis.set_xticks(rates, [f"{rate:g}" for rate in rates])
axis.minorticks_off()
axis.set_xlabel("bits per pixel")
axis.set_ylabel("PSNR in dB")
axis.grid(alpha=0.3)
axis.legend()

# %%
# Bjontegaard's difference of rates says the same in one number: the bits that each takes at equal PSNR, in percent of
# JPEG's.

reference = tuple(zip(*curves["jpeg"], strict=True))
for name in ("imf", "imf-psnr", "imf-baseline"):
    print(f"{name:>12}: {metrics.bd_rate(*reference, *zip(*curves[name], strict=True)):+.0f}%")
