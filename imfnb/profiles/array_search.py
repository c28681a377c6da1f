"""Targets of arrays in the main profile: the steps, lambdas and splices that lead to a rate or a PSNR."""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from ..errors import OptionError
from ..factorization import rdoq
from ..options import EncodeOptions
from ..rasters import Raster
from . import candidates, decide
from .arrays import decoded, to_file
from .columns import FINEST, LONGEST, ColumnAnalysis, ColumnChoices, first_choices
from .direct import better_directly, psnr_directly, shorter_directly
from .refining import Refining
from .scaling import peak_of, squared_error, to_samples
from .stacks import Stack
from .targets import search_step
from .tuning import HEADER_BYTES, WHOLE_SAMPLES

__all__ = ["search_array"]

# A candidate with the analysis that it belongs to: that of the runner, or that of the CPU.
_Attempt = tuple[ColumnAnalysis, candidates.Candidate]

# The octave of the step whose planes the predictions are made from: the finest of those with the usual range.
_PREDICTING = 7


def search_array(analysis: ColumnAnalysis, image: Raster, options: EncodeOptions) -> bytes:
    """The file of an array for the targets bpp, size and psnr: with a lossy layer, or without where that is better."""
    name, value = options.target
    height, width, _ = image.samples.shape
    trials = _Trials(analysis, image, options)
    try:
        lossy = trials.file(search_step(trials, FINEST, LONGEST, height * width, name, value))
    except OptionError:  # no step is fine enough, or none long enough
        if name != "psnr":
            raise
        return psnr_directly(image, analysis.frame, value, analysis.run)
    if name == "psnr":
        return shorter_directly(lossy, image, analysis.frame, value, analysis.run)
    limit = int(value * height * width / 8) if name == "bpp" else value
    error = squared_error(image, decoded(lossy, image, analysis.run))
    return better_directly(lossy, error, image, analysis.frame, limit, analysis.run)


class _Trials(Refining[ColumnAnalysis]):
    """What the search can try; spectra are looked at on the CPU, too."""

    def __init__(self, analysis: ColumnAnalysis, image: Raster, options: EncodeOptions) -> None:
        self._analysis, self._image, self._options = analysis, image, options
        super().__init__(analysis.on_host())
        self._name = options.target[0]
        self._peak = peak_of(image)
        self._models: list[np.ndarray] | None = None

    def step(self, step: int) -> tuple[_Attempt, float]:
        choices = first_choices(self._options, step, self._image.samples.shape[2])
        analysis = self._analysis
        return self._measured((analysis, analysis.run.drive(candidates.try_choices(analysis, choices))))

    def predict(self, step: int) -> list[float]:
        if self._models is None:
            self._models = self._curves()
        octave, octaves = math.log2(step / 2), np.log2(rdoq.SPECTRUM_STEPS)
        found = []
        for curve in self._models:
            value = float(np.interp(octave, octaves, curve))
            below = octaves[0] - octave
            if below > 0:  # shorter steps than those of the models: as between the first two
                value += below * float(curve[0] - curve[1]) / float(octaves[1] - octaves[0])
            found.append(value)
        return found

    def file(self, attempt: _Attempt) -> bytes:
        """The file of an attempt."""
        analysis, candidate = attempt
        drive = analysis.run.drive
        complete = drive(candidates.with_bytes(analysis, drive(candidates.with_restoration(analysis, candidate))))
        coded = candidates.to_coded(complete)
        segments = [segment.result() for segment in coded.segments]
        return to_file(analysis, cast(ColumnChoices, candidate.choices), coded.planes, segments, self._image.missing)

    def _measured(self, attempt: _Attempt) -> tuple[_Attempt, float]:
        analysis, candidate = attempt
        if self._name != "psnr":
            candidate = analysis.run.drive(candidates.with_bytes(analysis, candidate))
            return (analysis, candidate), len(self.file((analysis, candidate)))
        candidate, integers = analysis.run.drive(candidates.with_pixels(analysis, candidate))
        samples = np.empty_like(self._image.samples)
        to_samples(integers, analysis.frame.samples, samples)
        error = squared_error(self._image, samples)
        return (analysis, candidate), 10 * math.log10(self._peak**2 / error) if error else math.inf

    def _curves(self) -> list[np.ndarray]:
        """What the target measures at each of SPECTRUM_STEPS of planes of the usual range, by each model."""
        analysis, p = self._on_host, rdoq.SPECTRUM_PATCH

        def count(source: tuple[Stack, np.ndarray]) -> np.ndarray:
            stack, planes = source
            rows = decide.estimated_rows(stack.spec.shape)
            strips = [rdoq.spectrum(analysis.strip(stack, planes, p, part)[0], analysis.run.host) for part in rows]
            found = np.sum(strips, axis=0)
            return found * planes.size // found.sum() if planes.size > WHOLE_SAMPLES else found

        spectra = analysis.run.each(count, analysis.planes(_PREDICTING))
        pixels, bands = self._image.samples[:, :, 0].size, self._image.samples.shape[2]
        # An error of a unit of the planes, 1/16 gray level of the models, in units of the data.
        unit = 2 * analysis.unit * 16 * analysis.frame.samples.scale
        curves = []
        for model in rdoq.SPECTRUM_MODELS:
            if self._name == "psnr":
                error = sum(model.error(counts) for counts in spectra) * unit**2 / (pixels * bands)
                curves.append(10 * np.log10(self._peak**2 / np.maximum(error, 1e-12)))
            else:
                curves.append(np.log2(HEADER_BYTES + sum(model.bits(counts) for counts in spectra) / 8))
        return curves
