"""The command line: ``imfnb encode | decode | info | bench | config | warmup``."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable

from . import _console
from ._arguments import parser
from ._console import Refused, say, tell

__all__ = ["main"]

#: From the name of an input, the name of its output and a number of threads to the output's bytes.
_Converter = Callable[[str, str, "int | None"], bytes]

#: Seconds that an interrupted command gives the images in work to end.
_PATIENCE = 1.5


def _read(source: str) -> bytes:
    from .files import read_bytes

    return _console.read_input() if source == "-" else read_bytes(source)


def _complain(error: BaseException, source: str | None = None) -> None:
    """One line on stderr that names the file once: as the error does, or else `source`."""
    from .errors import ImfError

    head = "" if source is None else f"{source}: "
    if isinstance(error, OSError):
        name = error.filename
        text = f"{head if name is None else f'{os.fsdecode(name)}: '}{error.strerror or error}"
    elif isinstance(error, Refused):
        text = str(error)
    elif isinstance(error, ImfError):
        text = str(error) if error.filename is not None else f"{head}{error}"
    elif isinstance(error, MemoryError):
        text = f"{head}out of memory"
    else:
        text = f"{head}unexpected {type(error).__name__}: {error} (please report this)"
    tell(text)


def _convert(
    arguments: argparse.Namespace,
    suffixes: tuple[str, ...],
    suffix: Callable[[str], str],
    check_target: Callable[[str], None],
    convert: _Converter,
) -> int:
    """Run `convert` over all inputs, one per thread; report failures, keep going."""
    from ._targets import Job, Writer, find_inputs, plan
    from .batch import run_batch
    from .errors import naming

    sources, missing = find_inputs(arguments.inputs, suffixes)
    jobs, refused = plan(arguments, sources, suffix, check_target)
    failures = missing + refused
    for source, error in failures:
        _complain(error, source)
    writer = Writer(jobs, arguments.skip_existing)
    threads = 1 if len(jobs) > 1 else arguments.threads

    def work(job: Job) -> None:
        with naming(job.source):
            data = convert(job.source, job.target, threads)
        # A result is written as soon as it is there: what is finished survives an interruption.
        writer.write(job, data)

    results = run_batch(work, jobs, threads=arguments.threads, progress=_console.progress, errors="return")
    for job, error in zip(jobs, results, strict=True):
        if error is None:
            continue
        # What is no failure of one file ends the command: an interruption, or that nobody reads standard output.
        if not isinstance(error, Exception) or (isinstance(error, BrokenPipeError) and error.filename is None):
            raise error
        failures.append((job.source, error))
        _complain(error, job.source)
    return 1 if failures else 0


def _encode(arguments: argparse.Namespace) -> int:
    from .codec import encode
    from .files import check_name
    from .pictures import SUFFIXES, read_picture

    targets = ("quality", "bpp", "size", "psnr", "rank", "step")
    settings = ("profile", "color_space", "subsampling", "patch_size", "bounds", "iterations", "coder", "alpha_quality")
    others = ("tune", "effort", "keep_hidden", "device")
    options = {name: getattr(arguments, name) for name in (*targets, *settings, *others)}
    if arguments.max_error is not None:
        options["max_error"] = arguments.max_error
    if arguments.lossless:
        options["lossless"] = True
    if arguments.nodata is not None:
        options["nodata"] = None if arguments.nodata == "none" else arguments.nodata
    reading = {name: getattr(arguments, name) for name in ("frame", "max_pixels", "axes")}
    reading["srgb"] = arguments.strip or None  # samples whose profile is left out have to be those of sRGB
    reading = {name: value for name, value in reading.items() if value is not None}
    dropped: dict[str, tuple[str, ...]] = {}
    missing: dict[str, str] = {}

    def convert(source: str, _: str, threads: int | None) -> bytes:
        file = io.BytesIO(_console.read_input()) if source == "-" else source
        picture = read_picture(file, bands=arguments.bands, **reading)
        told = {**picture.options, **({"channels": "bands"} if arguments.bands else {})}
        if arguments.strip:
            told["metadata"] = None
        coded = encode(picture.pixels, threads=threads, **{**told, **options})
        if picture.dropped and not arguments.strip:
            dropped[source] = picture.dropped
        if picture.nodata is not None and "nodata" not in options:
            missing[source] = f"{picture.nodata}"
        return coded

    try:
        return _convert(arguments, SUFFIXES, lambda _: ".imf", check_name, convert)
    finally:
        if dropped:
            tell(f"note: not kept in .imf files: {_kinds(dropped)} ({_first(dropped)})")
        if missing:
            values = " or ".join(dict.fromkeys(missing[source] for source in sorted(missing)))
            tell(
                f"note: samples of {values} are taken for missing, as the tag GDAL_NODATA says ({_first(missing)}); "
                "--nodata says otherwise"
            )


def _kinds(found: dict[str, tuple[str, ...]]) -> str:
    """What was found in some files, each kind once."""
    return ", ".join(dict.fromkeys(kind for source in sorted(found) for kind in found[source]))


def _first(sources: Iterable[str]) -> str:
    """The first of some files by name, and how many others there are."""
    first, *others = sorted(sources)
    return f"{first} and {len(others)} other{'s' if len(others) > 1 else ''}" if others else first


def _check_picture_name(target: str) -> None:
    """Complain about an .imf file as the output of decoding."""
    if target.lower().endswith(".imf"):
        raise Refused(f"{target}: the name promises an .imf file, but the result is a picture; name it .png or .tif")


def _decode(arguments: argparse.Namespace) -> int:
    from .codec import decode
    from .format.container import MAX_PIXELS
    from .headers import Source, info
    from .metadata import NO_METADATA, Metadata
    from .pictures import fits_png, write_picture

    limit = MAX_PIXELS if arguments.max_pixels is None else arguments.max_pixels
    chosen = {name: getattr(arguments, name) for name in ("bands", "frame") if getattr(arguments, name) is not None}
    damaged: dict[str, tuple[str, ...]] = {}
    dropped: dict[str, tuple[str, ...]] = {}

    def suffix(source: str) -> str:
        """PNG, or TIFF for what no PNG holds; of a file that cannot be read, `convert` will tell."""
        if source == "-" or not os.path.isfile(source):  # what can be read once
            return ".png"
        try:
            details = info(source, max_pixels=limit)
        except Exception:
            return ".png"
        stack = details["frames"] is not None
        shape = details["shape"][stack:]
        bands = len(arguments.bands or range(shape[2] if len(shape) == 3 else 1))
        fits = fits_png(details["dtype"], bands) and (not stack or arguments.frame is not None)
        return ".png" if fits else ".tif"

    def metadata(source: str, data: bytes) -> Metadata:
        """What the file carries beside pixels, as far as it is not damaged."""
        wrong: list[str] = []
        with memoryview(data) as view:
            found = Source(view).metadata(limit, wrong)
        if wrong:
            damaged[source] = tuple(wrong)
        return found

    def convert(source: str, target: str, threads: int | None) -> bytes:
        data = _read(source)
        image = decode(
            data,
            device=arguments.device,
            threads=threads,
            max_pixels=limit,
            max_rank=arguments.max_rank,
            reduce=arguments.reduce,
            **chosen,
        )
        details = info(data, max_pixels=limit)
        kind = ".png" if target == "-" else os.path.splitext(target)[1].lower()
        coded, lost = write_picture(
            image,
            kind,
            channels=details["channels"] if not arguments.bands else None if "color_space" in details else "bands",
            frames=details["frames"] is not None and arguments.frame is None,
            nodata=details.get("nodata"),
            metadata=metadata(source, data) if details["metadata"] else NO_METADATA,
        )
        if lost:
            dropped[source] = lost
        return coded

    try:
        return _convert(arguments, (".imf",), suffix, _check_picture_name, convert)
    finally:
        if damaged:
            tell(f"note: damaged and left out: {_kinds(damaged)} ({_first(damaged)})")
        if dropped:
            tell(f"note: not kept in files of this format: {_kinds(dropped)} ({_first(dropped)})")


def _info(arguments: argparse.Namespace) -> int:
    from ._targets import find_inputs
    from .headers import info

    sources, failures = find_inputs(arguments.inputs, (".imf",))
    for source, error in failures:
        _complain(error, source)
    for source in sources:
        try:
            file = io.BytesIO(_console.read_input()) if source == "-" else source
            details = info(file, components=arguments.components)
        except Exception as error:
            failures.append((source, error))
            _complain(error, source)
            continue
        if arguments.json:
            known = {name: value if _is_json(value) else str(value) for name, value in details.items()}
            say(json.dumps({"file": source, **known}) + "\n")
        else:
            head = f"{_console.shown(source)}\n" if len(sources) > 1 else ""
            say(f"{head}{details}\n")
    return 1 if failures else 0


def _is_json(value: object) -> bool:
    """Whether a value is none of the floats that JSON has no number for."""
    return not isinstance(value, float) or math.isfinite(value)


def _bench(arguments: argparse.Namespace) -> int:
    from ._targets import Consent, find_inputs
    from .evaluate import command
    from .pictures import SUFFIXES

    suffixes = (".npy",) if arguments.study == "arrays" else SUFFIXES
    read = [*find_inputs(arguments.data, suffixes)[0], *getattr(arguments, "published", [])]
    consent = Consent(arguments.force, read)
    outcome = command.run(arguments, _console.progress, consent.check)
    say(f"{outcome.table}\n\n" + "".join(f"wrote {path}\n" for path in outcome.files))
    return 0


def _config(_: argparse.Namespace) -> int:
    from .runtime.devices import show_config

    for name, value in show_config().items():
        say(f"{name}: {value}\n")
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    from ._warmup import compile_all, obstacle
    from .runtime.devices import resolve_device, show_config

    problem = obstacle(resolve_device(arguments.device))
    if not problem:  # else a minute of compiling would be for nothing
        seconds, problem = compile_all(arguments.device)
    if problem:
        raise Refused(f"kernels are not kept for the next process: {problem}")
    say(f"kernels ready in {seconds:.1f} s; kept in {show_config()['kernel cache']}\n")
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
    commands = {
        "encode": _encode,
        "decode": _decode,
        "info": _info,
        "bench": _bench,
        "config": _config,
        "warmup": _warmup,
    }
    try:
        arguments = parser().parse_args(argv)
        return commands[arguments.command](arguments)
    except BrokenPipeError:
        # The reader of the pipe has gone; keep the interpreter from complaining when it flushes stdout.
        _console.abandon(sys.stdout)
        return 1
    except Exception as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        tell("interrupted")
        deadline = time.monotonic() + _PATIENCE
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(max(0.0, deadline - time.monotonic()))
        return 130


def run() -> None:
    """The command of the shell: :func:`main`, and the end of the process."""
    _console.occupy_descriptors()
    code = main()
    if code == 130:  # the interpreter would wait for threads that are in the middle of an image, however large
        os._exit(code)
    sys.exit(code)
