"""The studies as ``imfnb bench`` calls them: arguments in, the outcome back."""

from __future__ import annotations

import argparse
from typing import Any

from . import ablation, rate_distortion
from .data import pictures
from .records import Progress
from .study import Outcome, codecs_by_name

__all__ = ["run"]


def run(arguments: argparse.Namespace, progress: Progress) -> Outcome:
    """Run the study that the arguments name.

    Parameters
    ----------
    arguments : argparse.Namespace
        What :mod:`imfnb.cli` has parsed.
    progress : callable
        Called with the number of finished points and of all points.

    Returns
    -------
    Outcome
        What the study returns.
    """
    common: dict[str, Any] = {"output": arguments.output, "figure": arguments.figure, "progress": progress}
    chosen = pictures(arguments.data)
    if arguments.study == "rate-distortion":
        return rate_distortion.run(
            chosen,
            codecs_by_name(arguments.codec),
            anchor=arguments.anchor,
            published=arguments.published,
            threads=arguments.threads,
            **common,
        )
    return ablation.run(arguments.subject, chosen, threads=arguments.threads, **common)
