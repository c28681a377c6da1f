"""What every study takes and gives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..baselines import Codec, codec, names
from .figures import check_path
from .records import Points

__all__ = ["CODECS", "Outcome", "Place", "codecs_by_name", "plural"]

#: The codecs of a study that is told no others.
CODECS = ("imf", "imf-baseline", "svd", "jpeg", "jpeg2000", "webp", "avif")

# Codecs that start threads of their own; pictures are what runs side by side in a study.
_THREADED = ("imf", "imf-baseline")


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes
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

    Parameters
    ----------
    study : str
        Its name.
    output : path or None
        Folder of the results; made if need be; imfnb-bench/`study` by default.
    figure : path or None
        File of the figure, .png, .svg or .pdf; figure.png in the folder by default.

    Attributes
    ----------
    folder, figure : Path
        The same, resolved.
    """

    def __init__(self, study: str, output: str | os.PathLike | None, figure: str | os.PathLike | None) -> None:
        self.folder = Path("imfnb-bench", study) if output is None else Path(output)
        self.figure = self.folder / "figure.png" if figure is None else Path(figure)
        check_path(self.figure)

    def points(self, **options: Any) -> Points:
        """The records of the study."""
        return Points(self.folder / "points.jsonl", **options)


def codecs_by_name(chosen: Iterable[str] | None) -> list[Codec]:
    """Codecs by their names, each on one thread; "all" stands for all, None for :data:`CODECS`."""
    wanted = CODECS if chosen is None else tuple(chosen)
    if "all" in wanted:
        wanted = names()
    return [codec(name, **({"threads": 1} if name in _THREADED else {})) for name in dict.fromkeys(wanted)]


def plural(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
