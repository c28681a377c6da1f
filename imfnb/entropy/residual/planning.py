"""How bands are coded: as they are, as differences from an earlier one, or by a palette of few values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...format.residual_model import PALETTE

__all__ = ["Plan", "best_order", "plan_bands"]

#: Bands up to which differences are tried, on so many rows at least and this part of them. (Of satellite bands, which
#: differ in gain as well, least squares make more than of their differences; of the channels of photographs less.)
_TRIED_BANDS = 4
_TRIED_ROWS, _TRIED_PART = 32, 10


class Plan(NamedTuple):
    """What is coded in place of samples."""

    values: np.ndarray  # int32 (C, H, W): samples, differences, or numbers of entries
    swapped: bool  # whether the first two bands have changed places; everything else is in this order
    kinds: np.ndarray  # int64 (C,): 0, the distance of the band that was subtracted, or PALETTE
    palettes: np.ndarray  # int64: entries of the palettes of all bands, rising
    starts: np.ndarray  # int64 (C + 1,): where those of each band begin


def _palette(values: np.ndarray) -> np.ndarray | None:
    """The palette of a band's valid values, None if it would cost more than it saves.

    An entry that stands apart from the others saves the samples there about the logarithm of the gap; an entry costs
    twice that of its gap's, unless gaps repeat.
    """
    if values.size == 0:
        return None
    low, high = int(values.min()), int(values.max())
    if high - low + 1 < 2 * min(values.size, 4):
        return None
    entries, counts = np.unique(values, return_counts=True)
    if high - low + 1 < 2 * len(entries):
        return None
    gaps = np.diff(entries)
    around = np.zeros(len(entries))
    around[1:] += np.log2(gaps) / 2
    around[:-1] += np.log2(gaps) / 2
    share = np.unique(gaps, return_counts=True)[1] / len(gaps)
    cost = len(gaps) * -(share * np.log2(share)).sum() + 32 * len(share) + 64
    return entries if (around * counts).sum() > 2 * cost else None


def plan_bands(samples: np.ndarray, valid: np.ndarray | None, swapped: bool = False, subtract: bool = False) -> Plan:
    """Decide how the bands are coded.

    Parameters
    ----------
    samples : ndarray of int32, shape (C, H, W)
        The samples.
    valid : ndarray of bool, shape (H, W) or (C, H, W), or None
        Which of them there are.
    swapped : bool
        Whether the second band comes first.
    subtract : bool
        Whether what comes first is subtracted from the next three bands, unless they have a palette.
    """
    mask = np.ones(samples.shape[1:], np.bool_) if valid is None else np.asarray(valid, np.bool_)
    masks = np.broadcast_to(mask, samples.shape)
    order = [1, 0, *range(2, len(samples))] if swapped else list(range(len(samples)))
    masks = masks[order]
    values = np.where(masks, samples[order], 0).astype(np.int32)
    clean, kinds, palettes = values.copy(), [], []
    for b, there in enumerate(masks):
        palette = _palette(clean[b][there])
        if palette is not None:
            kinds.append(PALETTE)
            palettes.append(palette)
            values[b] = np.where(there, np.searchsorted(palette, clean[b]), 0)
        else:
            kinds.append(b if subtract and b < PALETTE else 0)
            palettes.append(np.zeros(0, np.int64))
            if kinds[-1]:
                values[b] -= clean[0]
    starts = np.cumsum([0, *map(len, palettes)])
    return Plan(values, swapped, np.array(kinds), np.concatenate(palettes).astype(np.int64), starts)


def best_order(
    encode: Callable[[Plan, tuple[int, int, int], np.ndarray | None], bytes],
    samples: np.ndarray,
    valid: np.ndarray | None,
) -> tuple[bool, bool]:
    """Find out on rows in the middle whether differences make fewer bytes; return two arguments of `plan_bands`.

    Parameters
    ----------
    encode : callable
        What codes a plan for samples of a shape.
    samples, valid
        As in :func:`plan_bands`.
    """
    bands, height, _ = samples.shape
    if not 1 < bands <= _TRIED_BANDS:
        return False, False
    rows = min(height, max(_TRIED_ROWS, height // _TRIED_PART))
    part = slice((height - rows) // 2, (height - rows) // 2 + rows)
    samples, valid = samples[:, part], None if valid is None else valid[..., part, :]
    sizes = {}
    for choice in ((False, False), (bands > 2, True)):
        plan = plan_bands(samples, valid, *choice)
        sizes[choice] = len(encode(plan, samples.shape, valid))
    return min(sizes, key=sizes.__getitem__)
