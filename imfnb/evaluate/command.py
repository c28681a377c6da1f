"""The studies as ``imfnb bench`` calls them: arguments in, the outcome back."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import OptionError
from . import ablation, arrays, classification, collage, factor_maps, rate_distortion, timing
from .data import pictures
from .records import Progress
from .scenes import scenes
from .study import Guard, Outcome, codecs_by_name

__all__ = ["run"]


def run(arguments: argparse.Namespace, progress: Progress, guard: Guard) -> Outcome:
    """Run the study that the arguments name.

    Parameters
    ----------
    arguments : argparse.Namespace
        What :mod:`imfnb.cli` has parsed.
    progress : callable
        Called with the number of finished points and of all points.
    guard : callable
        Called with the name of a file that the study would replace and has not written itself; raises an error to
        keep it.

    Returns
    -------
    Outcome
        What the study returns.
    """
    common: dict[str, Any] = {"output": arguments.output, "figure": arguments.figure}
    common |= {"progress": progress, "guard": guard}
    study = arguments.study
    if study == "arrays":
        return arrays.run(
            scenes(arguments.data, colours=arguments.rgb),
            arrays.codecs_of_arrays(arguments.codec),
            rates=arguments.rates,
            max_error=arguments.max_error,
            bps=arguments.bps,
            repeat=arguments.repeat,
            threads=arguments.threads,
            **common,
        )
    chosen = pictures(arguments.data)
    if study in ("collage", "factor-maps"):
        if len(chosen) > 1:
            raise OptionError(f"{study} shows one picture; {len(chosen)} are given")
        if study == "factor-maps":
            return factor_maps.run(chosen[0], rank=arguments.rank, **common)
        return collage.run(
            chosen[0],
            codecs_by_name(arguments.codec),
            bpp=arguments.bpp,
            crops=arguments.crop,
            crop_size=arguments.crop_size,
            metrics=arguments.metric or ["psnr"],
            **common,
        )
    if study == "timing":
        codecs = codecs_by_name(arguments.codec)
        common |= {"metrics": arguments.metric or ["psnr"]}
        return timing.run(chosen, codecs, bpp=arguments.bpp, repeat=arguments.repeat, **common)
    common["threads"] = arguments.threads
    if study == "ablation":
        return ablation.run(arguments.subject, chosen, metric=arguments.metric, **common)
    codecs = codecs_by_name(arguments.codec)
    if study == "classification":
        labels = classification.read_labels(arguments.labels)
        classifier = classification.load_classifier(arguments.classifier)
        return classification.run(classifier, chosen, labels, codecs, name=arguments.classifier, **common)
    return rate_distortion.run(
        chosen,
        codecs,
        metrics=arguments.metric or ["psnr", "ms-ssim"],
        anchor=arguments.anchor,
        rates=arguments.rates,
        published=arguments.published,
        limits=arguments.limits,
        **common,
    )
