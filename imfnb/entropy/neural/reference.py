"""The coder of `cpu.py` written once more to be read: plain Python integers, one symbol after the other.

The oracle of the tests: every byte equals the kernel's. What a network sees of a number is `seen`; how the rest is
formed stands where it is used.

Ranges: what a network sees is within 255. A weight of the first layer is within 2**15, so that its sums of 36 products
stay within 2**29 and, with a bias below 2**21, within 32 bits; hidden numbers are within 2**12 and weights of the other
layers within 2**13, so that sums of 32 products stay within 2**30, and biases are below 2**25. A weight of a mixer is
within 2**18 and an input within 2**11: a product stays within 2**29, and the sum of eight of them, each shifted by 5,
within 2**27. Sums of magnitudes: a fading sum is at most 8 * 127 * 16 / 3 = 5418, others are clamped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...format.context_model import ESCAPE_BITS, FIRST_LIMIT, NODES, SECTION_TYPES, TYPES, UNARY
from ...format.neural_model import (
    AC,
    AC_SIGN,
    BAND,
    CONTEXTS,
    DC,
    DC_SIGN,
    DIAGONAL,
    DIRECTION,
    FIRST,
    GROUP,
    HIDDEN_1,
    HIDDEN_2,
    HIDDEN_LIMIT,
    INPUTS,
    LAST,
    LAST_RATE,
    LAST_START,
    LEFT,
    LOGARITHM,
    MAP_0_START,
    MAP_1_START,
    MAPS_0,
    MAPS_1,
    MIX_RATE,
    NEAR_LIMIT,
    NET_AC,
    NET_DC,
    NET_LEVELS,
    NET_RANK,
    NET_SIGN,
    NET_START,
    POSITION,
    POSITIONS,
    PRESENT,
    RANK,
    RELATIVES,
    RING,
    SAID,
    SECOND,
    SEEN,
    SET_0,
    SET_0_START,
    SET_1,
    SET_1_START,
    SHIFT_1,
    SHIFT_2,
    SHIFT_3,
    SLOTS,
    STATE_START,
    SUM_LIMIT,
    UP,
    relation_table,
)
from ...format.probability import (
    COUNT_LIMIT,
    MAP_SHIFT,
    MIX_SHIFT,
    RATE,
    SQUASH,
    STATE_BITS,
    STRETCH,
    STRETCH_LIMIT,
    WEIGHT_LIMIT,
)
from ..layout import DECODE, ENCODE
from ..model import COUNT_BITS
from ..reference import Bits, level, median_edge, sign3, signed_level, type_class
from .model import initial_model, unpaired

# Which rows of biases those of magnitudes and signs are.
MAGNITUDES, SIGNS = 2, 3

__all__ = ["decode_factors", "encode_factors"]


def seen(value: int) -> int:
    """What a network sees of a number: its logarithm, with its sign."""
    size = int(LOGARITHM[min(abs(value), len(LOGARITHM) - 1)])
    return size if value >= 0 else -size


def net_level(net: int) -> int:
    """Return the level 0 .. 15 of what a network says."""
    return min(max((net + 1024) >> 7, 0), NET_LEVELS - 1)


class Networks:
    """The networks of a model.

    Parameters
    ----------
    model : ndarray
        The model, an array of one record.
    """

    def __init__(self, model: np.ndarray) -> None:
        self.layers = [layer.astype(np.int64) for layer in unpaired(model)]
        widths = HIDDEN_1, HIDDEN_2, SAID
        self.biases = [model[f"bias_{k + 1}"][0].reshape(-1, width).astype(np.int64) for k, width in enumerate(widths)]

    def ask(self, number: int, row: int, inputs: Sequence[int]) -> list[int]:
        """What network `number` says with the biases of row `row`: SAID numbers in the stretch domain."""
        one, two, three = (layer[number] for layer in self.layers)
        shown = np.array([*inputs, *[0] * (SEEN - len(inputs))])
        hidden = np.clip((shown @ one + self.biases[0][row]) >> SHIFT_1, 0, HIDDEN_LIMIT)
        hidden = np.clip((hidden @ two + self.biases[1][number]) >> SHIFT_2, 0, HIDDEN_LIMIT)
        said = np.clip((hidden @ three + self.biases[2][row]) >> SHIFT_3, -STRETCH_LIMIT, STRETCH_LIMIT)
        return [int(value) for value in said]


class Section:
    """One section of the model: the states, weights and maps of one kind of symbol.

    Parameters
    ----------
    bits : Bits
        What reads or writes its bins.
    number : int
        Which section.
    model : ndarray
        The model, an array of one record.
    """

    def __init__(self, bits: Bits, number: int, model: np.ndarray) -> None:
        self.bits = bits

        def rows(name: str, start: int, count: int, width: int) -> np.ndarray:
            return model[name][0].reshape(-1, width)[start : start + count]

        shape = (CONTEXTS, SLOTS[number], SECTION_TYPES[number])
        first = STATE_START[number]
        states = model["states"][0, first : first + int(np.prod(shape))].reshape(shape)
        self.home = (
            rows("weights", SET_0_START[number], SET_0[number], INPUTS),
            rows("weights", SET_1_START[number], SET_1[number], INPUTS),
            rows("last", LAST_START[number], LAST[number], 2),
            rows("maps", MAP_0_START[number], MAPS_0[number], NODES),
            rows("maps", MAP_1_START[number], MAPS_1[number], NODES),
        )
        self.states = states
        self.probability = (states >> COUNT_BITS).astype(object)
        self.count = states & ((1 << COUNT_BITS) - 1)
        *self.weights, self.last, map_0, map_1 = (part.astype(object) for part in self.home)
        self.maps = map_0, map_1
        self.slots = [0] * CONTEXTS

    def store(self) -> None:
        """Write what has been learned back to the model."""
        self.states[:] = self.probability * (1 << COUNT_BITS) + self.count
        for home, part in zip(self.home, (*self.weights, self.last, *self.maps), strict=True):
            home[:] = part

    def bin(self, bit: int, t: int, net: int, rows: tuple[int, int, int, int, int]) -> int:
        """Code one bin of type t, of which a network says `net`, and adapt; return the bit.

        `rows`: of the weights of the two mixers, of the mixer of the two, and of the two maps.
        """
        *pair, last, map_0, map_1 = rows
        inputs = [int(STRETCH[self.probability[k, self.slots[k], t] >> 10]) for k in range(CONTEXTS)] + [net]
        mixers = [weights[row] for weights, row in zip(self.weights, pair, strict=True)]
        said = []
        for weights in mixers:
            total = sum((w * x) >> 5 for w, x in zip(weights, inputs, strict=True))
            said.append(min(max(total >> 10, -STRETCH_LIMIT), STRETCH_LIMIT))
        shares = self.last[last]
        z = (said[0] * shares[0] + said[1] * shares[1]) >> 16
        z = min(max(z, -STRETCH_LIMIT), STRETCH_LIMIT) + 2048
        mixed = int(SQUASH[z])
        node, part = z >> 7, z & 127
        maps = self.maps[0][map_0], self.maps[1][map_1]
        refined = (sum(m[node] for m in maps) * (128 - part) + sum(m[node + 1] for m in maps) * part) >> 7
        bit = self.bits.code(bit, min(max((2 * mixed + refined + 2) >> 2, 32), 65504))

        for k, s in enumerate(self.slots):
            p, target = self.probability[k, s, t], bit * ((1 << STATE_BITS) - 1)
            self.probability[k, s, t] = p + (((target - p) * int(RATE[self.count[k, s, t]])) >> 16)
            self.count[k, s, t] = min(self.count[k, s, t] + 1, COUNT_LIMIT)
        half = 1 << (MIX_SHIFT - 1)

        def moved(weight: int, value: int, error: int) -> int:
            return min(max(weight + ((value * error + half) >> MIX_SHIFT), -WEIGHT_LIMIT), WEIGHT_LIMIT)

        for weights, z in zip(mixers, said, strict=True):
            error = (((bit << 16) - int(SQUASH[z + 2048])) * MIX_RATE) >> 4
            weights[:] = [moved(w, x, error) for w, x in zip(weights, inputs, strict=True)]
        error = (((bit << 16) - mixed) * LAST_RATE) >> 4
        shares[:] = [moved(w, z, error) for w, z in zip(shares, said, strict=True)]
        for m in maps:
            n = node + (part >> 6)
            m[n] += ((bit << 16) - bit - m[n]) >> MAP_SHIFT
        return bit

    def escape(self, rest: int, net: int, rows: tuple[int, int, int, int, int]) -> int:
        """Code rest >= 0 as the exponent and mantissa of rest + 1; rows are those of class 0 and of type 0."""
        value, e = rest + 1, 0

        def classed(bit: int, t: int, net: int) -> int:
            c = type_class(t)
            a, b, last, map_0, map_1 = rows
            return self.bin(bit, t, net, (a + c, b + c, last + 7, map_0 + c, map_1 + c))

        while e < ESCAPE_BITS and classed(1 if value >> (e + 1) > 0 else 0, UNARY + 1 + min(e, 3), net):
            e += 1
        out = 1
        for k in range(e - 1, -1, -1):
            bit = (value >> k) & 1
            out = 2 * out + (classed(bit, TYPES - 1, 0) if k == e - 1 else self.bits.code(bit, 32768))
        return out - 1


class Coder:
    """All sections and networks at work on one plane.

    Parameters
    ----------
    bits : Bits
        What reads or writes.
    patch_size : int
        Side of a patch.
    model : ndarray
        The model, an array of one record.
    companion : ndarray of object, shape (R, height, width)
        The companion with guards; no components if there is none.
    companion_ranks : ndarray of object, shape (height, width)
        Its ranks.
    """

    def __init__(
        self, bits: Bits, patch_size: int, model: np.ndarray, companion: np.ndarray, companion_ranks: np.ndarray
    ) -> None:
        self.bits, self.decodes = bits, bits.mode == DECODE
        self.long = int(patch_size > 8)
        self.table = relation_table(patch_size)
        self.networks = Networks(model)
        self.sections = [Section(bits, number, model) for number in range(len(SLOTS))]
        self.companion, self.companion_ranks = companion, companion_ranks
        self.companion_first: np.ndarray | None = None
        if len(companion):
            first = companion[0].copy()
            for y in range(2, len(first) - 1):
                if y > 2:
                    first[y, :2] = first[y - 1, 2]
                continue_row(first, y)
            continue_ends(first)
            self.companion_first = first

    # ---- component 0 -------------------------------------------------------------------------------------------------

    def code_first(self, D: np.ndarray) -> None:
        """Code component 0, an int object array of indices with guards (2 above, 1 below, 2 on each side)."""
        E = np.zeros_like(D)
        height, width = D.shape
        for y in range(2, height - 1):
            if y > 2:
                D[y, :2] = D[y - 1, 2]
            for x in range(2, width - 2):
                self._code_residual(D, E, y, x)
            continue_row(D, y)
        continue_ends(D)

    def _code_residual(self, D: np.ndarray, E: np.ndarray, y: int, x: int) -> None:
        if y > 2:
            w, n, nw, ne, ww = D[y, x - 1], D[y - 1, x], D[y - 1, x - 1], D[y - 1, x + 1], D[y, x - 2]
            nn, nne = (D[y - 2, x], D[y - 2, x + 1]) if y > 3 else (n, ne)
            nee = D[y - 1, x + 2] if x + 4 < D.shape[1] else ne
        else:
            w = D[y, x - 1] if x > 2 else 0
            ww = D[y, x - 2] if x > 3 else w
            n = nw = ne = nn = nne = nee = w
        ew, en, ene, enw = E[y, x - 1], E[y - 1, x], E[y - 1, x + 1], E[y - 1, x - 1]
        guess = median_edge(w, n, nw)
        blend = 3 * (w + n) + ne - nw + ((w - ww) + (n - nn)) // 2 - 6 * guess
        signed = [w - guess, n - guess, nw - guess, ne - guess, ww - guess, nn - guess]
        signed += [blend, ew, en, ene, enw, nee - guess]
        dw, dn, dne = abs(w - nw), abs(n - nw), abs(ne - n)
        errors = abs(ew) + abs(en)
        around = errors + abs(ene) + abs(enw)
        sizes = [E[y, x - 2], E[y - 2, x], around, w - ww, n - nn, ne - nne, dw + dn + dne, dne]
        inputs = [seen(v) for v in signed] + [seen(abs(v)) for v in (*signed, *sizes)]
        if self.companion_first is not None:
            B = self.companion_first
            c = B[y, x]
            missed = seen(c - median_edge(B[y, x - 1], B[y - 1, x], B[y - 1, x - 1]))
            inputs += [missed, abs(missed), seen(abs(B[y, x + 1] - c) + abs(B[y + 1, x] - c)), PRESENT]
        said = self.networks.ask(NET_DC, NET_START[NET_DC] + self.long, inputs)

        far = abs(w - ww) + abs(n - nn)
        activity = level(dw + dn + dne + far + errors)
        size, sign = self.sections[DC], self.sections[DC_SIGN]
        size.slots = [
            level(around),
            level(dw) * 16 + level(dn),
            level(dne) * 16 + level(abs(en)),
            level(abs(blend)) * 16 + activity,
            level(abs(ew)) * 16 + level(abs(en)),
            level(far) * 16 + level(dw + dn),
            net_level(said[0]) * 16 + activity,
        ]
        e = D[y, x] - guess
        a = 0

        def rows(t: int, net: int) -> tuple[int, int, int, int, int]:
            c = type_class(t)
            return c, 8 * activity + c, min(t, 7), 8 * activity + c, 8 * net_level(net) + c

        if size.bin(1 if e else 0, 0, said[0], rows(0, said[0])):
            b = signed_level(blend)
            sign.slots = [
                b * 11 + signed_level(ew + en),
                signed_level(ew) * 11 + signed_level(en),
                signed_level(w - nw) * 11 + signed_level(n - nw),
                signed_level(ne - n) * 11 + b,
                signed_level(w - ww) * 11 + signed_level(n - nn),
                signed_level(ene) * 11 + signed_level(enw),
                signed_level(ne - n) * 11 + signed_level(w - guess),
            ]
            negative = sign.bin(1 if e < 0 else 0, 0, said[1], (0, b, 0, b, net_level(said[1])))
            of_sign = said[9:16] if negative else said[2:9]
            a = 1
            while a <= UNARY:
                net = of_sign[min(a, 7) - 1]
                if not size.bin(1 if abs(e) > a else 0, a, net, rows(a, net)):
                    break
                a += 1
            if a > UNARY:
                net = of_sign[6]
                a += size.escape(abs(e) - a, net, rows(0, net))
            e = -a if negative else a
        else:
            e = 0
        E[y, x] = e
        if self.decodes:
            D[y, x] = min(max(guess + e, -FIRST_LIMIT), FIRST_LIMIT)

    # ---- ranks -------------------------------------------------------------------------------------------------------

    def code_ranks(self, D: np.ndarray, K: np.ndarray, rank_max: int) -> None:
        """Code the active ranks K (guards as in D): bit length in unary, then the mantissa."""
        height, width = D.shape
        for y in range(2, height - 1):
            for x in range(2, width - 2):
                self._code_rank(D, K, y, x, rank_max)

    def _code_rank(self, D: np.ndarray, K: np.ndarray, y: int, x: int, rank_max: int) -> None:
        w, n, nw, ne, ww, nn = K[y, x - 1], K[y - 1, x], K[y - 1, x - 1], K[y - 1, x + 1], K[y, x - 2], K[y - 2, x]
        c, dw, de, dn, ds = D[y, x], D[y, x - 1], D[y, x + 1], D[y - 1, x], D[y + 1, x]
        dnw, dne, dsw, dse = D[y - 1, x - 1], D[y - 1, x + 1], D[y + 1, x - 1], D[y + 1, x + 1]
        total = 3 * (w + n) + ne + nw
        across, down, bend = abs(de - dw), abs(ds - dn), abs(de + dw + ds + dn - 4 * c)
        sizes = [w, n, nw, ne, ww, nn, K[y - 1, x + 2], K[y - 2, x - 1], K[y - 2, x + 1], K[y - 1, x - 2], total >> 1]
        sizes += [across, down, 2 * c - de - dw, 2 * c - ds - dn]
        sizes += [c - other for other in (de, dw, ds, dn, dse, dsw, dne, dnw)]
        sizes += [bend, de - D[y, x + 2], dse - ds, ds - dsw, dw - D[y, x - 2]]
        sizes += [ds - D[y + 2, x] if y + 3 < len(D) else 0, dn - D[y - 2, x] if y > 3 else 0]
        sizes += [dse + dnw - 2 * c, dsw + dne - 2 * c]
        said = self.networks.ask(NET_RANK, NET_START[NET_RANK] + self.long, [seen(abs(v)) for v in sizes])
        mean = (total + 4) >> 3
        q, slope = level(mean), level(across + down)
        section = self.sections[RANK]
        section.slots = [
            level(w) * 16 + level(n),
            q * 16 + slope,
            level(ne) * 16 + level(nw),
            level(across) * 16 + level(down),
            level(bend) * 16 + slope,
            level(w) * 16 + level(ww),
            min(mean, 255),
        ]

        def code(bit: int, t: int, net: int, row: int) -> int:
            return section.bin(bit, t, net, (t, row, t, row, t * NET_LEVELS + net_level(net)))

        k, size = K[y, x], 0
        length = int(k).bit_length()
        while size < int(rank_max - 1).bit_length():
            g = min(size, 7)
            if not code(1 if length > size else 0, size, said[g], 16 * g + q):
                break
            size += 1
        value = min(size, 1)
        for j in range(size - 2, -1, -1):
            bit = (k >> j) & 1
            if j == size - 2:
                bit = code(bit, 7 + size, said[min(6 + size, 14)], 112 + q)
            elif j == size - 3:
                bit = code(bit, 10 + 2 * size + (value & 1), said[15], 112 + q)
            else:
                bit = self.bits.code(bit, 32768)
            value = 2 * value + bit
        if self.decodes:
            K[y, x] = min(value, rank_max - 1)

    # ---- components from 1 on ----------------------------------------------------------------------------------------

    def code_components(self, U: np.ndarray, D: np.ndarray, K: np.ndarray, spent: np.ndarray) -> None:
        """Code components 1, 2, ... of U, an int object array (R, height, width) with guards."""
        A = np.zeros_like(U)
        S, Q = np.zeros_like(K), np.zeros_like(K)
        F = np.zeros((3, *K.shape), object)
        means = [0] * len(U)
        for r in range(1, len(U)):
            active = np.argwhere(K >= r)
            if self.bits.overrun or not len(active):
                break
            relations = [int(v) for v in self.table[r]]
            mean = (means[relations[FIRST]] + means[relations[SECOND]]) >> 1
            run, total = mean << 6, 0
            fading = F[relations[DIRECTION]]
            for y, x in active:
                inputs = self._inputs(r, relations, mean, run, D, A, K, (S, Q, fading), y, x)
                size = self._code_magnitude(r, relations, inputs, U[r], A, K, S, y, x)
                if size:
                    negative = self._code_sign(r, relations, U, D, y, x, size)
                    if self.decodes:
                        U[r, y, x] = -size if negative else size
                near = min(size, NEAR_LIMIT)
                A[r, y, x] = near
                S[y, x] = min(S[y, x] + near, SUM_LIMIT)
                Q[y, x] = ((Q[y, x] * 13) >> 4) + 8 * near
                fading[y, x] = ((fading[y, x] * 3) >> 2) + 8 * near
                total += near
                run += ((near << 10) - run) >> 6
            means[r] = 16 * total // len(active)
            spent[r + 1] = self.bits.position

    def _inputs(
        self,
        r: int,
        relations: list[int],
        mean: int,
        run: int,
        D: np.ndarray,
        A: np.ndarray,
        K: np.ndarray,
        sums: tuple[np.ndarray, np.ndarray, np.ndarray],
        y: int,
        x: int,
    ) -> list[int]:
        """What the network sees of an entry: magnitudes, sums of them, ranks and slopes around it."""
        C, P1, P2 = A[r], A[relations[FIRST]], A[relations[SECOND]]
        S, Q, F = sums
        c, dw, de, dn, ds = D[y, x], D[y, x - 1], D[y, x + 1], D[y - 1, x], D[y + 1, x]

        def reach(dy: int, dx: int) -> int:
            return max(K[y + dy, x + dx] - r + 1, 0)

        sizes = [C[y, x - 1], C[y - 1, x], C[y - 1, x - 1], C[y - 1, x + 1], P1[y, x], P2[y, x]]
        sizes += [A[relations[k], y, x] for k in (DIAGONAL, UP, LEFT)] + [A[r - 1, y, x]]
        sizes += [P1[y - 1, x], P1[y + 1, x], P2[y, x - 1], P2[y, x + 1], P2[y + 1, x]]
        sizes += [S[y, x], Q[y, x] >> 3, S[y, x - 1] + S[y - 1, x], S[y, x + 1] + S[y + 1, x], Q[y - 1, x] >> 3]
        sizes += [K[y, x] - r, reach(0, 1), reach(1, 0)]
        sizes += [de - dw, ds - dn, 2 * c - de - dw, 2 * c - ds - dn]
        sizes += [F[y, x] >> 3, (F[y, x - 1] + F[y, x + 1]) >> 3, mean, run >> 6]
        sizes += [reach(-1, -1) + reach(-1, 1) + reach(1, -1) + reach(1, 1)]
        inputs = [seen(abs(v)) for v in sizes]
        if len(self.companion):
            B = self.companion[r] if r < len(self.companion) else np.zeros_like(K)
            reaches = max(self.companion_ranks[y, x] - r + 1, 0)
            inputs += [seen(abs(B[y, x])), seen(reaches), seen(abs(B[y, x + 1]) + abs(B[y + 1, x])), PRESENT]
        return inputs

    def _code_magnitude(
        self,
        r: int,
        relations: list[int],
        inputs: list[int],
        C: np.ndarray,
        A: np.ndarray,
        K: np.ndarray,
        S: np.ndarray,
        y: int,
        x: int,
    ) -> int:
        """Code the magnitude of an entry; return it."""
        position, ring, left = relations[POSITION], relations[RING], K[y, x] - r
        row = NET_START[MAGNITUDES] + 64 * self.long + r
        said = self.networks.ask(NET_AC + relations[BAND], row, inputs)
        own = A[r]
        w, n, nw, ne = own[y, x - 1], own[y - 1, x], own[y - 1, x - 1], own[y - 1, x + 1]
        around = 2 * (w + n) + nw + ne
        a0, a1 = (A[relations[k], y, x] for k in (FIRST, SECOND))
        lk, says = min(level(left), 9), net_level(said[0])
        before = (min(w, 3) * 4 + min(n, 3)) * 4 + min(nw, 1) * 2 + min(ne, 1)
        near = min(level(around), 6)
        section = self.sections[AC]
        section.slots = [
            position * 16 + says,
            before * 3 + relations[DIRECTION],
            (min(level(S[y, x]), 11) * 10 + lk) * 6 + ring,
            position * 10 + lk,
            ((min(a0, 3) * 4 + min(a1, 3)) * 7 + near) * 6 + ring,
            (says * 8 + min(lk, 7)) * 6 + ring,
            says * 16 + net_level(said[1]),
        ]
        activity = level(around + S[y, x] + 2 * (a0 + a1))
        place = (
            8 * relations[GROUP],
            8 * min(lk, 7),
            POSITIONS,
            8 * (2 * activity + (1 if left > 2 else 0)),
            8 * position,
        )

        def rows(t: int, net: int) -> tuple[int, int, int, int, int]:
            c = type_class(t)
            a, b, _, map_0, map_1 = place
            return a + c, b + 64 * net_level(net) + c, POSITIONS + min(t, 7) if t else position, map_0 + c, map_1 + c

        k = abs(C[y, x])
        t = 0 if left else 1
        while t <= UNARY:
            net = said[min(t, 7)]
            if not section.bin(1 if k > t else 0, t, net, rows(t, net)):
                break
            t += 1
        if t > UNARY:
            a, b, last, map_0, map_1 = place
            t += section.escape(k - t, said[7], (a, b + 64 * net_level(said[7]), last, map_0, map_1))
        return t

    def _code_sign(self, r: int, relations: list[int], U: np.ndarray, D: np.ndarray, y: int, x: int, size: int) -> int:
        """Code the sign of an entry of some magnitude; return 1 if it is negative."""
        C, position = U[r], relations[POSITION]
        c = D[y, x]
        beside = ((0, 1), (0, -1), (1, 0), (-1, 0))
        others = relations[RELATIVES:]
        numbers = [D[y + dy, x + dx] - c for dy, dx in (*beside, (1, 1), (1, -1), (-1, 1), (-1, -1))]
        numbers += [U[other, y, x] if other else 0 for other in others]
        for parent in (relations[FIRST], relations[SECOND]):
            numbers += [U[parent, y + dy, x + dx] if parent else 0 for dy, dx in beside]
        numbers += [C[y, x - 1], C[y - 1, x], C[y - 1, x - 1], C[y - 1, x + 1], size]
        inputs = [seen(v) for v in numbers]
        B, G = self.companion, self.companion_first
        if r < len(B) and G is not None:
            value = B[r, y, x]
            both = sum((D[y + dy, x + dx] - c) * (G[y + dy, x + dx] - G[y, x]) for dy, dx in beside)
            both += sum(U[other, y, x] * B[other, y, x] for other in others if other and other < len(B))
            inputs += [
                seen(value),
                seen(value * sign(both)),
                seen(both * sign(value)),
                PRESENT,
            ]
        net = self.networks.ask(NET_SIGN + position, NET_START[SIGNS] + position, inputs)[0]
        across, down = D[y, x + 1] - D[y, x - 1], D[y + 1, x] - D[y - 1, x]
        says, big = net_level(net), min(size, 4) - 1
        section = self.sections[AC_SIGN]
        section.slots = [
            position * 16 + says,
            position * 16 + signed_level(across),
            position * 16 + signed_level(down),
            position * 16 + sign3(C[y, x - 1]) * 3 + sign3(C[y - 1, x]),
            position * 16 + signed_level(2 * c - D[y, x - 1] - D[y, x + 1]),
            position * 16 + signed_level(2 * c - D[y - 1, x] - D[y + 1, x]),
            big * 16 + says,
        ]
        return section.bin(1 if C[y, x] < 0 else 0, 0, net, (position, says, position, big, position))


def sign(value: int) -> int:
    """Return -1, 0 or 1."""
    return (value > 0) - (value < 0)


def continue_row(D: np.ndarray, y: int) -> None:
    """Continue a row of component 0 to both sides once it is known."""
    width = D.shape[1]
    D[y, width - 2 :] = D[y, width - 3]
    if y == 2:
        D[y, :2] = D[y, 2]


def continue_ends(D: np.ndarray) -> None:
    """Continue component 0 above and below."""
    D[-1] = D[-2]
    D[1] = D[2]


def _run(
    bits: Bits,
    padded: np.ndarray,
    ranks: np.ndarray,
    grid: tuple[int, int],
    patch_size: int,
    rank_max: int,
    companion: tuple[np.ndarray, np.ndarray] | None,
    model: np.ndarray,
    spent: np.ndarray | None,
) -> None:
    shape = (grid[0] + 3, grid[1] + 4)

    def images(padded: np.ndarray) -> np.ndarray:
        return padded.reshape(-1, *shape).astype(object)

    U, K = images(padded), images(ranks)[0]
    none = np.zeros((0, ranks.size), np.int16), np.zeros(ranks.size, np.int32)
    beside, beside_ranks = none if companion is None else companion
    beside = beside[: int(beside_ranks.max()) + 1]
    spent = np.zeros(patch_size * patch_size + 1, np.int64) if spent is None else spent
    coder = Coder(bits, patch_size, model, images(beside), images(beside_ranks)[0])
    D = U[0].copy()
    coder.code_first(D)
    if coder.decodes:
        U[0] = D
    spent[0] = bits.position
    if len(U) > 1 and rank_max > 1:  # nothing depends on the ranks of a single component
        coder.code_ranks(D, K, rank_max)
    spent[1] = bits.position
    coder.code_components(U, D, K, spent)
    for section in coder.sections:
        section.store()
    padded[:] = U.reshape(padded.shape)
    ranks[:] = K.ravel()


def encode_factors(
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
    model: np.ndarray | None = None,
) -> bytes:
    """Code U losslessly.

    Parameters
    ----------
    padded : ndarray of int16, shape (R, size)
        `layout.pad_factors` of U, with the limits of :func:`imfnb.entropy.reference.encode_factors`.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch, the index of its last nonzero component; zero in the guards.
    grid_h, grid_w : int
        Patches down and across.
    patch_size : {8, 16}
        Side of a patch; R <= patch_size**2.
    companion : (ndarray of int16, ndarray of int32), optional
        Padded U and ranks of another plane with the same grid, which the decoder knows: Cb for Cr.
    model : ndarray of NEURAL_MODEL, shape (1,), optional
        Initial state of the model, which what is coded changes; by default a copy of the learned one. (For training,
        which carries a model from plane to plane.)

    Returns
    -------
    bytes
        One segment.
    """
    bits = Bits(ENCODE)
    rank_max = int(ranks.max()) + 1
    model = initial_model() if model is None else model
    _run(bits, padded, ranks, (grid_h, grid_w), patch_size, rank_max, companion, model, None)
    return bytes([rank_max - 1]) + bits.finish()


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
    model: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Decode U: the inverse of :func:`encode_factors`.

    The work is bounded by the grid and the rank for any bytes, and no byte can lead to an access outside of an array.

    Parameters
    ----------
    data : bytes
        One segment.
    grid_h, grid_w, patch_size : int
        As in :func:`encode_factors`.
    max_rank : int, optional
        Stop after this number of components.
    spent : ndarray of int64, shape (patch_size**2 + 1,), optional
        As in :func:`imfnb.entropy.reference.decode_factors`.
    companion : (ndarray of int16, ndarray of int32), optional
        As in :func:`encode_factors`, as this function returned it for the same `max_rank`.
    model : ndarray of NEURAL_MODEL, shape (1,), optional
        As in :func:`encode_factors`.

    Returns
    -------
    padded : ndarray of int16, shape (R, size)
        Padded component images.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch; 0 where the first component is all that is read.
    overrun : bool
        Whether the bytes ended before the factors did.
    """
    rank_max = min(data[0] + 1, patch_size * patch_size) if data else 1
    stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    size = (grid_h + 3) * (grid_w + 4)
    padded, ranks = np.zeros((stop, size), np.int16), np.zeros(size, np.int32)
    bits = Bits(DECODE, data[1:])
    model = initial_model() if model is None else model
    _run(bits, padded, ranks, (grid_h, grid_w), patch_size, rank_max, companion, model, spent)
    return padded, ranks, bits.overrun or not data
