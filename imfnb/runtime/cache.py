"""Where compiled kernels are kept from one process to the next.

Never in the installed package: what pip did not write there, pip leaves behind when it replaces or removes the package,
and a folder that is left over shadows an editable installation.

Kernels lie in ``<cache directory>/imfnb/kernels/<version>-<digest>``. The digest covers the package's sources, so that
an edit of what a kernel calls, in whatever file, makes its code stale (Numba looks at the kernel's own file only), the
versions of what compiles, and the settings of Numba that change the code. The cache directory is the first of these
that can be written to:

1. ``NUMBA_CACHE_DIR``, if it is set;
2. the user's: ``$XDG_CACHE_HOME`` or ``~/.cache``, on macOS ``~/Library/Caches``, on Windows ``%LOCALAPPDATA%``;
3. a folder of the user's in the one for temporary files, where nobody else can write to it.

One that cannot be written to, but has kernels of this state already, is read all the same: images of containers are
filled when they are built. Where there is none, kernels are compiled in memory.

Whoever makes a folder removes those of other states beside it that have not been used for four weeks, and, of more than
eight, the longest unused that have not been used for an hour; only files that are kernels by their names, and then the
folder, if that leaves it empty. A process marks its folder as used when it first looks into it. One whose folder is
removed nevertheless compiles again what it has not loaded yet.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import logging
import os
import re
import stat
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba
import numpy as np
from numba import config

from .. import _READ, __version__

__all__ = ["HINT", "Places", "Sources", "describe", "obstacle", "places", "unkept"]

_logger = logging.getLogger(__name__)

#: What to do where kernels are not kept.
HINT = "set NUMBA_CACHE_DIR to a writable folder"

#: Why a kernel that this process compiled is not on disk, by the kernel's name.
unkept: dict[str, str] = {}

# Settings of Numba (NUMBA_OPT and so on) that change the code of CPU kernels. The processor is in Numba's own key.
_SETTINGS = "OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX"

# Names of folders and files that this module and its users make; nothing else is ever removed. Files are written under
# a name that goes on, and renamed.
_FOLDER = re.compile(r"\d[\w.+]*-[0-9a-f]{16}")
_FILE = re.compile(r".*\.(nbi|nbc)(\.tmp\.[0-9a-f]+)?|.*\.kernel(\.[0-9a-f]+)?")

# Seconds without use after which folders of other states go, at once and where there are more than so many.
_OLD, _IDLE, _MANY = 28 * 86400, 3600, 8

# Parts of the package that have no kernels and that no kernel is built from: editing them leaves kernels as they are.
_NO_KERNELS = frozenset({"baselines", "evaluate", "metrics", "pictures", "plugins", "profiles"})

# Seconds by which the time of a change may lie before it: file systems have that of the system's last tick.
_TICK = 0.01

_SUFFIXES = tuple(importlib.machinery.SOURCE_SUFFIXES + importlib.machinery.BYTECODE_SUFFIXES)

_CHANGED = "{} has changed since this process began; start it anew"


class Sources:
    """The package's modules as this process has read them.

    Parameters
    ----------
    folder : pathlib.Path
        The package, perhaps in a zip archive.
    archive : str or None
        The archive.
    read : float
        When the first of the files was read by this process, in seconds since the epoch.

    Attributes
    ----------
    digest : str
        SHA-256 of the names and the contents of all modules that kernels may be built from.
    problem : str
        Why the digest says nothing about the code that runs here; empty if it does.
    """

    def __init__(self, folder: Path, archive: str | None, read: float) -> None:
        self.digest = self.problem = ""
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._modules = 0
        digest = hashlib.sha256()
        try:
            for path in [archive] if archive else sorted(_modules(str(folder))):
                self._stamps[path], changed = _stamp(path)
                if changed > read - _TICK:
                    self.problem = _CHANGED.format(path)
            names = []
            for name, content in self._contents(folder, archive):
                names.append(name)
                digest.update(f"{name} {len(content)}\n".encode())
                digest.update(content)
        except (OSError, zipfile.BadZipFile) as error:
            self.problem = f"the package's sources cannot be read ({error})"
            return
        if not names:
            self.problem = f"the package's sources are not in files ({folder})"
        self.digest = digest.hexdigest()

    def _contents(self, folder: Path, archive: str | None) -> Iterator[tuple[str, bytes]]:
        """Names, with slashes, and contents of all modules."""
        if archive:
            inside = folder.relative_to(archive).as_posix() + "/"
            with zipfile.ZipFile(archive) as file:
                for name in sorted(file.namelist()):
                    if not name.startswith(inside) or not name.endswith(_SUFFIXES):
                        continue
                    parts = name.removeprefix(inside).split("/")
                    if parts[0] not in _NO_KERNELS and "__pycache__" not in parts:
                        yield "/".join(parts), file.read(name)
        else:
            for path in self._stamps:
                with open(path, "rb") as source:
                    yield path[len(str(folder)) + 1 :].replace(os.sep, "/"), source.read()

    def check(self, thoroughly: bool = True) -> str:
        """Say what is wrong, after looking whether a file has changed meanwhile.

        A process that imports a module after its file has changed would otherwise take old code for new, or leave new
        code to those that come after the change has been taken back.

        Parameters
        ----------
        thoroughly : bool
            Otherwise look only if modules have been imported since the last look: a hundred files take 0.2 ms.

        Returns
        -------
        str
            The :attr:`problem`, which stays.
        """
        modules = len(sys.modules)
        if not self.problem and (thoroughly or modules != self._modules):
            for path, stamp in self._stamps.items():
                try:
                    same = _stamp(path)[0] == stamp
                except OSError:
                    same = False
                if not same:
                    self.problem = _CHANGED.format(path)
                    break
            self._modules = modules
        return self.problem


def _modules(folder: str, passed_over: frozenset[str] = _NO_KERNELS) -> Iterator[str]:
    """Paths of the Python modules in a folder and below; of bytecode, only what stands for a source that is absent."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__" and entry.name not in passed_over:
                    yield from _modules(entry.path, frozenset())
            elif entry.name.endswith(_SUFFIXES):
                yield entry.path


def _stamp(path: str) -> tuple[tuple[int, ...], float]:
    """What differs once a file has been written to, and when that was last, in seconds since the epoch."""
    status = os.stat(path)
    # On POSIX `st_ctime` is when the file was changed, which nobody can set, unlike `st_mtime`; on Windows it is when
    # the file was created.
    changed = status.st_ctime if os.name == "posix" else max(status.st_ctime, status.st_mtime)
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino), changed


@functools.cache
def _own() -> Sources:
    """The sources of this package."""
    return Sources(Path(__file__).parent.parent, getattr(__spec__.loader, "archive", None), _READ)


class Places(NamedTuple):
    """Where kernels of the present state are."""

    #: Folders to look into, in this order.
    readable: tuple[Path, ...]
    #: The folder to write to, if there is one.
    writable: Path | None
    #: Why other folders are not used, or none is.
    problems: tuple[str, ...]

    @property
    def best(self) -> Path | None:
        """The folder to write to; where there is none, one to read, in which writing fails."""
        return self.writable or next(iter(self.readable), None)


def places(thoroughly: bool = True) -> Places:
    """Find out where kernels are, and make a folder for them if there is none.

    Parameters
    ----------
    thoroughly : bool
        See :meth:`Sources.check`; needed to save a kernel.

    Returns
    -------
    Places
        By the variables of the environment and by Numba's settings as they are now.
    """
    problem = _own().check(thoroughly)
    if problem:
        return Places((), None, (problem,))
    versions = numba.__version__, llvmlite.__version__, np.__version__  # that of Python is in the files' names
    state = _own().digest, versions, [getattr(config, setting, None) for setting in _SETTINGS]
    name = f"{__version__}-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
    candidates = tuple(_candidates())
    found = _usable(name, candidates)
    if found.writable and not found.writable.is_dir():  # removed meanwhile
        _usable.cache_clear()
        found = _usable(name, candidates)
    return found


class _Candidate(NamedTuple):
    """A folder that may hold those of the kernels."""

    #: What it is called in messages.
    label: str
    #: It is there, or may be made.
    base: str
    #: What is made in it.
    below: str
    #: Whether others may write to `base`.
    shared: bool = False
    #: Permissions of what is made.
    mode: int = 0o700
    #: Why it cannot be used.
    problem: str = ""


def _candidates() -> Iterator[_Candidate]:
    below = os.path.join("imfnb", "kernels")
    given, problem = config.CACHE_DIR, ""
    if given:
        try:
            given = os.path.abspath(given)
        except OSError as error:  # the current folder has been removed
            problem = error.strerror or str(error)
        yield _Candidate(f"NUMBA_CACHE_DIR {given}", given, below, mode=0o777, problem=problem)
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        user = os.environ.get("LOCALAPPDATA", "") or os.path.join(home, "AppData", "Local")
    elif sys.platform == "darwin":
        user = os.path.join(home, "Library", "Caches")
    else:
        user = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(user):  # by its specification to be ignored
            user = os.path.join(home, ".cache")
    missing = not os.path.isabs(user) or (user.startswith(os.path.join(home, "")) and not os.path.isdir(home))
    yield _Candidate(user, user, below, problem="there is no home directory" if missing else "")
    try:
        temporary = tempfile.gettempdir()
        uid = os.getuid()
    except (OSError, AttributeError):  # there is none; Windows, where the owner of a folder cannot be told
        return
    yield _Candidate(temporary, temporary, os.path.join(f"imfnb-{uid}", "kernels"), shared=True)


@functools.lru_cache(maxsize=8)
def _usable(name: str, candidates: tuple[_Candidate, ...]) -> Places:
    """:func:`places` for a folder's name, by what the file system says."""
    readable: list[Path] = []
    problems: list[str] = []
    for candidate in candidates:
        root = Path(candidate.base, candidate.below)
        folder = root / name
        try:
            if candidate.problem:
                raise OSError(candidate.problem)
            if candidate.shared:
                _make_private(root.parent)
            new = not folder.is_dir()
            _make(folder, candidate.mode)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            problems.append(f"{candidate.label} ({error.strerror or error})")
            with contextlib.suppress(OSError):
                if not candidate.problem and not candidate.shared and os.listdir(folder):
                    readable.append(folder)
                    problems[-1] = f"{folder} (read-only)"
            continue
        with contextlib.suppress(OSError):
            os.utime(folder)
            if new:
                _remove_old(root, name)
        return Places((*readable, folder), folder, tuple(problems))
    return Places(tuple(readable), None, tuple(problems))


def _make(folder: Path, mode: int) -> None:
    """Make a folder and those above it; `os.makedirs` does not pass the mode on to those above."""
    if not folder.is_dir():
        _make(folder.parent, mode)
        folder.mkdir(mode, exist_ok=True)


def _make_private(folder: Path) -> None:
    """Make a folder where everybody may, which only the user can write to; OSError if it cannot be trusted.

    Kernels are machine code, so that who can write them here can do everything in the user's name. Another may have
    been here first, with a folder or a link of this name.
    """
    above = os.stat(folder.parent)
    if above.st_uid not in (0, os.getuid()) or (above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX):
        raise OSError("others could replace what is in it")
    if not above.st_mode & stat.S_ISVTX and os.path.samefile(folder.parent, os.curdir):
        raise OSError("there is no folder for temporary files")  # `tempfile` takes the current one then
    with contextlib.suppress(FileExistsError):
        folder.mkdir(0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OSError(f"{folder.name} there is a link, another user's or writable by others")


def _remove_old(root: Path, name: str) -> None:
    """Remove folders of other states, see the top of this module."""
    now = time.time()
    others = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name != name and _FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                others.append((now - entry.stat().st_mtime, entry.path))
    for index, (unused, folder) in enumerate(sorted(others), 1):
        if unused > _OLD or (index > _MANY and unused > _IDLE):
            _logger.debug("kernels of another state removed: %s", folder)
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if _FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        os.unlink(entry.path)
                os.rmdir(folder)  # an error if something else is in it


def obstacle() -> str | None:
    """Say in one sentence why this process finds no kernels and keeps none; None if it does."""
    found = places()
    if found.readable:
        return None
    reason = _own().problem or f"there is no place to keep them: {_listed(found.problems)}"
    return f"kernels are compiled in every process, since {reason}"


def describe() -> str:
    """Say where this process keeps its kernels, or that it does not and why: the folder comes first."""
    found = places()
    if not found.readable:
        return f"none; {obstacle()}"
    if not found.writable:
        return f"{found.readable[0]}, read-only: others are compiled in every process; {_listed(found.problems)}"
    if found.problems:
        return f"{found.writable}, since others cannot be used: {_listed(found.problems)}"
    return str(found.writable)


def _listed(problems: tuple[str, ...]) -> str:
    return f"{', '.join(problems)}; {HINT}"
