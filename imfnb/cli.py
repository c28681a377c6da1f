"""The command line: ``imfnb encode | decode | info | bench | config | warmup``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["main"]

_SUBJECTS = ("patch-size", "bounds", "iterations", "color-space", "chroma", "init", "parts")

_Converter = Callable[[bytes, str, "int | None"], bytes]


#: Seconds that an interrupted command gives the images in work to end.
_PATIENCE = 1.5


class _Refused(Exception):
    """A problem that is told in one line; the exit code is 1."""


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    parser = argparse.ArgumentParser(
        prog="imfnb", description="Lossy image compression by integer matrix factorization."
    )
    parser.add_argument("--version", action="version", version=f"imfnb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, inputs: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("inputs", nargs="+", metavar="IN", help=inputs)
        return sub

    def kernels(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "reference"), help="which kernels")
        sub.add_argument("--threads", type=int, metavar="N", help="largest number of threads (default: all cores)")
        sub.add_argument("--skip-existing", action="store_true", help="leave outputs that exist, to go on with a batch")

    encode = command("encode", "Compress pictures to .imf files.", "pictures, folders of pictures, or - for stdin")
    encode.add_argument("-o", "--output", metavar="OUT", help=".imf file, folder, or - (default: beside the input)")
    target = encode.add_mutually_exclusive_group()
    target.add_argument("-q", "--quality", type=float, metavar="Q", help="0 to 100 (default: 50)")
    target.add_argument("--bpp", type=float, metavar="B", help="largest number of bits per pixel")
    target.add_argument("--size", type=int, metavar="BYTES", help="largest number of bytes")
    target.add_argument("--psnr", type=float, metavar="DB", help="smallest PSNR in dB")
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
    kernels(encode)

    decode = command("decode", "Decompress .imf files.", ".imf files, folders of them, or - for stdin")
    decode.add_argument("-o", "--output", metavar="OUT", help="picture, folder, or - for PNG (default: beside, .png)")
    decode.add_argument("--max-rank", type=int, metavar="R", help="use only the first components, as a preview")
    decode.add_argument("--max-pixels", type=int, metavar="N", help="refuse larger images (default: 2^28)")
    kernels(decode)

    info = command("info", "Describe .imf files without decoding them.", ".imf files, or - for stdin")
    info.add_argument("--json", action="store_true", help="one JSON object per file and line")

    _bench_parser(commands)
    warmup = commands.add_parser("warmup", help="Compile all kernels once, so that later calls start at once.")
    warmup.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="whose kernels (default: cpu)")
    commands.add_parser("config", help="Show versions, threads, kernel cache and CUDA.")
    return parser


def _bench_parser(commands: argparse._SubParsersAction) -> None:
    """The studies of `imfnb.evaluate`."""
    text = "Compare codecs on pictures; needs pip install 'imfnb[eval]'."
    studies = commands.add_parser("bench", help=text, description=text).add_subparsers(
        dest="study", required=True, metavar="STUDY"
    )

    def study(name: str, text: str, inputs: str, codecs: bool = True, threads: bool = True) -> argparse.ArgumentParser:
        sub = studies.add_parser(name, help=text, description=text)
        if name == "ablation":
            sub.add_argument("subject", choices=_SUBJECTS, help="what to vary; parts: those of the main profile")
        sub.add_argument("data", nargs="+", metavar="DATA", help=inputs)
        sub.add_argument("-o", "--output", metavar="DIR", help="folder of the results (default: imfnb-bench/STUDY)")
        sub.add_argument("--figure", metavar="FILE", help=".png, .svg, .pdf or .jpg (default: figure.png there)")
        if threads:
            sub.add_argument("--threads", type=int, metavar="N", help="points measured at a time (default: all cores)")
        if codecs:
            sub.add_argument("--codec", nargs="+", action="extend", metavar="NAME", help="codecs by name, or all")
        return sub

    many = "folders, pictures, kodak, photographs, or names of scikit-image's photographs"
    curves = study("rate-distortion", "Curves over a set of pictures, with BD-rates.", many)
    curves.add_argument("--anchor", metavar="NAME", help="codec that BD-rates are relative to (default: the first)")
    curves.add_argument(
        "--published", nargs="+", default=[], metavar="FILE", help="JSON or CSV files of curves to draw beside"
    )
    curves.add_argument("--limits", action="store_true", help="add what Gaussian patches would need at least")
    study("ablation", "What each choice of a codec is worth.", many, codecs=False)
    timing = study("timing", "Encoding and decoding times at about one rate.", many, threads=False)
    timing.add_argument("--bpp", type=float, default=0.5, metavar="B", help="bits per pixel (default: 0.5)")
    timing.add_argument("--repeat", type=int, default=3, metavar="N", help="take the least of N times (default: 3)")
    collage = study("collage", "All codecs at one rate side by side, with crops.", "one picture", threads=False)
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


def _patch_size(text: str) -> int | str | None:
    return None if text == "none" else text if text == "auto" else int(text)


def _inputs(names: list[str], suffixes: tuple[str, ...]) -> tuple[list[str], int]:
    """The files that the arguments name, of a folder those with a fitting extension; and the number of failures."""
    files, failures = [], 0
    for name in names:
        if name != "-" and os.path.isdir(name):
            found = sorted(entry for entry in os.listdir(name) if entry.lower().endswith(suffixes))
            if not found:
                failures += 1
                _complain(_Refused(f"{name}: no files with the extensions {' '.join(suffixes)} in this folder"), name)
            files += [os.path.join(name, entry) for entry in found]
        else:
            files.append(name)
    return files, failures


def _output(source: str, output: str | None, suffix: str, many: bool) -> str:
    """Where the result of `source` goes."""
    if source == "-" and output is None:
        return "-"
    base = "stdin" if source == "-" else os.path.splitext(source)[0]
    if output is None:
        return base + suffix
    if os.path.isdir(output) or many or output.endswith(("/", os.sep)):
        if output == "-":
            raise _Refused("-: several results cannot go to standard output; give -o a folder")
        os.makedirs(output, exist_ok=True)
        return os.path.join(output, os.path.basename(base) + suffix)
    return output


def _read(source: str) -> bytes:
    if source == "-":
        return sys.stdin.buffer.read()
    with open(source, "rb") as file:
        return file.read()


def _write(target: str, data: bytes) -> None:
    from .files import write_bytes

    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_bytes(target, data)


def _progress(done: int, count: int) -> None:
    """A bar on a terminal, nothing in a pipe or for a single file."""
    if count > 1 and sys.stderr.isatty():
        bar = "#" * (30 * done // count)
        end = "\n" if done == count else ""
        sys.stderr.write(f"\r\x1b[K[{bar:<30}] {done}/{count}{end}")
        sys.stderr.flush()


def _convert(arguments: argparse.Namespace, suffixes: tuple[str, ...], suffix: str, convert: _Converter) -> int:
    """Run `convert` over all inputs, one per thread; report failures, keep going."""
    from .batch import run_batch
    from .errors import ImfError

    sources, failures = _inputs(arguments.inputs, suffixes)
    many = len(sources) > 1 or os.path.isdir(arguments.inputs[0])
    jobs: dict[str, str] = {}  # from target to source
    for source in sources:
        try:
            target = _output(source, arguments.output, suffix, many)
            if target != "-" and target in jobs:
                raise _Refused(f"{source}: would overwrite the result of {jobs[target]}")
            if "-" not in (source, target) and os.path.exists(target) and os.path.samefile(source, target):
                raise _Refused(f"{source}: the output would replace the input; give another name with -o")
        except (OSError, _Refused) as error:
            failures += 1
            _complain(error, source)
            continue
        if not (arguments.skip_existing and os.path.isfile(target)):
            jobs[target] = source
    threads = 1 if len(jobs) > 1 else arguments.threads

    def job(target: str) -> None:
        _write(target, convert(_read(jobs[target]), target, threads))

    # A result is written and renamed as soon as it is there: what is finished survives an interruption.
    results = run_batch(job, jobs, threads=arguments.threads, progress=_progress, errors="return")
    for source, error in zip(jobs.values(), results, strict=True):
        if isinstance(error, (ImfError, OSError, MemoryError)):
            failures += 1
            _complain(error, source)
        elif error is not None:
            raise error
    return 1 if failures else 0


def _complain(error: BaseException, source: str) -> None:
    """One line on stderr."""
    if isinstance(error, OSError):
        text = f"{error.filename or source}: {error.strerror or error}"
    elif isinstance(error, _Refused):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = f"{source}: out of memory"
    else:
        text = f"{source}: {error}"
    sys.stderr.write(f"imfnb: {' '.join(text.split())}\n")


def _encode(arguments: argparse.Namespace) -> int:
    from .codec import encode
    from .pictures import SUFFIXES, read_picture

    names = ("quality", "bpp", "size", "psnr", "rank", "step", "profile", "color_space", "subsampling", "patch_size")
    options = {name: getattr(arguments, name) for name in (*names, "bounds", "iterations", "device")}

    def convert(data: bytes, _: str, threads: int | None) -> bytes:
        return encode(read_picture(io.BytesIO(data)), threads=threads, **options)

    return _convert(arguments, SUFFIXES, ".imf", convert)


def _decode(arguments: argparse.Namespace) -> int:
    from .codec import decode
    from .container import MAX_PIXELS
    from .pictures import write_picture

    limit = MAX_PIXELS if arguments.max_pixels is None else arguments.max_pixels

    def convert(data: bytes, target: str, threads: int | None) -> bytes:
        image = decode(
            data,
            device=arguments.device,
            threads=threads,
            max_pixels=limit,
            max_rank=arguments.max_rank,
        )
        return write_picture(image, ".png" if target == "-" else os.path.splitext(target)[1])

    return _convert(arguments, (".imf",), ".png", convert)


def _info(arguments: argparse.Namespace) -> int:
    from .codec import info
    from .errors import ImfError

    sources, failures = _inputs(arguments.inputs, (".imf",))
    for source in sources:
        try:
            details = info(_read(source))
        except (ImfError, OSError) as error:
            failures += 1
            _complain(error, source)
            continue
        if arguments.json:
            sys.stdout.write(json.dumps({"file": source, **details}) + "\n")
        else:
            head = f"{source}\n" if len(sources) > 1 else ""
            sys.stdout.write(f"{head}{details}\n")
    return 1 if failures else 0


def _bench(arguments: argparse.Namespace) -> int:
    from .evaluate import command

    outcome = command.run(arguments, _progress)
    sys.stdout.write(f"{outcome.table}\n\n" + "".join(f"wrote {path}\n" for path in outcome.files))
    return 0


def _config(_: argparse.Namespace) -> int:
    from ._backend import show_config

    for name, value in show_config().items():
        sys.stdout.write(f"{name}: {value}\n")
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    from ._backend import resolve_device, show_config
    from ._warmup import compile_all, obstacle

    problem = obstacle(resolve_device(arguments.device))
    if not problem:  # else a minute of compiling would be for nothing
        seconds, problem = compile_all(arguments.device)
    if problem:
        raise _Refused(f"kernels are not kept for the next process: {problem}")
    sys.stdout.write(f"kernels ready in {seconds:.1f} s; kept in {show_config()['kernel cache']}\n")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 done, 1 an error named on stderr in one line, 130 interrupted. Wrong usage exits with 2.
    """
    from .errors import ImfError

    arguments = _parser().parse_args(argv)
    commands = {
        "encode": _encode,
        "decode": _decode,
        "info": _info,
        "bench": _bench,
        "config": _config,
        "warmup": _warmup,
    }
    try:
        return commands[arguments.command](arguments)
    except (ImfError, _Refused) as error:
        sys.stderr.write(f"imfnb: {error}\n")
        return 1
    except BrokenPipeError:
        # The reader of the pipe has gone; keep the interpreter from complaining when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        bar = "\r\x1b[K" if sys.stderr.isatty() else ""  # a progress bar that has not ended
        sys.stderr.write(f"{bar}imfnb: interrupted\n")
        deadline = time.monotonic() + _PATIENCE
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
        return 130


def run() -> None:
    """The command of the shell: :func:`main`, and the end of the process."""
    code = main()
    if code == 130:  # the interpreter would wait for threads that are in the middle of an image, however large
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
