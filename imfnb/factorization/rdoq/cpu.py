"""Rate-distortion factorization X ~ 2**-s U V^T of planes, one thread of Numba.

With V fixed, the closed-form update of column u_r is round(2**s (X v_r) / |v_r|**2) (the columns of the DCT basis are
orthogonal up to rounding). A candidate u costs, in units of X**2 * 2**(2 s),

    u**2 |v_r|**2 - 2**(s + 1) u (X v_r) + lambda * step**2 * bits(u)

and every quantity is an exact integer. The kernels take one plane, the functions at the end a stack of them.
"""

from __future__ import annotations

import numpy as np

from ...entropy.cpu import _median_edge, _u
from ...entropy.layout import LEVELS, LEVELS_9, LEVELS_11, MAGNITUDE_LIMIT, SUM_LIMIT
from ...format.context_model import GROUPS
from ...format.masking import FAR_LIMIT
from ...runtime.jit import kernel
from .basis import proxy_cosines
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    INSIDE_CONTEXTS,
    MAGNITUDE_CLASSES,
    MANTISSAS,
    NEAR_LIMIT,
    PROXY_COSTS,
    PROXY_FIRST,
    cost_table,
    rank_costs,
    rank_counts,
)
from .reference import COUNTS, Array, Grid, extent, weights
from .tiles import CHUNK, TILE, pair_product, place_patch
from .tuning import INVERSE_BITS, PRIOR

__all__ = [
    "COUNTS",
    "choose",
    "choose_first",
    "cost_table",
    "count_magnitudes",
    "denormalize",
    "extent",
    "first_counts",
    "magnitude_prices",
    "normalize",
    "product",
    "project",
    "proxy",
    "quantize",
    "rank_classes",
    "rebase",
    "weights",
]

_jit = kernel(error_model="numpy")

# The range of X V.
_LOWEST, _HIGHEST = -(2**31) + 1, 2**31 - 1

_ONE = np.uint64(1)
# Bits shifted out after each half of the transform of `proxy`; a Python integer would compile the callee once more.
_SHIFT, _NONE = np.int64(12), np.int64(0)


@_jit
def _pair(first, second):
    """Two 16-bit integers as one of 32 bits."""
    return np.int32((np.int32(first) & np.int32(0xFFFF)) | np.int32(np.int32(second) << np.int32(16)))


@_jit
def _project(plane, p, basis, out):
    """Write X v_r to out (int32, (N, size)) inside its guards; the patch is the SIMD lane.

    Samples are within +-2**14 (see `lapped.forward`) and an entry of V is at most 2 / p of its length of 1.6 * 2**14
    (the first column of `basis.analysis_basis` at its shortest weight): both fit 16 bits. |X v| <= |X| |v| stays within
    int32, since |X| <= 2**16: 2048 times the root of the 32 x 32 samples that overlapping patches of 16 x 16 see.
    Partial sums may wrap, the total does not.
    """
    gw = plane.shape[1] // p
    count, half, stride = plane.shape[0] // p * gw, p // 2, gw + 4
    columns, pairs = out.shape[0], p * half
    words, line = np.zeros((pairs, CHUNK), np.int32), np.empty((TILE, CHUNK), np.int32)
    weights = np.zeros((columns + -columns % TILE, pairs), np.int32)
    for r in range(columns):
        for k in range(pairs):
            weights[r, k] = _pair(basis[2 * k, r], basis[2 * k + 1, r])
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        n = start
        while n < stop:  # patches of one row of patches at a time
            y, x = n // gw, n % gw
            run = min(stop - n, gw - x)
            for i in range(p):
                source = plane[y * p + i, x * p :]
                for j in range(half):
                    target = words[i * half + j, n - start :]
                    for k in range(run):
                        target[k] = _pair(source[k * p + 2 * j], source[k * p + 2 * j + 1])
            n += run
        for r in range(0, columns, TILE):
            pair_product(words, weights, r, line)
            n = start
            while n < stop:
                y, x = n // gw, n % gw
                run = min(stop - n, gw - x)
                place = (y + 2) * stride + 2 + x
                for c in range(min(TILE, columns - r)):
                    target, source = out[r + c, place:], line[c, n - start :]
                    for k in range(run):
                        target[k] = source[k]
                n += run


@_jit
def _quantize(num, lengths, scale, trail, U, ranks):
    """See :func:`quantize`; the ranks start as zeros."""
    top = np.int32(MAGNITUDE_LIMIT >> 1)
    for r in range(num.shape[0]):
        den = lengths[r]
        half, last = np.int32(den >> (scale + 1)), np.int32((den * trail) >> (8 + scale))
        last = max(last, half) if r else np.int32(_HIGHEST)
        # The exact quotient: half a unit of the numerator is far more than what rounding moves. No branches, so that
        # LLVM makes vectors of it.
        factor, start, inverse = np.float64(2 << scale), np.float64(den) + 0.5, 0.5 / np.float64(den)
        row, line = num[r], U[r]
        for m in range(row.shape[0]):
            a = np.int32(abs(row[m]))
            q = min(np.int32((np.float64(a) * factor + start) * inverse), top)
            q = q if a >= half else np.int32(0)
            line[m] = np.int16(q if row[m] > 0 else -q)
            ranks[m] = np.int32(r) if a >= last else ranks[m]
    for r in range(1, num.shape[0]):
        line = U[r]
        for m in range(line.shape[0]):
            line[m] = line[m] if r <= ranks[m] else np.int16(0)


@_jit
def _choose(num, lengths, scale, lam, contexts, prices, classes, rank_table, U, ranks):
    """See :func:`choose`; rank_table (int64, (9, R)) holds the cost of every rank for each class of neighbours."""
    # Patch by patch: component by component, with the sums of all patches in arrays, took twice as long.
    for m in range(ranks.size):
        rank = np.int64(ranks[m])
        if rank == 0:
            continue
        total, kept = np.int64(0), np.int64(0)
        best = (lam * rank_table[classes[m], 0]) >> 16
        for r in range(1, rank + 1):
            one, two = np.uint64(contexts[0, r, m]), np.uint64(contexts[1, r, m])
            cost = (lam * (np.int64(prices[one, 0]) + prices[two, 0])) >> 17
            a = abs(np.int64(U[r, m]))
            if a:
                den, product = lengths[r], np.int64(num[r, m])
                v = abs(product) << (scale + 1)
                top = np.uint64(min(a, MAGNITUDE_CLASSES - 1))
                u = np.int64(0)
                high = a * (a * den - v) + ((lam * (np.int64(prices[one, top]) + prices[two, top])) >> 17)
                if high < cost:
                    u = a
                    cost = high
                if a > 1:
                    bits = np.int64(prices[one, top - _ONE]) + prices[two, top - _ONE]
                    low = (a - 1) * ((a - 1) * den - v) + ((lam * bits) >> 17)
                    if low < cost:
                        u = a - 1
                        cost = low
                U[r, m] = u if product > 0 else -u
                if u:
                    whole = total + cost + ((lam * rank_table[classes[m], r]) >> 16)
                    if whole < best:
                        best = whole
                        kept = r
            total += cost
        for r in range(kept + 1, rank + 1):
            U[r, m] = 0
        ranks[m] = kept


@_jit
def _count_magnitudes(U, ranks, table, stride, contexts, counts):
    top, size = contexts.shape[1:]
    # Levels are the same from far below 255 on. Component 0 has no parents.
    magnitudes = np.zeros((top, size), np.uint8)
    for r in range(1, top):
        line, row = magnitudes[r], U[r]
        for m in range(size):
            line[m] = min(abs(np.int32(row[m])), np.int32(255))
    # Patch by patch; component by component, with sums of magnitudes as vectors, took as long.
    for m in range(size):
        rank, own = np.int64(ranks[m]), np.int64(0)
        for r in range(1, rank + 1):
            line, first, second = magnitudes[r], magnitudes[table[r, 0]], magnitudes[table[r, 1]]
            near = 2 * (np.int64(line[_u(m - 1)]) + line[_u(m - stride)] + first[_u(m)] + second[_u(m)])
            near += np.int64(line[_u(m - stride - 1)]) + line[_u(m - stride + 1)]
            near += np.int64(first[_u(m + 1)]) + first[_u(m + stride)] + second[_u(m + 1)] + second[_u(m + stride)]
            rest = rank - r
            inside = np.int64(LEVELS_11[_u(own)]) * 10 + np.int64(LEVELS_9[_u(rest)])
            inside = inside * 6 + table[r, 4]
            around = INSIDE_CONTEXTS + table[r, 3] * 16 + np.int64(LEVELS[_u(near)])
            around += 0 if rest else GROUPS * 16
            a = np.int64(line[_u(m)])
            magnitude = min(a, MAGNITUDE_CLASSES - 1)
            contexts[0, r, m], contexts[1, r, m] = inside, around
            counts[inside, magnitude] += 1
            counts[around, magnitude] += 1
            own = min(own + min(a, NEAR_LIMIT), SUM_LIMIT)


@_jit
def _log2(value):
    """`costs.log2` of a positive integer: exponent and leading bits of the mantissa of a float64."""
    bits = np.float64(value).view(np.int64)
    return ((bits >> 52) - 1023) * 256 + MANTISSAS[np.uint64((bits >> 40) & 4095)]


@_jit
def _magnitude_prices(counts, prices):
    # Sums are loops: the method of arrays, kept with this kernel, would have every process import what Numba has for
    # linear algebra, a quarter of what the first call of an encoder takes.
    total = np.zeros(MAGNITUDE_CLASSES, np.int64)
    every = np.int64(0)
    for context in range(INSIDE_CONTEXTS):
        for k in range(MAGNITUDE_CLASSES):
            total[k] += counts[context, k]
            every += counts[context, k]
    for context in range(counts.shape[0]):
        row, out = counts[context], prices[context]
        here = np.int64(0)
        for k in range(MAGNITUDE_CLASSES):
            here += row[k]
        whole = _log2((here + PRIOR) * every + MAGNITUDE_CLASSES)
        for k in range(MAGNITUDE_CLASSES):
            out[k] = whole - _log2(row[k] * every + PRIOR * total[k] + 1) + (256 if k else 0)
        last = context // 6 % 10 == 0 if context < INSIDE_CONTEXTS else context >= INSIDE_CONTEXTS + GROUPS * 16
        if last:
            out[0] = 0


@_jit
def _normalize(num, local):
    """See :func:`normalize`."""
    gh, gw = local.shape
    # Exact in float64: a product has at most 31 and 15 bits.
    unit, half = 2.0**-INVERSE_BITS, 2.0 ** (INVERSE_BITS - 1)
    inverse = np.empty(gw, np.float64)
    for y in range(gh):
        for x in range(gw):
            inverse[x] = np.float64(((32 << INVERSE_BITS) + local[y, x]) // (2 * local[y, x]))
        for r in range(1, num.shape[0]):
            row = num[r, (y + 2) * (gw + 4) + 2 :]
            for x in range(gw):
                found = np.floor((np.float64(row[x]) * inverse[x] + half) * unit)
                row[x] = np.int32(min(max(found, np.float64(_LOWEST)), np.float64(_HIGHEST)))


@_jit
def _denormalize(D, local, first, limit, scale, p, plane):
    """See :func:`denormalize`; D is component 0."""
    gh, gw = local.shape
    mean, factor = np.empty(gw * p, np.int32), np.empty(gw * p, np.int32)
    for y in range(gh):
        for x in range(gw):
            u = min(max(np.int64(D[(y + 2) * (gw + 4) + x + 2]), -limit), limit)
            value = np.int32((u * first + (np.int64(1) << (scale - 1))) >> scale)
            for j in range(p):
                mean[x * p + j], factor[x * p + j] = value, local[y, x]
        for i in range(y * p, y * p + p):
            row = plane[i]
            for x in range(gw * p):
                far = min(max(np.int32(row[x] - mean[x]), np.int32(-FAR_LIMIT)), np.int32(FAR_LIMIT))
                row[x] = np.int32(mean[x] + ((np.int32(far * factor[x]) + np.int32(8)) >> np.int32(4)))


@_jit
def _rebase(num, U, right, gram, bits, scale, out):
    rows, columns = right.shape
    size = num.shape[1]
    line = np.empty(size, np.int64)
    others = np.empty(size, np.int64)
    for r in range(num.shape[0]):
        source, target = num[r], out[r]
        for m in range(size):
            target[m] = source[m]
            line[m] = source[m]
        if r >= rows:
            continue
        if r < columns:
            line[:] = 0
            for s in range(rows):
                weight = right[s, r]
                if weight:
                    products = num[s]
                    for m in range(size):
                        line[m] += weight * products[m]
            for m in range(size):
                line[m] >>= bits
        others[:] = 0
        for s in range(min(rows, U.shape[0])):
            weight = gram[s, r]
            if weight and s != r:
                u = U[s]
                for m in range(size):
                    others[m] += weight * u[m]
        for m in range(size):
            target[m] = min(max(line[m] - (others[m] >> scale), _LOWEST), _HIGHEST)


@_jit
def _class_of(value):
    """The bit length of an integer from 0 on, by the exponent of a float64."""
    return max((np.float64(value).view(np.int64) >> 52) - 1022, 0)


@_jit
def _rank_classes(ranks, gh, gw, out):
    stride = gw + 4
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            out[m] = _class_of((ranks[m - 1] + ranks[m - stride] + ranks[m + 1] + ranks[m + stride] + 2) >> 2)


@_jit
def _first_guess(D, y, x, gw, stride):
    """Return what component 0 of a patch is predicted to be, and the context of its residual."""
    m = (y + 2) * stride + x + 2
    w = np.int64(D[m - 1])
    n = np.int64(D[m - stride])
    nw = np.int64(D[m - stride - 1])
    if y == 0:
        n = nw = w
    elif x == 0:
        w = nw = n
    ne = np.int64(D[m - stride + 1]) if y and x < gw - 1 else n
    activity = abs(w - nw) + abs(n - nw) + abs(ne - n)
    return _median_edge(w, n, nw), min(_class_of(activity), FIRST_CONTEXTS - 1)


@_jit
def _first_counts(D, gh, gw, counts):
    stride = gw + 4
    for y in range(gh):
        for x in range(gw):
            guess, context = _first_guess(D, y, x, gw, stride)
            e = np.int64(D[(y + 2) * stride + x + 2]) - guess
            counts[context, min(abs(e), FIRST_CLASSES - 1)] += 1


@_jit
def _choose_first(num, den, scale, lam, table, gh, gw, D):
    stride = gw + 4
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            v = np.int64(num[m]) << (scale + 1)
            own, own_context = _first_guess(D, y, x, gw, stride)
            centre = np.int64(D[m])
            best = np.int64(0)
            kept = centre
            for k in range(3):
                u = centre + (0 if k == 0 else 1 if k == 1 else -1)
                D[m] = u
                bits = np.int64(table[own_context, min(abs(u - own), FIRST_CLASSES - 1)])
                for j in range(1, 4):
                    yy = y + (j >> 1)
                    xx = x + (j & 1)
                    if yy < gh and xx < gw:
                        guess, context = _first_guess(D, yy, xx, gw, stride)
                        e = np.int64(D[(yy + 2) * stride + xx + 2]) - guess
                        bits += table[context, min(abs(e), FIRST_CLASSES - 1)]
                cost = u * (u * den - v) + ((lam * bits) >> 16)
                if k == 0 or cost < best:
                    best = cost
                    kept = u
            D[m] = kept


@_jit
def _half_transform(block, cosines, shift, folded, out):
    """Write cosines (p, p) times the p rows of block, rounded and shifted, to out; half the products by symmetry."""
    p, width = out.shape
    half = p // 2
    rounding = np.int32((1 << shift) >> 1)
    for k in range(half):
        top, bottom, total, difference = block[k], block[p - 1 - k], folded[k], folded[half + k]
        for x in range(width):
            total[x] = top[x] + bottom[x]
            difference[x] = top[x] - bottom[x]
    for i in range(p):
        first = half * (i % 2)
        row = out[i]
        row[:] = rounding
        for k in range(0, half, 4):
            c0, c1, c2, c3 = cosines[i, k], cosines[i, k + 1], cosines[i, k + 2], cosines[i, k + 3]
            f0, f1, f2, f3 = folded[first + k], folded[first + k + 1], folded[first + k + 2], folded[first + k + 3]
            for x in range(width):
                row[x] += np.int32(c0 * f0[x] + c1 * f1[x] + c2 * f2[x] + c3 * f3[x])
        for x in range(width):
            row[x] >>= shift


@_jit
def _transform_scratch(p, width):
    """Room for the intermediate results of `_transform_row`."""
    wide, narrow = (p, width), (p, width // p)
    return np.empty(wide, np.int32), np.empty(wide, np.int32), np.empty(narrow, np.int32), np.empty(narrow, np.int32)


@_jit
def _transform_row(rows, cosines, scratch, out):
    """Write the DCT of one row of patches, p rows of a plane, to out (p, p, gw); see `proxy` for its unit."""
    folded, half, turned, narrow = scratch
    p, _, gw = out.shape
    _half_transform(rows, cosines, _SHIFT, folded, half)
    for i in range(p):
        line = half[i]
        for j in range(p):
            target = turned[j]
            for x in range(gw):
                target[x] = line[x * p + j]
        _half_transform(turned, cosines, _NONE, narrow, out[i])


@_jit
def _proxy(plane, cosines, step):
    """Return the estimate for one plane.

    The transform is separable, with cosines in 1 / 2**10 (see `basis.proxy_cosines`): |X| <= 2**14 and 12 bits shifted
    out after the first half bound the second by 2**30. The exact products X V took 7 of the 10 ms of both sizes.
    """
    p = cosines.shape[0]
    gw = plane.shape[1] // p
    scratch, products = _transform_scratch(p, plane.shape[1]), np.empty((p, p, gw), np.int32)
    above = np.zeros(gw, np.int32)
    # A value over 2 p step is a coefficient in 1 / 16 step.
    unit = np.int64(2 * p) * step
    inverse = 1.0 / np.float64(unit)
    total = np.int64(0)
    for y in range(plane.shape[0] // p):
        _transform_row(plane[y * p : y * p + p], cosines, scratch, products)
        for i in range(p):
            for j in range(p):
                row = products[i, j]
                if i + j == 0:
                    for x in range(gw):
                        change = abs(np.int64(row[x]) - above[x]) if y else np.int64(0)
                        total += PROXY_FIRST[np.uint64(min(change // unit, 1023))]
                        above[x] = row[x]
                else:
                    for x in range(gw):
                        # The exact quotient: half a unit of the numerator is far more than what rounding moves.
                        quotient = np.int32((np.float64(abs(row[x])) + 0.5) * inverse)
                        total += PROXY_COSTS[np.uint32(min(quotient, np.int32(1023)))]
    return total


@_jit
def _product(U, ranks, columns, limit, scale, p, plane):
    """Write 2**-s U V^T to plane (int32); columns is V^T, int32 (N, N); |u| is clamped to limit.

    Entries of V are at most 3 / p times the length of a column, see `basis.updated_basis`: with the largest weight 5
    times 2**14, they fit 16 bits. Without weights, columns of length 2**12 or more have s = 2: |u v| < 2**17 per entry
    by the choice of limit, and the sum of at most 256 terms is below 2**25. Shorter ones have entries of at most
    3 / p * 2**12 and |u| < 2**13: p**2 terms stay within 3 p * 2**25 < 2**31. With the largest weights of a file, limit
    times the sum of the magnitudes of a row of V is at most 0.3 * 2**31 (`tests/test_visual.py` adds them up).
    """
    gh, gw = plane.shape[0] // p, plane.shape[1] // p
    top = min(U.shape[0], columns.shape[0])
    if p == 2:  # fewer samples than a vector has
        _product_of_few(U, ranks, columns, limit, scale, p, plane)
        return
    words = np.zeros(((top + 1) >> 1, p * p), np.int32)
    for r in range(0, top, 2):
        first, second, line = columns[r], columns[min(r + 1, top - 1)], words[r >> 1]
        for k in range(p * p):
            line[k] = _pair(first[k], second[k])
    for y in range(gh):
        for x in range(gw):
            m, place = (y + 2) * (gw + 4) + x + 2, (y * gw * p + x) * p
            last = min(np.int64(ranks[m]), top - 1)
            if p == 8:  # the size of a patch is a constant of the machine code
                place_patch(U, m, last, limit, words, scale, plane, place, 8)
            elif p == 16:
                place_patch(U, m, last, limit, words, scale, plane, place, 16)
            else:
                place_patch(U, m, last, limit, words, scale, plane, place, 4)


@_jit
def _product_of_few(U, ranks, columns, limit, scale, p, plane):
    """The same for small patches."""
    gh, gw = plane.shape[0] // p, plane.shape[1] // p
    top = min(U.shape[0], columns.shape[0])
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * (gw + 4) + x + 2
            last = min(np.int64(ranks[m]), top - 1)
            for k in range(p * p):
                total = np.int64(1) << (scale - 1)
                for r in range(last + 1):
                    total += np.int64(columns[r, k]) * min(max(np.int64(U[r, m]), -limit), limit)
                plane[y * p + k // p, x * p + k % p] = total >> scale


# ---- stacks of planes ------------------------------------------------------------------------------------------------


def project(planes: Array, patch_size: int, weights: Array, out: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.project`."""
    image = out.reshape(*out.shape[:2], planes.shape[1] // patch_size + 3, planes.shape[2] // patch_size + 4)
    image[:, :, :2] = image[:, :, -1] = 0
    image[..., :2] = image[..., -2:] = 0
    for plane, products in zip(planes, out, strict=True):
        _project(plane, patch_size, weights, products)


def quantize(products: Array, lengths: Array, scale: int, trail: int, grid: Grid, factors: Array, ranks: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.quantize`."""
    ranks[...] = 0
    for k in range(len(products)):
        _quantize(products[k], lengths, scale, trail, factors[k], ranks[k])


def normalize(products: Array, local: Array, grid: Grid) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.normalize`."""
    for k in range(len(products)):
        _normalize(products[k], local[k])


def rebase(
    products: Array, factors: Array, right: Array, gram: Array, bits: int, scale: int, grid: Grid, out: Array
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.rebase`."""
    for k in range(len(products)):
        _rebase(products[k], factors[k], right, gram, bits, scale, out[k])


def first_counts(factors: Array, grid: Grid, counts: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.first_counts`."""
    counts[...] = 0
    for k in range(len(factors)):
        _first_counts(factors[k, 0], *grid, counts[k])


def choose_first(products: Array, length: int, scale: int, lam: int, table: Array, grid: Grid, factors: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.choose_first`."""
    for k in range(len(factors)):
        _choose_first(products[k, 0], length, scale, lam, table[k], *grid, factors[k, 0])


def count_magnitudes(factors: Array, ranks: Array, table: Array, grid: Grid, contexts: Array, counts: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.count_magnitudes`."""
    counts[...] = 0
    for k in range(len(factors)):
        _count_magnitudes(factors[k], ranks[k], table, grid[1] + 4, contexts[k], counts[k])


def magnitude_prices(counts: Array, prices: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.magnitude_prices`."""
    for k in range(len(counts)):
        _magnitude_prices(counts[k], prices[k])


def rank_classes(ranks: Array, grid: Grid, out: Array, counts: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.rank_classes`."""
    out[...] = 0
    for k in range(len(ranks)):
        _rank_classes(ranks[k], *grid, out[k])
        counts[k] = rank_counts(ranks[k], out[k], grid)


def choose(
    products: Array,
    lengths: Array,
    scale: int,
    lam: int,
    contexts: Array,
    prices: Array,
    classes: Array,
    rank_table: Array,
    grid: Grid,
    factors: Array,
    ranks: Array,
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.choose`."""
    for k in range(len(factors)):
        costs = rank_costs(rank_table[k], contexts.shape[2])
        numbers = products[k], lengths, scale, lam, contexts[k], prices[k], classes[k], costs
        _choose(*numbers, factors[k], ranks[k])


def product(factors: Array, ranks: Array, weights: Array, limit: int, scale: int, patch_size: int, out: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.product`."""
    for k in range(len(factors)):
        _product(factors[k], ranks[k], weights, limit, scale, patch_size, out[k])


def denormalize(factors: Array, local: Array, first: int, limit: int, scale: int, patch_size: int, out: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.denormalize`."""
    for k in range(len(out)):
        _denormalize(factors[k, 0], local[k], first, limit, scale, patch_size, out[k])


def proxy(planes: Array, patch_size: int, step: int, out: Array) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.proxy`."""
    for k, plane in enumerate(planes):
        out[k] += _proxy(plane, proxy_cosines(patch_size), step)
