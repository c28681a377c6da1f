"""The steps of the rate-distortion factorization in plain NumPy, and what each of them is.

All work on stacks of K planes of one shape. Patches have N = p * p samples and a plane's U as many components, each an
image with one entry per patch and guards around it, `size` entries in all; see :mod:`imfnb.entropy.layout`. Outputs are
allocated by the caller. Costs are in 1/256 bit; `lam` is lambda * |v|**2 * 2**16 / 256.
"""

from __future__ import annotations

import numpy as np

from ...entropy.layout import MAGNITUDE_LIMIT
from ...format.context_model import GROUPS, LEVEL
from ...format.masking import FAR_LIMIT
from .basis import proxy_cosines
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    INSIDE_CONTEXTS,
    MAGNITUDE_CLASSES,
    NEAR_LIMIT,
    PROXY_COSTS,
    PROXY_FIRST,
    cost_table,
    log2,
    rank_costs,
    rank_counts,
)
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

#: The type of frequencies.
COUNTS = np.int64

# What stands in signatures: an array, and patches down and across.
Array = np.ndarray
Grid = tuple[int, int]


def _inside(image: Array, grid: Grid) -> Array:
    """Return the view of the patches of padded images, (..., gh, gw)."""
    gh, gw = grid
    return image.reshape(*image.shape[:-1], gh + 3, gw + 4)[..., 2 : 2 + gh, 2 : 2 + gw]


def _grid(planes: Array, p: int) -> tuple[int, int]:
    return planes.shape[1] // p, planes.shape[2] // p


def weights(matrix: Array) -> Array:
    """Bring a factor of the products to the form that the kernels read: its transpose, in C order.

    Parameters
    ----------
    matrix : ndarray of int32, shape (N, N)
        V^T for `project`, V for `product`; entries within +-2**14.

    Returns
    -------
    ndarray of int32
        To be brought where the kernels read it.
    """
    return np.ascontiguousarray(matrix.T)


def project(planes: Array, patch_size: int, weights: Array, out: Array) -> None:
    """Multiply X by V.

    Parameters
    ----------
    planes : ndarray of int32, shape (K, H, W)
        Pre-filtered planes of whole patches, samples within +-2**14; on the GPU they begin at a multiple of 16 bytes.
    patch_size : {8, 16}
        Side of a patch.
    weights : ndarray of int32
        :func:`weights` of V^T.
    out : ndarray of int32, shape (K, N, size)
        Receives X V; zero in the guards, which no kernel of the GPU reads and its `project` leaves alone.
    """
    grid, p = _grid(planes, patch_size), patch_size
    patches = planes.reshape(len(planes), grid[0], p, grid[1], p).transpose(0, 1, 3, 2, 4)
    samples = patches.reshape(len(planes), *grid, p * p).astype(np.int64)
    out[...] = 0
    _inside(out, grid)[...] = np.moveaxis(samples @ weights.astype(np.int64), 3, 1)


def quantize(products: Array, lengths: Array, scale: int, trail: int, grid: Grid, factors: Array, ranks: Array) -> None:
    """Round to U = round(c), c = 2**s (X v_r) / |v_r|**2, and end every patch.

    A patch's rank ends at its last |c| >= trail / 256: a later, weaker entry would cost more than it gains.

    Parameters
    ----------
    products : ndarray of int32, shape (K, N, size)
        X V by :func:`project` or :func:`rebase`.
    lengths : ndarray of int64, shape (N,)
        Squared lengths of the columns of V.
    scale : int
        s.
    trail : int
        At least 128.
    grid : (int, int)
        Patches down and across.
    factors : ndarray of int16, shape (K, N, size)
        Receives U, zero in the guards.
    ranks : ndarray of int32, shape (K, size)
        Receives the active ranks, zero in the guards.
    """
    den, index = lengths[:, None], np.arange(products.shape[1])[:, None]
    a = np.abs(products.astype(np.int64))
    q = np.minimum(((a << (scale + 1)) + den) // (2 * den), MAGNITUDE_LIMIT >> 1)
    q[a < den >> (scale + 1)] = 0
    strong = a >= (den * trail) >> (8 + scale)
    strong[:, 0] = False
    ranks[...] = (strong * index).max(axis=1)
    q[(index > ranks[:, None]) & (index > 0)] = 0
    factors[...] = np.sign(products) * q


def normalize(products: Array, local: Array, grid: Grid) -> None:
    """Express X V in the steps of the patches: all components but the first become 16 / M as large, rounded half up.

    Parameters
    ----------
    products : ndarray of int32, shape (K, N, size)
        X V by :func:`project`, changed in place; what is in the guards is lost.
    local : ndarray of int32, shape (K, rows, columns)
        M, the step of every patch relative to the plane's, in 1/16; 8 to 32.
    grid : (int, int)
        Patches down and across.
    """
    inside = _inside(products, grid)[:, 1:]
    inverse = ((32 << INVERSE_BITS) + local) // (2 * local)
    found = (inside.astype(np.int64) * inverse[:, None] + (1 << (INVERSE_BITS - 1))) >> INVERSE_BITS
    inside[...] = np.clip(found, -(2**31) + 1, 2**31 - 1)


def rebase(
    products: Array, factors: Array, right: Array, gram: Array, bits: int, scale: int, grid: Grid, out: Array
) -> None:
    """Turn X V0 of the DCT basis into X v_r - sum_{s != r} u_s (v_s . v_r) 2**-s of an updated V.

    Parameters
    ----------
    products : ndarray of int32, shape (K, N, size)
        X V0.
    factors : ndarray of int16, shape (K, R, size)
        U, zero in the guards; on the GPU with all N components.
    right, gram : ndarrays of int64, shapes (rows, columns) and (rows, rows)
        V in terms of V0, in 1/2**bits, and V^T V; see :func:`imfnb.factorization.rdoq.basis.basis_update_matrices`. The
        same for all planes. Columns of V that they do not have are those of V0.
    bits, scale : int
        Fractional bits of `right`, and s.
    grid : (int, int)
        Patches down and across.
    out : ndarray of int32, shape (K, N, size)
        Receives the products; guards as in :func:`project`.
    """
    rows, columns = right.shape
    count = min(rows, factors.shape[1])
    others = gram[:count] * (1 - np.eye(count, rows, dtype=np.int64))
    result = products[:, :rows].astype(np.int64)
    result[:, :columns] = (right.T @ result) >> bits
    result -= (others.T @ factors[:, :count].astype(np.int64)) >> scale
    out[...] = products
    out[:, :rows] = np.clip(result, -(2**31) + 1, 2**31 - 1)


def _first_residual(D: Array, y: int, x: int) -> tuple[int, int]:
    """Return (residual, context) of component 0 at a patch of the padded image."""
    w, n, nw = int(D[y, x - 1]), int(D[y - 1, x]), int(D[y - 1, x - 1])
    if y == 2:
        n = nw = w
    elif x == 2:
        w = nw = n
    ne = int(D[y - 1, x + 1]) if y > 2 and x < D.shape[1] - 3 else n
    activity = abs(w - nw) + abs(n - nw) + abs(ne - n)
    return int(D[y, x]) - sorted((w, n, w + n - nw))[1], min(activity.bit_length(), FIRST_CONTEXTS - 1)


def first_counts(factors: Array, grid: Grid, counts: Array) -> None:
    """Count the residual magnitudes of component 0 in each context.

    Parameters
    ----------
    factors : ndarray of int16, shape (K, N, size)
        U; the guards of the first component are zero.
    grid : (int, int)
        Patches down and across.
    counts : ndarray of COUNTS, shape (K, FIRST_CONTEXTS, FIRST_CLASSES)
        Receives the counts.
    """
    counts[...] = 0
    for component, table in zip(factors[:, 0], counts, strict=True):
        image = component.reshape(grid[0] + 3, grid[1] + 4)
        for y in range(2, grid[0] + 2):
            for x in range(2, grid[1] + 2):
                e, c = _first_residual(image, y, x)
                table[c, min(abs(e), FIRST_CLASSES - 1)] += 1


def choose_first(products: Array, length: int, scale: int, lam: int, table: Array, grid: Grid, factors: Array) -> None:
    """Choose component 0 among round and +-1 by the cost of its residual and of the three it predicts, in raster order.

    Parameters
    ----------
    products : ndarray of int32, shape (K, N, size)
        X V.
    length : int
        Squared length of the first column of V.
    scale, lam : int
        s and lambda.
    table : ndarray of int32, shape (K, FIRST_CONTEXTS, FIRST_CLASSES)
        Costs of residuals.
    grid : (int, int)
        Patches down and across.
    factors : ndarray of int16, shape (K, N, size)
        U, whose first component is changed; its guards are zero.
    """
    gh, gw = grid
    for k in range(len(factors)):
        image, projections = (a[k, 0].reshape(gh + 3, gw + 4) for a in (factors, products))
        for y in range(2, gh + 2):
            for x in range(2, gw + 2):
                centre = int(image[y, x])
                costs = []
                for u in (centre, centre + 1, centre - 1):
                    image[y, x] = u
                    bits = 0
                    for yy, xx in ((y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)):
                        if yy < gh + 2 and xx < gw + 2:
                            e, c = _first_residual(image, yy, xx)
                            bits += int(table[k, c, min(abs(e), FIRST_CLASSES - 1)])
                    costs.append(u * (u * int(length) - (int(projections[y, x]) << (scale + 1))) + ((lam * bits) >> 16))
                image[y, x] = centre + (0, 1, -1)[costs.index(min(costs))]


def extent(ranks: Array, components: int) -> int:
    """Number of components that the kernels should be given room for: as many as some patch uses.

    Parameters
    ----------
    ranks : ndarray of int32, shape (K, size)
        Active ranks.
    components : int
        Number of components of U: the answer where the ranks are not known without waiting.

    Returns
    -------
    int
        1 to `components`.
    """
    return int(ranks.max()) + 1


def _level(activity: Array) -> Array:
    return LEVEL[np.minimum(activity, 1023)]


def count_magnitudes(factors: Array, ranks: Array, table: Array, grid: Grid, contexts: Array, counts: Array) -> None:
    """Count the magnitudes of the components from 1 on in two contexts each, for :func:`choose`.

    One is made of what the patch itself has and has still to come. The other one, of the magnitudes to the west, north,
    north-west and north-east, and of the two parents of lower frequency here, to the east and to the south. `costs`
    has their numbers.

    Parameters
    ----------
    factors : ndarray of int16, shape (K, N, size)
        U; the guards of components from 1 on are zero.
    ranks : ndarray of int32, shape (K, size)
        Active ranks.
    table : ndarray of int32, shape (N, 5)
        `format.context_model.component_table`.
    grid : (int, int)
        Patches down and across.
    contexts : ndarray of uint16, shape (K, 2, R, size)
        Receives the contexts of the components from 1 to the active rank; R is at least the :func:`extent` of the
        ranks.
    counts : ndarray of COUNTS, shape (K, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Receives the counts.
    """
    stride = grid[1] + 4
    counts[...] = 0
    for k, rank in enumerate(ranks):
        magnitudes = np.abs(factors[k].astype(np.int64))
        own = np.zeros(rank.size, np.int64)
        for r in range(1, contexts.shape[2]):
            m = np.flatnonzero(rank >= r)
            a, rest = magnitudes[r], rank[m] - r
            near = 2 * (a[m - 1] + a[m - stride]) + a[m - stride - 1] + a[m - stride + 1]
            for parent in (magnitudes[table[r, i]] for i in (0, 1) if table[r, i]):
                near += 2 * parent[m] + parent[m + 1] + parent[m + stride]
            inside = np.minimum(_level(own[m]), 11) * 10 + np.minimum(_level(rest), 9)
            contexts[k, 0, r, m] = inside * 6 + table[r, 4]
            contexts[k, 1, r, m] = INSIDE_CONTEXTS + ((rest == 0) * GROUPS + table[r, 3]) * 16 + _level(near)
            for kind in contexts[k]:
                np.add.at(counts[k], (kind[r, m], np.minimum(a[m], MAGNITUDE_CLASSES - 1)), 1)
            own[m] += np.minimum(a[m], NEAR_LIMIT)


def magnitude_prices(counts: Array, prices: Array) -> None:
    """Turn frequencies into the cost of every magnitude with its sign in each context.

    It is -log2 of its share, with PRIOR observations of the frequencies of all contexts together. For a patch's last
    component, where zero is not coded, that costs nothing.

    Parameters
    ----------
    counts : ndarray of COUNTS, shape (K, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Frequencies by :func:`count_magnitudes`; at most 2**22 in all, the samples of a slice, in the contexts of either
        kind.
    prices : ndarray of uint16, shape (K, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Receives the costs.
    """
    total = counts[:, :INSIDE_CONTEXTS].sum(axis=1)[:, None]
    shares = counts * total.sum(axis=2, keepdims=True) + PRIOR * total + 1
    prices[...] = log2(shares.sum(axis=2, keepdims=True)) - log2(shares)
    prices[:, :, 1:] += 256
    prices[:, :INSIDE_CONTEXTS].reshape(-1, 12, 10, 6, MAGNITUDE_CLASSES)[:, :, 0, :, 0] = 0
    prices[:, INSIDE_CONTEXTS + GROUPS * 16 :, 0] = 0


def rank_classes(ranks: Array, grid: Grid, out: Array, counts: Array) -> None:
    """Classify patches by the bit length of the mean rank of their four neighbours, and count ranks in each class.

    Parameters
    ----------
    ranks : ndarray of int32, shape (K, size)
        Active ranks, zero in the guards.
    grid : (int, int)
        Patches down and across.
    out : ndarray of int32, shape (K, size)
        Receives the classes; zero in the guards, which no kernel of the GPU reads and its `rank_classes` leaves alone.
    counts : ndarray of COUNTS, shape (K, RANK_CLASSES, RANK_CLASSES)
        Receives the number of patches of each class and bit length of the rank.
    """
    image = ranks.reshape(-1, grid[0] + 3, grid[1] + 4)
    near = image[:, 2:-1, 1:-3] + image[:, 1:-2, 2:-2] + image[:, 2:-1, 3:-1] + image[:, 3:, 2:-2]
    out[...] = 0
    _inside(out, grid)[...] = np.vectorize(lambda n: int(n).bit_length(), otypes=[np.int32])((near + 2) >> 2)
    for some, classes, table in zip(ranks, out, counts, strict=True):
        table[...] = rank_counts(some, classes, grid)


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
    """Choose each u among |u|, one less and zero, and the active rank of every patch.

    A magnitude costs the mean of what it costs in its two contexts, a rank what its bit length does and one bit for
    each further bit.

    Parameters
    ----------
    products : ndarray of int32, shape (K, N, size)
        X V.
    lengths : ndarray of int64, shape (N,)
        Squared lengths of the columns of V.
    scale, lam : int
        s and lambda.
    contexts : ndarray of uint16, shape (K, 2, R, size)
        Contexts by :func:`count_magnitudes`.
    prices : ndarray of uint16, shape (K, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Cost of every magnitude in its context.
    classes : ndarray of int32, shape (K, size)
        Classes by :func:`rank_classes`.
    rank_table : ndarray of int32, shape (K, RANK_CLASSES, RANK_CLASSES)
        Cost of every bit length of a rank for each class of neighbours.
    grid : (int, int)
        Patches down and across.
    factors, ranks : ndarrays of int16, shape (K, R or more, size), and of int32, shape (K, size)
        U and the active ranks, changed in place.
    """
    rank_max = contexts.shape[2]
    index = np.arange(factors.shape[1])[:, None]
    for k, (num, u_of_plane, ends) in enumerate(zip(products, factors, ranks, strict=True)):
        table = rank_costs(rank_table[k], rank_max)
        best = (lam * table[classes[k], 0]) >> 16
        total, kept = np.zeros_like(best), np.zeros_like(ends)
        for r in range(1, rank_max):
            active = ends >= r
            a = np.abs(u_of_plane[r].astype(np.int64))
            v = np.abs(num[r].astype(np.int64)) << (scale + 1)
            top = np.minimum(a, MAGNITUDE_CLASSES - 1)
            candidates = [0 * top, np.maximum(top - 1, 0), top]
            # What beside the active patches stands for a context may be no number of one.
            one, two = (prices[k, np.where(active, kind[r], 0), candidates].astype(np.int64) for kind in contexts[k])
            price = (lam * (one + two)) >> 17
            cost, u = price[0].copy(), np.zeros_like(a)
            for candidate, extra, allowed in ((a, price[2], a > 0), (a - 1, price[1], a > 1)):
                j = candidate * (candidate * lengths[r] - v) + extra
                better = allowed & (j < cost)
                cost[better], u[better] = j[better], candidate[better]
            total[active] += cost[active]
            u_of_plane[r] = np.where(active, np.where(num[r] > 0, u, -u), u_of_plane[r])
            whole = total + ((lam * table[classes[k], r]) >> 16)
            better = active & (u > 0) & (whole < best)
            best[better], kept[better] = whole[better], r
        ends[:] = kept
        u_of_plane[(index > kept) & (index > 0) & (index < rank_max)] = 0


def product(factors: Array, ranks: Array, weights: Array, limit: int, scale: int, patch_size: int, out: Array) -> None:
    """Multiply the factors: 2**-s U V^T, rounded.

    Parameters
    ----------
    factors : ndarray of int16, shape (K, R, size)
        U with R <= N; components beyond a patch's active rank are not read.
    ranks : ndarray of int32, shape (K, size)
        Active ranks, which may be beyond R.
    weights : ndarray of int32
        :func:`weights` of V.
    limit, scale : int
        Largest magnitude of an entry of U, to which larger ones are clamped, and s.
    patch_size : {2, 4, 8, 16}
        Side of a patch; below 8 in pictures that are decoded at a smaller size.
    out : ndarray of int32, shape (K, H, W)
        Receives the planes, still pre-filtered; on the GPU they begin at a multiple of 16 bytes.
    """
    grid, p, count = _grid(out, patch_size), patch_size, factors.shape[1]
    index = np.arange(count)[:, None]
    u = np.where((index <= ranks[:, None]) | (index == 0), np.clip(factors, -limit, limit), 0)
    entries = np.moveaxis(_inside(u, grid), 1, 3).astype(np.int64)
    samples = (entries @ weights[:count].astype(np.int64) + (1 << (scale - 1))) >> scale
    out[...] = samples.reshape(len(out), *grid, p, p).transpose(0, 1, 3, 2, 4).reshape(out.shape)


def denormalize(factors: Array, local: Array, first: int, limit: int, scale: int, patch_size: int, out: Array) -> None:
    """Undo :func:`normalize` behind :func:`product`: differences from the mean of a patch become M / 16 as large.

    The mean is what component 0 stands for in the DCT basis, rounded as a sample is.

    Parameters
    ----------
    factors : ndarray of int16, shape (K, R, size)
        U.
    local : ndarray of int32, shape (K, rows, columns)
        M, the step of every patch relative to the plane's, in 1/16; 8 to 32.
    first : int
        Any entry of the first column of the DCT basis; all are equal.
    limit, scale : int
        As in :func:`product`.
    patch_size : {2, 4, 8, 16}
        Side of a patch.
    out : ndarray of int32, shape (K, H, W)
        Samples by :func:`product`, changed in place.
    """
    grid, p = _grid(out, patch_size), patch_size
    u = np.clip(_inside(factors[:, 0], grid).astype(np.int64), -limit, limit)
    means = ((u * first + (1 << (scale - 1))) >> scale).repeat(p, axis=1).repeat(p, axis=2)
    far = np.clip(out - means, -FAR_LIMIT, FAR_LIMIT)
    out[...] = means + ((far * local.repeat(p, axis=1).repeat(p, axis=2) + 8) >> 4)


def transform(planes: Array, patch_size: int) -> Array:
    """The DCT of all patches of planes, int64 (K, p, p, rows, columns); see `cpu.proxy` for its unit."""
    (gh, gw), p, cosines = _grid(planes, patch_size), patch_size, proxy_cosines(patch_size).astype(np.int64)
    samples = planes.reshape(len(planes), gh, p, gw, p).astype(np.int64)
    half = (np.einsum("ik,nykxj->nyixj", cosines, samples) + (1 << 11)) >> 12
    return np.einsum("lj,nyixj->nilyx", cosines, half)


def proxy(planes: Array, patch_size: int, step: int, out: Array) -> None:
    """Estimate the rate-distortion cost of planes without coding them, to compare patch sizes.

    Parameters
    ----------
    planes : ndarray of int32, shape (K, H, W)
        Pre-filtered planes of whole patches.
    patch_size : {8, 16}
        Side of a patch.
    step : int
        Step in 1/64 gray level.
    out : ndarray of int64, shape (K,)
        The costs, in units of the squared step over 4096, are added to it.
    """
    c, unit = transform(planes, patch_size), 2 * patch_size * step
    rest = PROXY_COSTS[np.minimum(np.abs(c) // unit, len(PROXY_COSTS) - 1)]
    rest[:, 0, 0] = 0
    change = np.abs(np.diff(c[:, 0, 0], axis=1, prepend=c[:, 0, 0, :1])) // unit
    out += rest.sum(axis=(1, 2, 3, 4)) + PROXY_FIRST[np.minimum(change, len(PROXY_FIRST) - 1)].sum(axis=(1, 2))
