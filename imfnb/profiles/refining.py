"""What searches of pictures and of arrays share: other lambdas of the last choice of U, and splices of two of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from . import candidates
from .stacks import Analysis

__all__ = ["Refining"]

_A = TypeVar("_A", bound=Analysis)

# A candidate with the analysis that it belongs to: that of the runner, or that of the CPU.
_Attempt = tuple[_A, candidates.Candidate]


class Refining(ABC, Generic[_A]):
    """Trials that go on from a step; see :class:`imfnb.profiles.targets.Trials`.

    Steps are tried where the image is encoded. What no step can end, a search with other lambdas, goes on on the CPU,
    which keeps what the last choice of U is made from.
    """

    def __init__(self, on_host: _A) -> None:
        self._on_host = on_host
        self._counterpart: tuple[candidates.Candidate, _Attempt[_A]] | None = None

    @abstractmethod
    def _measured(self, attempt: _Attempt[_A]) -> tuple[_Attempt[_A], float]:
        """An attempt with what the target measures of it."""

    def lambda_scale(self, attempt: _Attempt[_A], lambda_scale: int) -> tuple[_Attempt[_A], float]:
        analysis, base = self._refinable(attempt)
        return self._measured((analysis, analysis.run.drive(candidates.with_lambda(analysis, base, lambda_scale))))

    def splice(self, one: _Attempt[_A], other: _Attempt[_A], share: float) -> tuple[_Attempt[_A], float]:
        analysis, base = self._refinable(one)
        return self._measured((analysis, candidates.splice(base, other[1], share)))

    def _refinable(self, attempt: _Attempt[_A]) -> _Attempt[_A]:
        """An attempt on the CPU; made once for all that is tried from there."""
        analysis, candidate = attempt
        if analysis is self._on_host:
            return attempt
        if self._counterpart is None or self._counterpart[0] is not candidate:
            same = self._on_host.run.drive(candidates.try_choices(self._on_host, candidate.choices))
            self._counterpart = candidate, (self._on_host, same)
        return self._counterpart[1]
