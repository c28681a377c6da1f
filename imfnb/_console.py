"""Standard input, output and error of the command line, any of which may be closed, broken or short of characters.

What cannot be told on standard error is not told, and nothing else changes. Data that cannot be read from standard
input or written to standard output is a :class:`Refused`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "Refused",
    "abandon",
    "ask",
    "can_ask",
    "complain",
    "occupy_descriptors",
    "progress",
    "read_input",
    "say",
    "shown",
    "tell",
    "write_output",
]


class Refused(Exception):
    """A problem that is told in one line; the exit code is 1."""


def occupy_descriptors() -> None:
    """Put the null device on descriptors 0 to 2 where they are closed.

    Otherwise the next file to be opened gets such a number, and what anybody writes to standard error goes into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one


def shown(text: str) -> str:
    """A text, or the name of a file, without what would break a line or steer a terminal, nor bytes without meaning."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _put(stream: Any, text: str) -> None:
    """Write text with escapes for what the stream's encoding does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    if hasattr(stream, "flush"):
        stream.flush()


def abandon(stream: Any) -> None:
    """Let what a broken stream still holds go nowhere, or the interpreter would fail to flush it when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (AttributeError, OSError, ValueError):  # it has no descriptor
        pass


def _is_terminal(stream: Any) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, OSError, ValueError):  # there is none, or it is closed
        return False


# ----------------------------------------------------------------------------------------------------- standard error


def complain(text: str) -> None:
    """Write to standard error as it is."""
    if sys.stderr is None:
        return
    try:
        _put(sys.stderr, text)
    except Exception:  # whatever an application has put there
        abandon(sys.stderr)


def tell(text: str) -> None:
    """One line on standard error, in the place of a progress bar that has not ended."""
    bar = "\r\x1b[K" if _is_terminal(sys.stderr) else ""
    complain(f"{bar}imfnb: {shown(' '.join(text.split()))}\n")


def progress(done: int, count: int) -> None:
    """A bar on a terminal, nothing in a pipe or for a single file."""
    if count > 1 and _is_terminal(sys.stderr):
        bar = "#" * (30 * done // count)
        end = "\n" if done == count else ""
        complain(f"\r\x1b[K[{bar:<30}] {done}/{count}{end}")


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def ask(question: str) -> str:
    """What is typed in answer to a question, in lower case; nothing where the input ends."""
    complain(f"imfnb: {shown(question)} ")
    try:
        return sys.stdin.readline().strip().lower()
    except (OSError, ValueError):
        return ""


# ------------------------------------------------------------------------------------------- standard input and output


@contextmanager
def _output() -> Iterator[Any]:
    """Standard output. Raises BrokenPipeError where the reader has gone, Refused where there is none."""
    if sys.stdout is None:
        raise Refused("standard output is closed; nothing can be written to it")
    try:
        yield sys.stdout
    except BrokenPipeError:
        abandon(sys.stdout)
        raise
    except OSError as error:
        abandon(sys.stdout)
        raise Refused(f"standard output cannot be written to: {error.strerror or error}") from None
    except ValueError:
        raise Refused("standard output is closed; nothing can be written to it") from None


def say(text: str) -> None:
    """Write text to standard output."""
    with _output() as stream:
        _put(stream, text)


def write_output(data: bytes) -> None:
    """Write bytes to standard output."""
    with _output() as stream:
        if not hasattr(stream, "buffer"):
            raise Refused("standard output takes text only; name a file with -o")
        stream.buffer.write(data)
        stream.buffer.flush()


def read_input() -> bytes:
    """All bytes of standard input."""
    if not hasattr(sys.stdin, "buffer"):
        raise Refused("-: standard input is closed or has no bytes; name a file")
    try:
        return sys.stdin.buffer.read()
    except ValueError:
        raise Refused("-: standard input is closed; name a file") from None
