"""Where the results of the command line go, and which files they may replace."""

from __future__ import annotations

import argparse
import os
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from . import _console
from ._console import Refused
from .files import write_bytes

__all__ = ["Consent", "Job", "Writer", "exists_already", "find_inputs", "plan"]

#: What makes a file the same file under another name: device and number.
_Identity = tuple[int, int]


@dataclass(frozen=True)
class Job:
    """One input and where its result goes; "-" stands for the standard streams.

    Attributes
    ----------
    source, target : str
        The names.
    replace : bool
        Whether the target may replace a file that exists.
    """

    source: str
    target: str
    replace: bool


def exists_already(path: str) -> Refused:
    """The refusal to replace a file."""
    return Refused(f"{path}: exists already; replace it with --force, or name another output with -o")


def _identity(path: str) -> _Identity | None:
    """Device and number of a file, None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def find_inputs(names: Iterable[str], suffixes: tuple[str, ...]) -> tuple[list[str], list[tuple[str, Exception]]]:
    """The files that arguments name.

    Parameters
    ----------
    names : iterable of str
        Files and folders; of a folder, the files with a fitting extension are meant.
    suffixes : tuple of str
        Those extensions, in lower case.

    Returns
    -------
    files : list of str
        In the order of the arguments, those of a folder in the order of their names.
    failures : list of (str, Exception)
        Folders without such files, or that cannot be read.
    """
    files: list[str] = []
    failures: list[tuple[str, Exception]] = []
    for name in names:
        if name == "-" or not os.path.isdir(name):
            files.append(name)
            continue
        try:
            found = sorted(entry for entry in os.listdir(name) if entry.lower().endswith(suffixes))
            if not found:
                raise Refused(f"{name}: no files with the extensions {' '.join(suffixes)} in this folder")
        except (OSError, Refused) as error:
            failures.append((name, error))
        else:
            files += [os.path.join(name, entry) for entry in found]
    return files, failures


class Consent:
    """Which files that exist may be replaced: all with --force, else what somebody at the terminal agrees to.

    Parameters
    ----------
    force : bool
        Whether --force was given.
    inputs : iterable of str
        Files that are read; they are never replaced.
    """

    def __init__(self, force: bool, inputs: Iterable[str]) -> None:
        names = list(inputs)
        self._all = force
        self._ask = "-" not in names and _console.can_ask()
        self._inputs = {_identity(name): name for name in names if name != "-"}
        self._inputs.pop(None, None)

    def check_input(self, path: str) -> None:
        """Complain about a file that is read, under whatever name."""
        found = self._inputs.get(_identity(path))
        if found is not None:
            raise Refused(f"{path}: the output would replace the input {found}; give another name with -o")

    def check(self, path: str) -> None:
        """Complain about a file that exists and may not be replaced."""
        self.check_input(path)
        if self._all:
            return
        if self._ask:
            answer = _console.ask(f"{path} exists already; replace it? [y/N/all]")
            self._all = answer in ("a", "all")
            if self._all or answer in ("y", "yes"):
                return
        raise exists_already(path)


def _output(source: str, output: str | None, suffix: Callable[[str], str], many: bool) -> str:
    """Where the result of `source` goes."""
    if source == "-" and output is None:
        return "-"
    base = "stdin" if source == "-" else os.path.splitext(source)[0]
    if output is None:
        return base + suffix(source)
    if os.path.isdir(output) or many or output.endswith(("/", os.sep)):
        if output == "-":
            raise Refused("-: several results cannot go to standard output; give -o a folder")
        os.makedirs(output, exist_ok=True)
        return os.path.join(output, os.path.basename(base) + suffix(source))
    return output


def _place(target: str) -> tuple[object, str]:
    """What two spellings of one file have in common: the folder that it is in, and its name there."""
    path = os.path.realpath(target)
    folder, name = os.path.split(path)
    return _identity(folder) or folder, os.path.normcase(name)


def _folded(place: tuple[object, str]) -> tuple[object, str]:
    """The same, for folders that do not tell small letters from capital ones, or two ways of writing an umlaut."""
    folder, name = place
    return folder, unicodedata.normalize("NFC", name).casefold()


def plan(
    arguments: argparse.Namespace,
    sources: Sequence[str],
    suffix: Callable[[str], str],
    check_target: Callable[[str], None],
) -> tuple[list[Job], list[tuple[str, Exception]]]:
    """What is to be done, after all questions have been asked.

    Parameters
    ----------
    arguments : argparse.Namespace
        Those of ``imfnb encode`` or ``decode``.
    sources : sequence of str
        The inputs, found by :func:`find_inputs`.
    suffix : callable
        From an input to the extension of its result where only a folder is named, or nothing.
    check_target : callable
        Complains about names of results that promise what they are not.

    Returns
    -------
    jobs : list of Job
        One per result.
    failures : list of (str, Exception)
        Inputs that are not worked on, and why.
    """
    from .errors import OptionError

    many = len(sources) > 1 or any(os.path.isdir(name) for name in arguments.inputs)
    consent = Consent(arguments.force, sources)
    jobs: list[Job] = []
    failures: list[tuple[str, Exception]] = []
    places: dict[tuple[object, str], str] = {}
    for source in sources:
        try:
            target = _output(source, arguments.output, suffix, many)
            replace = False
            if target != "-":
                check_target(target)
                place = _place(target)
                if place in places:
                    raise Refused(f"{source}: would overwrite the result of {places[place]}")
                consent.check_input(target)
                if os.path.isfile(target):  # a folder, a pipe or a device is never replaced
                    if arguments.skip_existing:
                        continue
                    consent.check(target)
                    replace = True
                places[place] = source
        except (OSError, Refused, OptionError) as error:
            failures.append((source, error))
        else:
            jobs.append(Job(source, target, replace))
    return jobs, failures


class Writer:
    """Writes the results of a run, from any thread, none over another.

    Parameters
    ----------
    jobs : sequence of Job
        The plan.
    skip_existing : bool
        Whether a file that another process has made in the meantime is left without a word.
    """

    def __init__(self, jobs: Sequence[Job], skip_existing: bool) -> None:
        self._skip = skip_existing
        places = {job.target: _folded(_place(job.target)) for job in jobs if job.target != "-"}
        counts = Counter(places.values())
        # Names that are one or two, depending on the folder: what is there after the first tells.
        self._alike = {target for target, place in places.items() if counts[place] > 1}
        self._written: dict[_Identity | None, str] = {}
        self._lock = threading.Lock()

    def write(self, job: Job, data: bytes) -> None:
        """Write one result; a file that exists is replaced only if the plan says so."""
        if job.target == "-":
            _console.write_output(data)
        elif job.target not in self._alike:
            self._write(job, data)
        else:
            with self._lock:
                found = _identity(job.target)
                if found in self._written:
                    raise Refused(f"{job.source}: would overwrite the result of {self._written[found]}")
                self._write(job, data)
                self._written[_identity(job.target)] = job.source

    def _write(self, job: Job, data: bytes) -> None:
        try:
            write_bytes(job.target, data, overwrite=job.replace)
        except FileExistsError:
            if not self._skip:
                raise exists_already(job.target) from None
