"""What every study takes and gives."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..baselines import Codec, codec, names, settings
from ..files import write_bytes
from .figures import check_path, render
from .records import Points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CODECS", "Guard", "Outcome", "Place", "codecs_by_name", "plural"]

#: Called with the name of a file that a study would replace and has not written itself; raises an error to keep it.
Guard = Callable[[str], None]

#: The codecs of a study that is told no others.
CODECS = ("imf", "imf-baseline", "svd", "jpeg", "jpeg2000", "webp", "avif")

# How every record of a study begins.
_POINT = b'{"image": '


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Parameters
    ----------
    table : str
        The result as text.
    documents : list of dict
        What its JSON files hold.
    files : list of Path
        The files it wrote, the figure first.
    """

    table: str
    documents: list[dict[str, Any]]
    files: list[Path]


class Place:
    """Where a study writes.

    The folder has a list of what studies have written there, with digests, so that a study that is run again replaces
    its own results and nothing else.

    Parameters
    ----------
    study : str
        Its name.
    output : path or None
        Folder of the results; made if need be; imfnb-bench/`study` by default.
    figure : path or None
        File of the figure, .png, .svg or .pdf; figure.png in the folder by default.
    results : sequence of str
        Names of all files that the study writes beside its figure and its points.
    guard : callable, optional
        Asked at once about every such file that exists and that no earlier run of the study has written, or that has
        been changed since. By default all are replaced.

    Attributes
    ----------
    folder, figure : Path
        The same, resolved.
    files : list of Path
        The files of the study, the figure first.
    """

    def __init__(
        self,
        study: str,
        output: str | os.PathLike | None,
        figure: str | os.PathLike | None,
        results: Sequence[str],
        guard: Guard | None = None,
    ) -> None:
        self.folder = Path("imfnb-bench", study) if output is None else Path(output)
        self.figure = self.folder / "figure.png" if figure is None else Path(figure)
        check_path(self.figure)
        self.files = [self.figure, *(self.folder / name for name in results)]
        self._study, self._guard = study, guard
        self._list = self.folder / "written.json"
        self._existed = {path for path in [*self.files, self._list] if path.is_file()}
        for path in [*self.files, self._list]:
            if guard is not None and path in self._existed and not self._is_own(path):
                guard(os.fspath(path))

    def points(self, **options: Any) -> Points:
        """The records of the study."""
        path = self.folder / "points.jsonl"
        if self._guard is not None and path.is_file():
            with open(path, "rb") as file:
                head = file.read(len(_POINT))
            if not _POINT.startswith(head):  # a record that was cut off by a crash is one nevertheless
                self._guard(os.fspath(path))
        return Points(path, **options)

    def write(self, name: str, result: str | list | dict) -> None:
        """Write one of the results: text, or a document as JSON."""
        text = result if isinstance(result, str) else json.dumps(result, indent=1)
        # Names of files may have bytes that mean nothing as text.
        self._write(self.folder / name, text.encode("utf-8", "backslashreplace") + b"\n")

    def draw(self, figure: Figure, name: str | None = None, **options: Any) -> None:
        """Write the figure, or the result of that name; the options are those of :func:`.figures.render`."""
        path = self.figure if name is None else self.folder / name
        self._write(path, render(figure, path, **options))

    def _write(self, path: Path, data: bytes) -> None:
        os.makedirs(path.parent, exist_ok=True)
        write_bytes(path, data, overwrite=self._guard is None or path in self._existed)
        written = self._written()
        written.setdefault(self._study, {})[self._key(path)] = hashlib.sha256(data).hexdigest()
        os.makedirs(self.folder, exist_ok=True)
        write_bytes(self._list, json.dumps(written, indent=1).encode() + b"\n")

    def _key(self, path: Path) -> str:
        return path.name if path.parent == self.folder else os.path.abspath(path)

    def _written(self) -> dict[str, dict[str, str]]:
        """Digests of what studies have written: study -> file -> SHA-256."""
        try:
            found = json.loads(self._list.read_bytes())
        except (OSError, ValueError):
            return {}
        valid = isinstance(found, dict) and all(isinstance(files, dict) for files in found.values())
        return found if valid else {}

    def _is_own(self, path: Path) -> bool:
        written = self._written()
        if path == self._list:
            return bool(written)
        return written.get(self._study, {}).get(self._key(path)) == hashlib.sha256(path.read_bytes()).hexdigest()


def codecs_by_name(chosen: Iterable[str] | None) -> list[Codec]:
    """Codecs by their names, each on one thread.

    Parameters
    ----------
    chosen : iterable of str or None
        Some of :func:`imfnb.baselines.names`; "all" stands for all, None for :data:`CODECS`.

    Returns
    -------
    list of Codec
        Each once.

    Raises
    ------
    OptionError
        If there is no such codec, or the package that has it is not installed.

    See Also
    --------
    imfnb.baselines.codec : One codec, with options.

    Examples
    --------
    >>> from imfnb.evaluate import study
    >>> [codec.name for codec in study.codecs_by_name(["imf", "jpeg"])]
    ['imf', 'jpeg']
    """
    wanted = CODECS if chosen is None else tuple(chosen)
    if "all" in wanted:
        wanted = names()
    # Pictures are what runs side by side in a study.
    return [codec(name, **({"threads": 1} if "threads" in settings(name) else {})) for name in dict.fromkeys(wanted)]


def plural(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
