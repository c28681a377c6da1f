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

from . import _console
from ._arguments import parser
from ._console import Refused, say, tell

__all__ = ["main"]

#: From the name and the bytes of an input, the name of its output and a number of threads to the output's bytes.
_Converter = Callable[[str, bytes, str, "int | None"], bytes]

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
    suffix: str,
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
            data = convert(job.source, _read(job.source), job.target, threads)
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
    settings = ("profile", "color_space", "subsampling", "patch_size", "bounds", "iterations", "alpha_quality", "tune")
    options = {name: getattr(arguments, name) for name in (*targets, *settings, "keep_hidden", "device")}
    reading = {name: getattr(arguments, name) for name in ("frame", "max_pixels")}
    reading = {name: value for name, value in reading.items() if value is not None}
    dropped: dict[str, tuple[str, ...]] = {}

    def convert(source: str, data: bytes, _: str, threads: int | None) -> bytes:
        picture = read_picture(io.BytesIO(data), **reading)
        coded = encode(picture.pixels, threads=threads, **options)
        if picture.dropped:
            dropped[source] = picture.dropped
        return coded

    try:
        return _convert(arguments, SUFFIXES, ".imf", check_name, convert)
    finally:
        _note(dropped)


def _note(dropped: dict[str, tuple[str, ...]]) -> None:
    """Say once what of the pictures an .imf file does not hold."""
    if dropped:
        first, *others = sorted(dropped)
        kinds = ", ".join(dict.fromkeys(kind for source in sorted(dropped) for kind in dropped[source]))
        more = f" and {len(others)} other{'s' if len(others) > 1 else ''}" if others else ""
        tell(f"note: not kept in .imf files: {kinds} ({first}{more})")


def _check_picture_name(target: str) -> None:
    """Complain about an .imf file as the output of decoding."""
    if target.lower().endswith(".imf"):
        raise Refused(f"{target}: the name promises an .imf file, but the result is a picture; name it .png")


def _decode(arguments: argparse.Namespace) -> int:
    from .codec import decode
    from .format.container import MAX_PIXELS
    from .pictures import write_picture

    limit = MAX_PIXELS if arguments.max_pixels is None else arguments.max_pixels

    def convert(_: str, data: bytes, target: str, threads: int | None) -> bytes:
        image = decode(
            data,
            device=arguments.device,
            threads=threads,
            max_pixels=limit,
            max_rank=arguments.max_rank,
        )
        return write_picture(image, ".png" if target == "-" else os.path.splitext(target)[1])

    return _convert(arguments, (".imf",), ".png", _check_picture_name, convert)


def _info(arguments: argparse.Namespace) -> int:
    from ._targets import find_inputs
    from .codec import info

    sources, failures = find_inputs(arguments.inputs, (".imf",))
    for source, error in failures:
        _complain(error, source)
    for source in sources:
        try:
            details = info(_read(source))
        except Exception as error:
            failures.append((source, error))
            _complain(error, source)
            continue
        if arguments.json:
            say(json.dumps({"file": source, **details}) + "\n")
        else:
            head = f"{_console.shown(source)}\n" if len(sources) > 1 else ""
            say(f"{head}{details}\n")
    return 1 if failures else 0


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
