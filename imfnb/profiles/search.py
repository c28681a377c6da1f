"""Targets of the main profile: trials of steps and of lambda for one image, and the file that meets a target best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, cast

import numpy as np

from ..errors import OptionError
from ..factorization import rdoq
from ..format.basis import WEIGHT_ONE
from ..format.constants import PATCH_SIZES, STEP_MAX, STEP_MIN
from ..format.container import Frame
from ..metrics import psnr
from ..options import EncodeOptions
from ..runtime.run import HostRun, Run
from . import candidates, decide, main
from .alpha import visible
from .refining import Refining
from .resolution import subsampled
from .stacks import ALL_PARTS, Analysis, Parts, Stack, analyse
from .targets import on_scale, search_step
from .traces import earlier_step
from .tuning import ERRATIC_OCTAVES, ERRATIC_PSNR, FLAT_TONES, HEADER_BYTES, NEARBY_STEPS, TUNES, WHOLE_SAMPLES

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
        with suppress(OptionError):  # what was found meets the target
            found = trials.better([found, best()])
    if name != "psnr":
        found = trials.better(chain([found], trials.again(value)))
    if trials.erratic:
        found = trials.better(chain([found], trials.nearby(found[1].choices.step, value)))
    return trials.file(found)


# A candidate with the analysis that it belongs to: that of the runner, or that of the CPU.
_Attempt = tuple[Analysis, candidates.Candidate]


class _Trials(Refining[Analysis]):
    """What the search can try; the look at the image beforehand, a small part of the work, is the CPU's, too."""

    def __init__(self, image: Any, frame: Frame, options: EncodeOptions, run: Run, parts: Parts) -> None:
        self._frame, self._options, self._run = frame, options, run
        self._name, value = options.target
        self._tune = TUNES[options.tuned]
        self._image = image if isinstance(image, np.ndarray) else image.copy_to_host()
        self._visible = visible(self._image)
        self._analysis = run.drive(analyse([image], frame, run, parts, options.keep_hidden))
        if run.retains:
            super().__init__(self._analysis)
        else:
            host = HostRun("cpu", 1)
            super().__init__(host.drive(analyse([self._image], frame, host, parts, options.keep_hidden)))
        self._models: dict[bool, list[np.ndarray]] = {}
        # What is chosen once serves for all trials, since bytes and PSNR jump where a choice changes.
        self._chosen: main.Choices | None = None
        self._errors: list[list[float]] = []  # of every model at every trial
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
        self.subsample, self._chosen, self._errors = subsample, None, []

    def step(self, step: int) -> tuple[_Attempt, float]:
        end = step in (STEP_MIN, STEP_MAX)  # where nothing may be lost: the choices of a plain encoding
        if self._chosen is not None and not end:
            choices = replace(self._chosen, step=step)
        else:
            choices = main.first_choices(self._options, self.resolution(step) if end else self.subsample, step)
        attempt, value = self._tried(choices)
        if not end:
            self._chosen = self._chosen or cast(main.Choices, attempt[1].choices)
            found = on_scale(self._name, value)
            self._errors.append([found - guess for guess in self.predict(step)])
        return attempt, value

    def _tried(self, choices: main.Choices, rate: bool = True) -> tuple[_Attempt, float]:
        """What comes of choices, with U by rate and distortion or just rounded."""
        analysis = self._analysis
        if not rate:
            parts = replace(analysis.parts, rdoq=replace(analysis.parts.rdoq, rate=False))
            analysis = replace(analysis, parts=parts)
        candidate = self._run.drive(candidates.try_choices(analysis, choices))
        return self._measured((self._analysis, candidate))

    def _limit(self, value: float) -> float:
        """A target in bytes, or in dB."""
        return value * self._frame.height * self._frame.width / 8 if self._name == "bpp" else value

    def predict(self, step: int) -> list[float]:
        if self.subsample not in self._models:
            self._models[self.subsample] = self._curves(self.subsample)
        octave, octaves = math.log2(step * self._tune.plain), np.log2(rdoq.SPECTRUM_STEPS)
        return [float(np.interp(octave, octaves, curve)) for curve in self._models[self.subsample]]

    def _expected_step(self, value: float) -> int:
        """Where the likeliest model meets the target."""
        aim = on_scale(self._name, self._limit(value))
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

    def again(self, value: float) -> Iterator[_Attempt]:
        """Where the picture was decoded from a file, an attempt to make its factors once more, if it meets the target.

        It takes fewer bytes than that file did, so that a search for bytes goes elsewhere, but loses next to nothing:
        of thirty encodings at one bit per pixel, each of what the one before it gave, all but the first together lose
        0.1 to 0.3 dB, where they lost 4 dB and more. Entries of U are rounded, since what is left was worth its bits.
        """
        analysis, limit, wish = self._on_host, self._limit(value), self._options.patch_size
        stack, planes = analysis.planes(self.subsample)[0]
        rows = decide.sampled_rows(stack.spec.shape[0])
        for size in PATCH_SIZES if wish == "auto" else (wish,):
            step = earlier_step([analysis.strip(stack, planes, size, part)[0] for part in rows], size)
            if step is None:
                continue
            step = min(step * WEIGHT_ONE // self._tune.luma.first, STEP_MAX)  # what was found is that of component 0
            choices = main.first_choices(self._options, self.resolution(step), step)
            choices = replace(choices, patch_sizes=(size, *choices.patch_sizes[1:]))
            for rate in (False, True):
                attempt, found = self._tried(choices, rate)
                if found <= limit:
                    yield attempt
                    break

    @property
    def erratic(self) -> bool:
        """Whether another step may well do better: not for photographs, whose sizes and PSNRs fall with every step.

        Those of flat shapes, whose few coefficients fall on multiples of a step or do not, jump to and fro by some dB.
        Such pictures have few tones, or the trials go far from every model.
        """
        rows = [self._image[part] for part in decide.sampled_rows(self._frame.height)]
        tones = np.count_nonzero(sum(np.bincount(part.ravel(), minlength=256) for part in rows))
        spread = ERRATIC_PSNR if self._name == "psnr" else ERRATIC_OCTAVES
        jumps = len(self._errors) > 1 and np.ptp(self._errors, axis=0).min() > spread
        return bool(tones <= FLAT_TONES or jumps)

    def nearby(self, step: int, value: float) -> Iterator[_Attempt]:
        """Attempts that meet the target, at steps around one and with patches of both sides.

        They are the same for all targets, so that of two targets the higher one seldom takes fewer bytes.
        """
        limit = self._limit(value)
        wish = self._options.patch_size
        middle = round(NEARBY_STEPS * math.log2(step / STEP_MIN))
        for number in range(middle - NEARBY_STEPS // 2, middle + 2 * NEARBY_STEPS + 1):
            other = round(STEP_MIN * 2 ** (number / NEARBY_STEPS))
            for size in PATCH_SIZES if wish == "auto" else (wish,):
                if STEP_MIN <= other <= STEP_MAX:
                    choices = main.first_choices(self._options, self.subsample, other)
                    choices = replace(choices, patch_sizes=(size,) * 4)
                    attempt, found = self._tried(choices)
                    if found >= limit if self._name == "psnr" else found <= limit:
                        yield attempt

    def better(self, attempts: Iterable[_Attempt]) -> _Attempt:
        """Of attempts that meet the target that with fewest bytes or, if bytes are the target, the highest PSNR."""
        remaining = iter(attempts)
        best, score = next(remaining), None
        for attempt in remaining:  # one after the other, since they hold their factors
            score = self._score(best) if score is None else score
            other = self._score(attempt)
            if other > score:
                best, score = attempt, other
        return best

    def _score(self, attempt: _Attempt) -> float:
        """How good an attempt that meets the target is."""
        return -len(self.file(attempt)) if self._name == "psnr" else self._decoded(attempt)[1]

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
        one, two = (image[:, :, : image.shape[2] - self._frame.alpha] for image in (self._image, pixels))
        if self._visible is not None:
            one, two = one[self._visible], two[self._visible]
        return psnr(one, two) if one.size else math.inf

    def _curves(self, subsample: bool) -> list[np.ndarray]:
        """What the target measures at each of SPECTRUM_STEPS of luma, by each model of the spectra."""
        known = np.full(len(rdoq.SPECTRUM_STEPS), HEADER_BYTES, float)
        for alpha in self._on_host.alphas:
            for n, step in enumerate(rdoq.SPECTRUM_STEPS):
                known[n] += alpha.estimated_bytes(
                    decide.alpha_step(self._options.alpha_quality, round(step), self._tune),
                    decide.lossy_alpha(self._options.alpha_quality),
                )
        pixels = self._image[:, :, 0].size if self._visible is None else np.count_nonzero(self._visible)
        samples = pixels * (3 if self._frame.channels >= 3 else 1)
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
