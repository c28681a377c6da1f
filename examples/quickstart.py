"""Encode a photograph at a few rates and compare it with JPEG at equal bytes, in one picture.

    python examples/quickstart.py [PICTURE] [-o quickstart.png]

Without a picture, the photograph of a coffee cup that comes with scikit-image is used.
"""

from __future__ import annotations

import argparse
import io
import time

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import imfnb
from imfnb.metrics import psnr
from imfnb.pictures import read_picture


def nearest_jpeg(image: np.ndarray, size: float) -> tuple[bytes, np.ndarray]:
    """The JPEG with optimised Huffman tables whose size is nearest to `size` bytes, and its pixels."""
    files = []
    for quality in range(1, 96):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=True)
        files.append(buffer.getvalue())
    best = min(files, key=lambda file: abs(len(file) - size))
    return best, np.asarray(Image.open(io.BytesIO(best)))


def side_by_side(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    """The panels in a row, each with its label above."""
    height, width = panels[0][1].shape[:2]
    label, gap = max(24, width // 20), 8
    font = ImageFont.load_default(label * 0.6)
    sheet = Image.new("RGB", (len(panels) * (width + gap) - gap, height + label), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (text, pixels) in enumerate(panels):
        draw.text((i * (width + gap) + 4, label * 0.15), text, "black", font)
        sheet.paste(Image.fromarray(pixels), (i * (width + gap), label))
    return sheet


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", help="any picture; default: scikit-image's coffee cup")
    parser.add_argument("-o", "--output", default="quickstart.png", help="where the comparison goes")
    arguments = parser.parse_args()
    if arguments.picture:
        image = read_picture(arguments.picture, srgb=True).pixels
    else:
        from skimage import data

        image = data.coffee()
    if image.ndim == 2 or image.shape[2] == 4:
        colors = image.reshape(*image.shape[:2], -1)[:, :, :3]
        image = np.ascontiguousarray(np.broadcast_to(colors, (*image.shape[:2], 3)))

    print("loading the kernels (the first time they are compiled, which takes half a minute) ...")
    imfnb.warmup()
    print(f"{'target':>10} {'bytes':>8} {'bpp':>7} {'PSNR dB':>8} {'encode ms':>10} {'decode ms':>10}")
    for bpp in (0.15, 0.25, 0.5, 1.0):
        start = time.perf_counter()
        data = imfnb.encode(image, bpp=bpp)
        middle = time.perf_counter()
        decoded = imfnb.decode(data)
        end = time.perf_counter()
        rate = imfnb.info(data)["bpp"]
        print(
            f"{bpp:6.2f} bpp {len(data):8d} {rate:7.3f} {psnr(image, decoded):8.2f} "
            f"{1e3 * (middle - start):10.1f} {1e3 * (end - middle):10.1f}"
        )

    # JPEG's sizes come in steps, so it goes first and imfnb gets no more bytes than it took.
    rival, jpeg = nearest_jpeg(image, 0.25 * image.shape[0] * image.shape[1] / 8)
    data = imfnb.encode(image, size=len(rival))
    decoded = imfnb.decode(data)
    panels = [
        ("original", image),
        (f"imfnb: {len(data)} bytes, {psnr(image, decoded):.2f} dB", decoded),
        (f"JPEG (optimised): {len(rival)} bytes, {psnr(image, jpeg):.2f} dB", jpeg),
    ]
    side_by_side(panels).save(arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
