"""What the networks see: passes over the patches and the inputs of their symbols, in NumPy. Section 18 of FORMAT.md.

Component 0 and the ranks are coded along a wave front, so that what is to the left and above is known; every other
component in two passes, over the patches of either colour of a checkerboard, whose symbols see nothing of each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...format.context_model import component_table, zigzag
from ...format.rans_model import DIFFERENCES, LOG, LOG_LIMIT, MAGNITUDES, MEAN_LIMIT, RUN, SIGN_SHIFT

__all__ = [
    "Mean",
    "blend",
    "component_inputs",
    "difference_level",
    "first_inputs",
    "log",
    "magnitude_level",
    "neighbours",
    "predicted",
    "rank_inputs",
    "runs",
    "slopes_of",
    "wave",
]


def log(value: np.ndarray) -> np.ndarray:
    """What networks see of a count or a magnitude."""
    return LOG[np.minimum(value, LOG_LIMIT)].astype(np.int32)


def difference_level(value: np.ndarray) -> np.ndarray:
    """The level of a difference, -DIFFERENCES to DIFFERENCES."""
    return np.sign(value) * np.minimum((log(abs(value)) + SIGN_SHIFT) >> SIGN_SHIFT, DIFFERENCES)


def magnitude_level(value: np.ndarray) -> np.ndarray:
    """The level of a magnitude, 0 to MAGNITUDES."""
    return np.minimum(log(value) >> SIGN_SHIFT, MAGNITUDES)


def wave(grid_h: int, grid_w: int) -> Iterator[np.ndarray]:
    """Padded positions of the patches of every pass over component 0 or the ranks: those with the same x + 2 y.

    Patches to the left and, in the rows above, up to one to the right belong to earlier passes.
    """
    stride = grid_w + 4
    for t in range(grid_w + 2 * grid_h - 2):
        y = np.arange(max(0, (t - grid_w + 2) // 2), min(t // 2 + 1, grid_h))
        yield (y + 2) * stride + t - 2 * y + 2


def runs(m: np.ndarray) -> list[np.ndarray]:
    """The positions of a pass by those that are coded together."""
    return [m[start : start + RUN] for start in range(0, len(m), RUN)]


class Mean:
    """The mean of the magnitudes of the passes so far, of which older ones count less."""

    def __init__(self) -> None:
        self._total = self._count = 0

    def add(self, values: np.ndarray) -> None:
        """Take the magnitudes of a pass in."""
        if self._count >= MEAN_LIMIT:
            self._total, self._count = self._total >> 1, self._count >> 1
        self._total += int(values.sum(dtype=np.int64))
        self._count += len(values)

    @property
    def seen(self) -> int:
        """What networks see of it."""
        return int(LOG[min(16 * self._total // max(self._count, 1), LOG_LIMIT)])


def neighbours(image: np.ndarray, m: np.ndarray, stride: int) -> list[np.ndarray]:
    """What is to the left, above, above to the left and right, and two to the left and above, int64."""
    wide = image.astype(np.int64)
    return [wide[m - move] for move in (1, stride, stride + 1, stride - 1, 2, 2 * stride)]


def predicted(w: np.ndarray, n: np.ndarray, nw: np.ndarray) -> np.ndarray:
    """What is expected of component 0: the median edge detector."""
    return np.maximum(np.minimum(w, n), np.minimum(np.maximum(w, n), w + n - nw))


def blend(around: list[np.ndarray]) -> np.ndarray:
    """Six times what another prediction of component 0 is above that of the median edge detector."""
    w, n, nw, ne, ww, nn = around
    return 3 * (w + n) + ne - nw + ((w - ww + n - nn) >> 1) - 6 * predicted(w, n, nw)


def first_inputs(around: list[np.ndarray], errors: list[np.ndarray], mean: int) -> np.ndarray:
    """Inputs of residuals of component 0, int32 (n, FEW_INPUTS): from it and its residuals around."""
    w, n, nw, ne, ww, nn = around
    differences = w - nw, n - nw, ne - n, w - ww, n - nn, blend(around), ne - w
    columns = [log(abs(v)) for v in (*differences, *errors)]
    return np.stack([*columns, np.full(len(w), mean)], 1).astype(np.int32)


def rank_inputs(
    around: list[np.ndarray], seen: np.ndarray, slopes: np.ndarray, m: np.ndarray, mean: int, top: int
) -> np.ndarray:
    """Inputs of ranks at positions m, int32 (n, FEW_INPUTS).

    `around` has ranks, `seen` (int32, padded) the residuals of component 0 as networks see them, `top` the same for the
    largest rank; slopes are those of :func:`slopes_of`.
    """
    w, n, nw, ne, ww, nn = around
    columns = [log(v) for v in (w, n, nw, ne, ww, nn)]
    rest = slopes[0, m], slopes[1, m], slopes[2, m], slopes[3, m], seen[m], seen[m + 1]
    return np.stack([*columns, *rest, np.full(len(m), mean), np.full(len(m), top)], 1).astype(np.int32)


def slopes_of(first: np.ndarray, stride: int) -> np.ndarray:
    """What networks see of component 0 around every position, int32 (4, size), from differences around it.

    Across, down, the bend, and the larger one between corners. What they are at guards does not matter.
    """
    wide = first.astype(np.int64)

    def at(move: int) -> np.ndarray:
        return np.roll(wide, -move)

    across, down = at(1) - at(-1), at(stride) - at(-stride)
    bend = 4 * wide - at(1) - at(-1) - at(stride) - at(-stride)
    corner = np.maximum(abs(at(stride + 1) - at(-stride - 1)), abs(at(stride - 1) - at(-stride + 1)))
    return np.stack([log(abs(v)) for v in (across, down, bend, corner)])


def component_inputs(
    r: int,
    which: int,
    m: np.ndarray,
    seen: np.ndarray,
    sums: np.ndarray,
    slopes: np.ndarray,
    ranks: np.ndarray,
    stride: int,
    patch_size: int,
    means: tuple[int, int, int],
) -> np.ndarray:
    """Inputs of component r at positions m, int32 (n, INPUTS).

    Parameters
    ----------
    r, which : int
        The component, and the pass.
    m : ndarray of int64
        Positions.
    seen : ndarray of int32, shape (R, size)
        What networks see of magnitudes; of component 0 nothing.
    sums : ndarray of int32, shape (size,)
        What networks see of the sum of the magnitudes so far of every patch.
    slopes, ranks : ndarray
        Of :func:`slopes_of`; the active ranks.
    stride, patch_size : int
        Of the padded images; side of the patches.
    means : (int, int, int)
        What networks see of the mean magnitude, the mean rank and the mean slope.
    """
    order, table = zigzag(patch_size), component_table(patch_size)
    i, j = (int(v) for v in order[r])
    number = {(int(a), int(b)): k for k, (a, b) in enumerate(order)}
    before = [seen[max(r - k, 0)] for k in (1, 2, 3)]

    def beside(image: np.ndarray) -> np.ndarray:
        return (image[m - 1] + image[m + 1]) >> 1

    def along(image: np.ndarray) -> np.ndarray:
        return (image[m - stride] + image[m + stride]) >> 1

    def around(image: np.ndarray) -> np.ndarray:
        return (image[m - 1] + image[m + 1] + image[m - stride] + image[m + stride]) >> 2

    one, two = seen[table[r, 0]], seen[table[r, 1]]
    near = ranks[m - 1], ranks[m + 1], ranks[m - stride], ranks[m + stride]
    columns = [
        *(one[m], beside(one), along(one)),
        *(two[m], beside(two), along(two)),
        *(sums[m], around(sums)),
        *(image[m] for image in before),
        *((beside(image) + along(image)) >> 1 for image in before[:2]),
        seen[number[i - 2, j] if i >= 2 else 0][m],
        seen[number[i, j - 2] if j >= 2 else 0][m],
        *((beside(seen[r]), along(seen[r])) if which else (0, 0)),
        *(slopes[0, m], slopes[1, m], slopes[2, m]),
        log(ranks[m] - r),
        log(sum(np.maximum(v - r + 1, 0) for v in near)),
        sum(32 * (v >= r) for v in near),
        log(ranks[m]),
        # From here on the same for all of a pass.
        *(int(LOG[i]), int(LOG[j]), 256 * i // patch_size, 256 * j // patch_size, 8 * patch_size, *means),
    ]
    return np.stack([np.broadcast_to(np.asarray(column, np.int32), m.shape) for column in columns], 1)
