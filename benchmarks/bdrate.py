"""Rate-distortion table of imfnb against JPEG, JPEG 2000, WebP and AVIF on a folder of images.

    python benchmarks/bdrate.py FOLDER [--effort fast] [--codecs imfnb jpeg ...] [--rivals CACHE.json] [--json OUT.json]

Every file is counted in full, as a user would store it. The rivals run through Pillow at their best settings, named in
the output: JPEG with optimised Huffman tables, JPEG 2000 with the colour transform, the irreversible wavelet and no
JP2 boxes, WebP with method 6, AVIF at speeds 6 and 2. Their points take minutes (AVIF at speed 2), so ``--rivals``
names a JSON file that keeps them; missing points are added to it. Points of imfnb are always measured anew.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from scipy.interpolate import PchipInterpolator

from imfnb import metrics

UInt8Image = NDArray[np.uint8]
Curves = dict[str, dict[str, dict[str, list[float]]]]
"""codec -> image -> "setting" or measure -> values, one per point"""

OURS = "imfnb"
REPORTED_BPP = (0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 1.0)
MEASURES = ("bpp", "psnr", "ssim")
IMAGE_SUFFIXES = {".png", ".ppm", ".pgm", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True)
class Codec:
    """One encoder with the list of settings that spans its curve.

    Attributes
    ----------
    description : str
        The settings that do not vary, for the reader of the table.
    settings : tuple of float
        Values of the varying parameter; together they cover about 0.05 to 2.5 bits per pixel.
    encode : callable
        ``encode(image, setting) -> bytes`` of a uint8 image (H, W) or (H, W, 3).
    decode : callable
        ``decode(data) -> image`` of the same shape.
    """

    description: str
    settings: tuple[float, ...]
    encode: Callable[[UInt8Image, float], bytes]
    decode: Callable[[bytes], UInt8Image]


def pillow_encode(image: UInt8Image, setting: float, *, file_format: str, **options: Any) -> bytes:
    """Encode with Pillow; `setting` is its quality, 0 to 100."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, file_format, quality=int(setting), **options)
    return buffer.getvalue()


def jpeg2000_encode(image: UInt8Image, setting: float) -> bytes:
    """Encode a raw JPEG 2000 codestream with Pillow; `setting` is the target in bits per pixel."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    options = {"mct": 1} if channels == 3 else {}
    buffer = io.BytesIO()
    Image.fromarray(image).save(
        buffer,
        "JPEG2000",
        irreversible=True,
        quality_mode="rates",
        quality_layers=[8.0 * channels / setting],
        no_jp2=True,
        **options,
    )
    return buffer.getvalue()


def pillow_decode(data: bytes) -> UInt8Image:
    """Decode any of Pillow's formats to gray or RGB."""
    with Image.open(io.BytesIO(data)) as file:
        return np.asarray(file if file.mode == "L" else file.convert("RGB"))


def imfnb_encode(image: UInt8Image, setting: float, effort: str) -> bytes:
    """Encode with imfnb's main profile; `setting` is the step."""
    import imfnb

    return imfnb.encode(image, step=setting, tune="psnr", effort=effort)


def ours(effort: str) -> Codec:
    """What the others are compared with."""
    steps = 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 230
    return Codec(f"profile main, effort={effort}, step=", steps, partial(imfnb_encode, effort=effort), imfnb_decode)


def imfnb_decode(data: bytes) -> UInt8Image:
    """Decode an .imf file."""
    import imfnb

    return imfnb.decode(data)


def avif(**options: Any) -> Callable[[UInt8Image, float], bytes]:
    """AVIF encoder on one thread."""
    return partial(pillow_encode, file_format="AVIF", max_threads=1, **options)


AVIF_QUALITIES = (1, 6, 14, 24, 36, 48, 62, 76, 88)
CODECS: dict[str, Codec] = {
    OURS: ours("normal"),
    "jpeg": Codec(
        "quality=, optimize=True, 4:2:0",
        (1, 3, 5, 7, 10, 14, 20, 28, 40, 52, 65, 76, 84, 90, 94),
        partial(pillow_encode, file_format="JPEG", optimize=True),
        pillow_decode,
    ),
    "jpeg2000": Codec(
        "rates=, mct=1, irreversible=True, no_jp2=True",
        (0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.6),
        jpeg2000_encode,
        pillow_decode,
    ),
    "webp": Codec(
        "quality=, method=6",
        (0, 1, 3, 6, 12, 20, 32, 46, 60, 72, 80, 86, 91, 95),
        partial(pillow_encode, file_format="WEBP", method=6),
        pillow_decode,
    ),
    "avif6": Codec("quality=, speed=6", AVIF_QUALITIES, avif(speed=6), pillow_decode),
    "avif6-psnr": Codec(
        "quality=, speed=6, tune=psnr", AVIF_QUALITIES, avif(speed=6, advanced={"tune": "psnr"}), pillow_decode
    ),
    "avif2": Codec("quality=, speed=2", AVIF_QUALITIES, avif(speed=2), pillow_decode),
}


def read_image(path: Path) -> UInt8Image:
    """Pixels of an image file, gray (H, W) if it is gray, else RGB (H, W, 3)."""
    with Image.open(path) as file:
        return np.asarray(file if file.mode == "L" else file.convert("RGB"))


def measure(codec: Codec, image: UInt8Image, settings: Iterable[float]) -> dict[str, list[float]]:
    """Rate (bits per pixel), PSNR (dB) and SSIM of `codec` on one image at every setting."""
    points: dict[str, list[float]] = {name: [] for name in ("setting", *MEASURES)}
    for setting in settings:
        data = codec.encode(image, setting)
        decoded = codec.decode(data)
        points["setting"].append(setting)
        points["bpp"].append(8.0 * len(data) / (image.shape[0] * image.shape[1]))
        points["psnr"].append(metrics.psnr(image, decoded))
        points["ssim"].append(metrics.ssim(image, decoded))
    return points


def value_at(points: dict[str, list[float]], measure: str, bpp: float) -> tuple[float, bool]:
    """`measure` of a curve at a rate by piecewise cubic interpolation over log rate.

    Below the curve's range its cheapest point stands in, which flatters the codec; the second value is then True.
    Above the range the value is nan.
    """
    rate, first = np.unique(np.asarray(points["bpp"]), return_index=True)
    value = np.asarray(points[measure])[first]
    finite = np.isfinite(value)
    rate, value = rate[finite], value[finite]
    if rate.size < 2 or bpp > rate[-1]:
        return math.nan, False
    if bpp < rate[0]:
        return float(value[0]), True
    return float(PchipInterpolator(np.log(rate), value)(math.log(bpp))), False


def bd_lines(curves: Curves, ours: str) -> list[str]:
    """Lines of the table of Bjontegaard differences of `ours` against every other codec."""
    title = f"BD of {ours} against"
    lines = [f"{title:24s} {'rate mean %':>11s} {'worst %':>8s} {'best %':>8s} {'PSNR dB':>8s}  images"]
    for name, by_image in curves.items():
        if name == ours:
            continue
        pairs = [(by_image[image], curves[ours][image]) for image in by_image if image in curves[ours]]
        rates = np.array([metrics.bd_rate(ref["bpp"], ref["psnr"], own["bpp"], own["psnr"]) for ref, own in pairs])
        gains = np.array([metrics.bd_psnr(ref["bpp"], ref["psnr"], own["bpp"], own["psnr"]) for ref, own in pairs])
        overlapping = np.isfinite(rates)
        if not overlapping.any():
            lines.append(f"{name:24s} no overlapping range of PSNR")
            continue
        rates, gains = rates[overlapping], gains[overlapping]
        lines.append(
            f"{name:24s} {rates.mean():11.2f} {rates.max():8.2f} {rates.min():8.2f} {np.nanmean(gains):8.3f}  "
            f"{rates.size}/{len(pairs)}"
        )
    return lines


def mean_lines(curves: Curves, measure: str, digits: int) -> list[str]:
    """Lines of the table of means over images at the reported rates."""
    lines = [f"{'mean ' + measure.upper() + ' at bpp':24s}" + "".join(f"{bpp:9.2f} " for bpp in REPORTED_BPP)]
    for name, by_image in curves.items():
        cells = []
        for bpp in REPORTED_BPP:
            values, below = zip(*(value_at(points, measure, bpp) for points in by_image.values()), strict=True)
            mean = float(np.mean(values))
            cells.append(f"{mean:9.{digits}f}{'*' if any(below) else ' '}" if math.isfinite(mean) else f"{'-':>9s} ")
        lines.append(f"{name:24s}" + "".join(cells))
    return lines


def table(curves: Curves) -> str:
    """The whole report as text."""
    lines = [f"{name}: {CODECS[name].description}" for name in curves]
    if OURS in curves and len(curves) > 1:
        lines += ["", *bd_lines(curves, OURS)]
    lines += ["", *mean_lines(curves, "psnr", 2), "", *mean_lines(curves, "ssim", 4)]
    lines += ["", "* below the range of the curve on some image: its cheapest point stands in", "- above the range"]
    return "\n".join(lines)


def load_cache(path: Path | None) -> Curves:
    """Curves of an earlier run, empty when there are none."""
    if path is None or not path.exists():
        return {}
    return json.loads(path.read_text())["curves"]


def save(path: Path, folder: Path, curves: Curves) -> None:
    """Write curves with what one needs to know to repeat them."""
    document = {
        "folder": folder.name,
        "pillow": Image.__version__,
        "libraries": {name: features.version(name) for name in ("jpg", "jpg_2000", "webp", "avif")},
        "codecs": {name: CODECS[name].description for name in curves if name in CODECS},
        "curves": curves,
    }
    text = json.dumps(document, default=float)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the files asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless images")
    parser.add_argument("--effort", choices=("fast", "normal", "best"), default="normal", help="of imfnb")
    parser.add_argument("--codecs", nargs="+", choices=sorted(CODECS), default=list(CODECS), help="default: all")
    parser.add_argument("--rivals", type=Path, metavar="CACHE.json", help="keep the points of the other codecs here")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="write all points of this run")
    options = parser.parse_args(arguments)
    CODECS[OURS] = ours(options.effort)

    paths = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        parser.error(f"no images in {options.folder}; expected one of {' '.join(sorted(IMAGE_SUFFIXES))}")
    cache = load_cache(options.rivals)
    curves: Curves = {name: {} for name in CODECS if name in options.codecs}
    for name in curves:
        codec = CODECS[name]
        known = cache.setdefault(name, {}) if name != OURS else {}
        for path in paths:
            points = known.get(path.name)
            if points is None or points["setting"] != list(codec.settings):
                points = measure(codec, read_image(path), codec.settings)
                known[path.name] = points
                if options.rivals is not None and name != OURS:
                    save(options.rivals, options.folder, cache)
            curves[name][path.name] = points
            if sys.stderr.isatty():
                print(f"\r{name} {path.name}\033[K", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    if options.json is not None:
        save(options.json, options.folder, curves)
    print(table(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
