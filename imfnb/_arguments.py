"""The arguments of the command line."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ._console import complain, say

__all__ = ["METRICS", "SUBJECTS", "parser"]

#: The measures of quality that studies know.
METRICS = ("psnr", "ssim", "ms-ssim", "ssimulacra2")

#: What ``imfnb bench ablation`` can vary.
SUBJECTS = ("patch-size", "bounds", "iterations", "color-space", "chroma", "init", "parts")


class _Parser(argparse.ArgumentParser):
    """A parser whose help and complaints go where all else goes."""

    def _print_message(self, message: str, file: Any = None) -> None:  # help and version; usage errors are below
        say(message)

    def error(self, message: str) -> Any:
        complain(f"{self.format_usage()}{self.prog}: error: {message}\n")
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from . import __version__

    whole = _Parser(prog="imfnb", description="Lossy image compression by integer matrix factorization.")
    whole.add_argument("--version", action="version", version=f"imfnb {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, inputs: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("inputs", nargs="+", metavar="IN", help=inputs)
        return sub

    def kernels(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "reference"), help="which kernels")
        sub.add_argument("--threads", type=int, metavar="N", help="largest number of threads (default: all cores)")
        existing = sub.add_mutually_exclusive_group()
        existing.add_argument("--skip-existing", action="store_true", help="leave outputs that exist, to go on")
        existing.add_argument("--force", action="store_true", help="replace outputs that exist")

    encode = command("encode", "Compress pictures to .imf files.", "pictures, folders of pictures, or - for stdin")
    encode.add_argument("-o", "--output", metavar="OUT", help=".imf file, folder, or - (default: beside the input)")
    target = encode.add_mutually_exclusive_group()
    target.add_argument("-q", "--quality", type=float, metavar="Q", help="0 to 100 (default: 50)")
    target.add_argument("--bpp", type=float, metavar="B", help="largest number of bits per pixel")
    target.add_argument("--size", type=int, metavar="BYTES", help="largest number of bytes")
    target.add_argument("--psnr", type=float, metavar="DB", help="smallest PSNR in dB")
    target.add_argument("--max-error", type=float, metavar="E", help="largest error of any sample, in its own units")
    target.add_argument("--lossless", action="store_true", help="exactly the same samples, if they are integers")
    target.add_argument("--rank", type=_integers, metavar="R[,R,R]", help="baseline: rank of luma, or of each plane")
    target.add_argument("--step", type=float, metavar="S", help="main: quantizer step of luma in gray levels")
    encode.add_argument("--profile", default="main", choices=("main", "baseline"), help="codec profile (default: main)")
    encode.add_argument("--color-space", choices=("YCbCr", "RGB"), help="baseline: colour space (default: YCbCr)")
    encode.add_argument("--subsampling", choices=("4:2:0", "4:4:4"), help="of chroma (main: 4:4:4 at small steps)")
    encode.add_argument(
        "--patch-size", type=_patch_size, default="auto", metavar="P", help="8 or 16; baseline also 4, 32 or none"
    )
    encode.add_argument(
        "--bounds", nargs=2, type=int, metavar=("LOW", "HIGH"), help="baseline: range of the factors (default: -16 15)"
    )
    encode.add_argument("--iterations", type=int, metavar="K", help="baseline: sweeps of the descent (default: 10)")
    encode.add_argument(
        "--coder", choices=("deflate", "fast"), help="baseline: of the factors (default: deflate, as in the paper)"
    )
    encode.add_argument(
        "--alpha-quality", type=_alpha_quality, metavar="Q", help="main: of alpha, 0 to 100 or lossless"
    )
    encode.add_argument(
        "--tune",
        choices=["visual", "psnr"],
        help="main: for whom errors are small (default: visual, unless --psnr)",
    )
    encode.add_argument(
        "--effort", default="normal", choices=["fast", "normal", "best"], help="main: least time to fewest bytes"
    )
    encode.add_argument("--keep-hidden", action="store_true", help="main: keep colours under an alpha of 0")
    encode.add_argument("--frame", type=int, metavar="N", help="which picture of a file with several, from 0")
    encode.add_argument(
        "--axes", metavar="AXES", help="of a TIFF, .npy or .npz: H, W, C (bands), T (frames) in their order, as THWC"
    )
    encode.add_argument("--bands", action="store_true", help="samples are bands of their own, not gray, RGB or alpha")
    encode.add_argument(
        "--nodata", type=_nodata, metavar="VALUE", help="of missing samples; nan, or none (default: as the TIFF says)"
    )
    encode.add_argument("--strip", action="store_true", help="leave out profile, EXIF, XMP, text and the like")
    encode.add_argument("--max-pixels", type=int, metavar="N", help="refuse larger pictures")
    kernels(encode)

    decode = command("decode", "Decompress .imf files.", ".imf files, folders of them, or - for stdin")
    decode.add_argument(
        "-o", "--output", metavar="OUT", help="picture, .tif, .npy, folder, or - for PNG (default: beside)"
    )
    decode.add_argument("--bands", type=_band_numbers, metavar="B[,B...]", help="which bands, counted from 0, as 3,2,1")
    decode.add_argument("--frame", type=int, metavar="N", help="which frame of several, counted from 0")
    decode.add_argument("--max-rank", type=int, metavar="R", help="use only the first components, as a preview")
    decode.add_argument(
        "--reduce", type=int, default=1, metavar="R", help="decode 2, 4 or 8 times smaller in each direction"
    )
    decode.add_argument("--max-pixels", type=int, metavar="N", help="refuse larger images (default: 2^28)")
    kernels(decode)

    info = command("info", "Describe .imf files without decoding them.", ".imf files, or - for stdin")
    info.add_argument("--components", action="store_true", help="and the bytes of each component, which takes longer")
    info.add_argument("--json", action="store_true", help="one JSON object per file and line")

    _bench_parser(commands)
    warmup = commands.add_parser("warmup", help="Compile all kernels once, so that later calls start at once.")
    warmup.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="whose kernels (default: cpu)")
    commands.add_parser("config", help="Show versions, threads, kernel cache and CUDA.")
    return whole


def _bench_parser(commands: argparse._SubParsersAction) -> None:
    """The studies of `imfnb.evaluate`."""
    text = "Compare codecs on pictures; needs pip install 'imfnb[eval]'."
    studies = commands.add_parser("bench", help=text, description=text).add_subparsers(
        dest="study", required=True, metavar="STUDY"
    )

    def study(name: str, text: str, inputs: str, codecs: bool = True, threads: bool = True) -> argparse.ArgumentParser:
        sub = studies.add_parser(name, help=text, description=text)
        if name == "ablation":
            sub.add_argument("subject", choices=SUBJECTS, help="what to vary; parts: those of the main profile")
        sub.add_argument("data", nargs="*" if name == "arrays" else "+", metavar="DATA", help=inputs)
        sub.add_argument("-o", "--output", metavar="DIR", help="folder of the results (default: imfnb-bench/STUDY)")
        sub.add_argument("--figure", metavar="FILE", help=".png, .svg, .pdf or .jpg (default: figure.png there)")
        sub.add_argument("--force", action="store_true", help="replace files that the study did not write")
        if threads:
            sub.add_argument("--threads", type=int, metavar="N", help="points measured at a time (default: all cores)")
        if codecs:
            sub.add_argument("--codec", nargs="+", action="extend", metavar="NAME", help="codecs by name, or all")
        return sub

    def metrics(sub: argparse.ArgumentParser, default: str) -> None:
        sub.add_argument(
            "--metric", nargs="+", action="extend", choices=METRICS, help=f"measures of quality (default: {default})"
        )

    many = "folders, pictures, kodak, photographs, or names of scikit-image's photographs"
    curves = study("rate-distortion", "Curves over a set of pictures, with BD-rates.", many)
    metrics(curves, "psnr ms-ssim")
    curves.add_argument("--anchor", metavar="NAME", help="codec that BD-rates are relative to (default: the first)")
    curves.add_argument(
        "--rates", nargs=2, type=float, metavar=("LOW", "HIGH"), help="compare between these rates (default: all)"
    )
    curves.add_argument(
        "--published", nargs="+", default=[], metavar="FILE", help="JSON or CSV files of curves to draw beside"
    )
    curves.add_argument("--limits", action="store_true", help="add what Gaussian patches would need at least")
    arrays = study(
        "arrays", "Arrays of any dtype and number of bands.", ".npy files, or folders of them (default: synthetic)"
    )
    arrays.add_argument(
        "--rates",
        nargs=2,
        type=float,
        default=(0.05, 3.0),
        metavar=("LOW", "HIGH"),
        help="compare between these bits per sample (default: 0.05 3)",
    )
    arrays.add_argument("--max-error", type=float, metavar="E", help="bound (default: 2; floats: 1/1000 of the range)")
    arrays.add_argument(
        "--rgb", action="store_true", help="take bands 3, 2 and 1 of every array as a picture in colour"
    )
    arrays.add_argument("--bps", type=float, default=0.25, metavar="B", help="bits per sample of the collage")
    arrays.add_argument("--repeat", type=int, default=3, metavar="N", help="take the least of N times (default: 3)")
    ablation = study("ablation", "What each choice of a codec is worth.", many, codecs=False)
    ablation.add_argument("--metric", default="psnr", choices=METRICS, help="measure of quality (default: psnr)")
    timing = study("timing", "Encoding and decoding times at about one rate.", many, threads=False)
    metrics(timing, "psnr")
    timing.add_argument("--bpp", type=float, default=0.5, metavar="B", help="bits per pixel (default: 0.5)")
    timing.add_argument("--repeat", type=int, default=3, metavar="N", help="take the least of N times (default: 3)")
    collage = study("collage", "All codecs at one rate side by side, with crops.", "one picture", threads=False)
    metrics(collage, "psnr")
    collage.add_argument("--bpp", type=float, default=0.25, metavar="B", help="bits per pixel (default: 0.25)")
    collage.add_argument(
        "--crop", nargs=2, type=int, action="append", metavar=("ROW", "COLUMN"), help="corner of a crop; repeatable"
    )
    collage.add_argument("--crop-size", type=int, default=112, metavar="N", help="side of a crop (default: 112)")
    maps = study("factor-maps", "What the factors of a picture look like.", "one picture", codecs=False, threads=False)
    maps.add_argument("--rank", type=int, default=6, metavar="R", help="number of components (default: 6)")
    labelled = study("classification", "Accuracy of a classifier on decoded pictures.", many)
    labelled.add_argument("--labels", required=True, metavar="CSV", help="file with the columns image and label")
    labelled.add_argument(
        "--classifier", required=True, metavar="MODULE:FUNCTION", help="from a batch of uint8 pictures to scores"
    )


def _integers(text: str) -> int | tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    return numbers[0] if len(numbers) == 1 else numbers


def _band_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _nodata(text: str) -> int | float | str:
    """A number, an integer where it is written as one, or "none"."""
    if text == "none":
        return text
    try:
        return int(text)
    except ValueError:
        return float(text)


def _alpha_quality(text: str) -> float | str:
    """A quality, or "lossless"."""
    return text if text == "lossless" else float(text)


def _patch_size(text: str) -> int | str | None:
    return None if text == "none" else text if text == "auto" else int(text)
