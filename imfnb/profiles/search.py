"""Targets of the main profile: trials of steps and of lambda for one image, and the file that meets a target best."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..factorization import rdoq
from ..format.constants import STEP_MAX, STEP_MIN
from ..format.container import Frame
from ..metrics import psnr
from ..options import EncodeOptions
from ..runtime.run import HostRun, Run
from . import candidates, decide, main
from .alpha import visible
from .resolution import subsampled
from .stacks import ALL_PARTS, Analysis, Parts, Stack, analyse
from .targets import search_step
from .tuning import HEADER_BYTES, TUNES, WHOLE_SAMPLES

__all__ = ["search"]


def search(image: Any, frame: Frame, options: EncodeOptions, run: Run, parts: Parts = ALL_PARTS) -> bytes:
    """`encode_image` of the main profile for the targets bpp, size and psnr."""
    name, value = options.target
    trials = _Trials(image, frame, options, run, parts)

    def best() -> _Attempt:
        return search_step(trials, STEP_MIN, STEP_MAX, frame.height * frame.width, name, value)

    found = best()
    other = trials.resolution(found[1].choices.step, kept=trials.subsample)
    if other != trials.subsample:  # chosen where the search was expected to end, and it ended elsewhere
        trials.take(other)
        found = trials.better(found, best())
    return trials.file(found)


# A candidate with the analysis that it belongs to: that of the runner, or that of the CPU.
_Attempt = tuple[Analysis, candidates.Candidate]


class _Trials:
    """What the search can try; see :class:`imfnb.profiles.targets.Trials`.

    Steps are tried where the image is encoded. What no step can end, a search with other lambdas, goes on on the CPU,
    which keeps what the last choice of U is made from, and so does the look at the image beforehand: a small part of
    the work.
    """

    def __init__(self, image: Any, frame: Frame, options: EncodeOptions, run: Run, parts: Parts) -> None:
        self._frame, self._options, self._run = frame, options, run
        self._name, value = options.target
        self._tune = TUNES[options.tuned]
        self._image = image if isinstance(image, np.ndarray) else image.copy_to_host()
        self._visible = visible(self._image)
        self._analysis = run.drive(analyse([image], frame, run, parts, options.keep_hidden))
        if run.retains:
            self._on_host = self._analysis
        else:
            host = HostRun("cpu", 1)
            self._on_host = host.drive(analyse([self._image], frame, host, parts, options.keep_hidden))
        self._models: dict[bool, list[np.ndarray]] = {}
        self._counterpart: tuple[candidates.Candidate, _Attempt] | None = None
        # What is chosen once serves for all trials, since bytes and PSNR jump where a choice changes.
        self._chosen: main.Choices | None = None
        known = decide.known_subsampling(options.subsampling, frame.channels, STEP_MAX)
        self.subsample = known is not False  # what the models are to speak of
        if known is None:
            self.take(self.resolution(self._expected_step(value)))

    def resolution(self, step: int, kept: bool | None = None) -> bool:
        """Whether chroma has half the size at a step; one that was `kept` so far is left for a clear gain only."""
        analysis = self._on_host
        (found,) = analysis.run.drive(subsampled(analysis, self._options.subsampling, step, self._tune, kept))
        return found

    def take(self, subsample: bool) -> None:
        """Make all trials from here on with this resolution of chroma."""
        if subsample != self.subsample:  # the planes of the other one take as much memory
            self._on_host.forget(planes=True)
            self._analysis.forget(planes=True)
        self.subsample, self._chosen = subsample, None

    def step(self, step: int) -> tuple[_Attempt, float]:
        end = step in (STEP_MIN, STEP_MAX)  # where nothing may be lost: the choices of a plain encoding
        if self._chosen is not None and not end:
            choices = replace(self._chosen, step=step)
        else:
            choices = main.first_choices(self._options, self.resolution(step) if end else self.subsample, step)
        candidate = self._run.drive(candidates.try_choices(self._analysis, choices))
        if self._chosen is None and not end:
            self._chosen = candidate.choices
        return self._measured((self._analysis, candidate))

    def lambda_scale(self, attempt: _Attempt, lambda_scale: int) -> tuple[_Attempt, float]:
        analysis, base = self._refinable(attempt)
        return self._measured((analysis, analysis.run.drive(candidates.with_lambda(analysis, base, lambda_scale))))

    def splice(self, one: _Attempt, other: _Attempt, share: float) -> tuple[_Attempt, float]:
        analysis, base = self._refinable(one)
        return self._measured((analysis, candidates.splice(base, other[1], share)))

    def predict(self, step: int) -> list[float]:
        if self.subsample not in self._models:
            self._models[self.subsample] = self._curves(self.subsample)
        octave, octaves = math.log2(step), np.log2(rdoq.SPECTRUM_STEPS)
        return [float(np.interp(octave, octaves, curve)) for curve in self._models[self.subsample]]

    def _expected_step(self, value: float) -> int:
        """Where the likeliest model meets the target."""
        aim = value
        if self._name != "psnr":
            aim = math.log2(value * self._frame.height * self._frame.width / 8 if self._name == "bpp" else value)
        low, high = STEP_MIN, STEP_MAX
        while low < high:
            middle = (low + high) // 2
            if self.predict(middle)[0] > aim:
                low = middle + 1
            else:
                high = middle
        return low

    def file(self, attempt: _Attempt) -> bytes:
        """The file of an attempt."""
        analysis, candidate = attempt
        drive = analysis.run.drive
        complete = drive(candidates.with_bytes(analysis, drive(candidates.with_restoration(analysis, candidate))))
        return main.to_file(candidates.to_coded(complete), self._frame)

    def better(self, one: _Attempt, other: _Attempt) -> _Attempt:
        """Of two attempts that meet the target that with fewer bytes or, if bytes are the target, the higher PSNR."""
        if self._name == "psnr":
            return min(one, other, key=lambda attempt: len(self.file(attempt)))
        return max(one, other, key=lambda attempt: self._decoded(attempt)[1])

    def _measured(self, attempt: _Attempt) -> tuple[_Attempt, float]:
        analysis, candidate = attempt
        if self._name != "psnr":
            candidate = analysis.run.drive(candidates.with_bytes(analysis, candidate))
            return (analysis, candidate), len(main.to_file(candidates.to_coded(candidate), self._frame))
        return self._decoded(attempt)

    def _decoded(self, attempt: _Attempt) -> tuple[_Attempt, float]:
        """An attempt with a decision on restoration, and its PSNR."""
        analysis, candidate = attempt
        candidate, pixels = analysis.run.drive(candidates.with_pixels(analysis, candidate))
        return (analysis, candidate), self._psnr(pixels)

    def _psnr(self, pixels: np.ndarray) -> float:
        """PSNR of the colours of what is not fully transparent."""
        one, two = self._image[:, :, :3], pixels[:, :, :3]
        if self._visible is not None:
            one, two = one[self._visible], two[self._visible]
        return psnr(one, two) if one.size else math.inf

    def _refinable(self, attempt: _Attempt) -> _Attempt:
        """An attempt on the CPU; made once for all that is tried from there."""
        analysis, candidate = attempt
        if analysis is self._on_host:
            return attempt
        if self._counterpart is None or self._counterpart[0] is not candidate:
            same = self._on_host.run.drive(candidates.try_choices(self._on_host, candidate.choices))
            self._counterpart = candidate, (self._on_host, same)
        return self._counterpart[1]

    def _curves(self, subsample: bool) -> list[np.ndarray]:
        """What the target measures at each of SPECTRUM_STEPS of luma, by each model of the spectra."""
        known = np.full(len(rdoq.SPECTRUM_STEPS), HEADER_BYTES, float)
        for alpha in self._on_host.alphas:
            for n, step in enumerate(rdoq.SPECTRUM_STEPS):
                known[n] += alpha.estimated_bytes(
                    decide.alpha_step(self._options.alpha_quality, round(step)),
                    decide.lossy_alpha(self._options.alpha_quality),
                )
        samples = 3 * (self._image[:, :, 0].size if self._visible is None else np.count_nonzero(self._visible))
        samples = samples if self._frame.channels >= 3 else self._image.size
        spectra = self._spectra(subsample)
        curves = []
        for model in rdoq.SPECTRUM_MODELS:
            total = np.zeros(len(rdoq.SPECTRUM_STEPS))
            for chroma, counts in spectra:
                part = model.error(counts) if self._name == "psnr" else model.bits(counts)
                if chroma:
                    part = np.interp(rdoq.SPECTRUM_STEPS * self._tune.chroma_step[subsample], rdoq.SPECTRUM_STEPS, part)
                total += part
            if self._name == "psnr":
                curves.append(10 * np.log10(255**2 * max(samples, 1) / np.maximum(total, 1e-3)))
            else:
                curves.append(np.log2(known + total / 8))
        return curves

    def _spectra(self, subsample: bool) -> list[tuple[bool, np.ndarray]]:
        """For every plane but alpha's whether it is chroma, and counts of its coefficients by magnitude."""
        analysis, p = self._on_host, rdoq.SPECTRUM_PATCH

        def count(source: tuple[Stack, np.ndarray]) -> tuple[bool, np.ndarray]:
            stack, planes = source
            rows = decide.estimated_rows(stack.spec.shape)
            strips = [rdoq.spectrum(analysis.strip(stack, planes, p, part)[0], analysis.run.host) for part in rows]
            counts = np.sum(strips, axis=0)
            if planes.size > WHOLE_SAMPLES:
                counts = counts * planes.size // counts.sum()
            return stack.spec.chroma, counts

        return analysis.run.each(count, analysis.planes(subsample))
