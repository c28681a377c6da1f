"""Learn the networks and tables of the coder in parallel lanes from a folder of images.

    python benchmarks/train_rans.py collect FOLDER SAMPLES.npz
    python benchmarks/train_rans.py fit SAMPLES.npz [--out imfnb/format/rans.bin] [--hold-out OTHER.npz]

The first codes every image at some qualities and keeps what networks see of symbols, and these; the second (which takes
PyTorch) fits a network and tables to each kind of symbol by the bits that they take, rounds the networks to integers
and counts the tables anew with these. With ``--hold-out`` it prints what other images take.
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np
from planes import image_paths

import imfnb
from imfnb.codec import open_container
from imfnb.entropy import cpu as context
from imfnb.entropy.rans import reference
from imfnb.format.rans_model import (
    COARSE_STARTS,
    DIFFERENCES,
    FEW_INPUTS,
    FINE_STARTS,
    FREQUENCY_BITS,
    GROUPS,
    HIDDEN,
    INPUTS,
    LAYOUT,
    LEVELS,
    MAGNITUDES,
    NETS,
    PLACE_BITS,
    SHIFT_1,
    SHIFT_2,
    SYMBOLS,
    UNIT_MAX,
    Networks,
)
from imfnb.pictures import read_picture
from imfnb.profiles.slices import read_update
from imfnb.profiles.stacks import ALL_PARTS

QUALITIES = (12, 25, 38, 50, 62, 74, 86)
"""At which images are coded."""

SHARE = 0.2
"""Of the symbols of components from 1 on that are kept; of others four times as many."""


def _inputs_of(net: int) -> int:
    return FEW_INPUTS if net < GROUPS else INPUTS


class Collector(reference.Coder):
    """Keeps what goes through the coder.

    The tables of its model are numbers of contexts, so that the rows that come back say which context it was.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.seen: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(NETS)]
        self.contexts: list[tuple[np.ndarray, np.ndarray]] = []
        places = np.arange(SYMBOLS)[:, None].repeat(1 << PLACE_BITS, 1)
        first = 100 + np.arange((2 * DIFFERENCES + 1) * (MAGNITUDES + 1)).reshape(-1, MAGNITUDES + 1)
        signs = 1000 + np.arange(2 * (DIFFERENCES + 1)).reshape(2, -1)
        self.model = Networks(*[np.zeros(0)] * 5, places, first, signs)

    def said(self, model: Networks, net: int, inputs: np.ndarray, kinds: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        share = min(1.0, SHARE * (4 if net < GROUPS else 1))
        kept = self._random.random(len(symbols)) < share
        part = inputs[kept].astype(np.int16), symbols[kept].astype(np.int8), kinds[kept].astype(bool)
        self.seen[net].append(part)
        return symbols

    def code(self, rows: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        self.contexts.append((rows[:, -1], symbols))
        return symbols

    def raw(self, count: int, value: int) -> int:
        return value

    def within(self, symbols: np.ndarray, values: np.ndarray, starts: object, bits: object) -> np.ndarray:
        return values

    def bits(self, counts: np.ndarray, values: np.ndarray) -> np.ndarray:
        return values & ((1 << counts) - 1)


def factors_of(path: Path, quality: float) -> list[tuple[np.ndarray, np.ndarray, int, int, int]]:
    """U, the active ranks, patches down and across and their side, for every slice of an image."""
    container = open_container(imfnb.encode(read_picture(path, srgb=True).pixels, quality=quality, threads=1))
    found, number = [], 0
    for grid in container.parameters.grids(container.frame):
        for part in grid.slices:
            segment = container.segment(number)
            read_update(segment, part, ALL_PARTS)
            data, size = bytes(segment.take(segment.left)), grid.patch_size
            found.append((*context.decode_factors(data, *part.patches, size)[:2], *part.patches, size))
            number += 1
    return found


def collect(paths: list[Path], out: Path) -> None:
    """Write what networks see of all symbols of some images, and the contexts of the others."""
    collector = Collector(0)
    for path in paths:
        for quality in QUALITIES:
            for padded, ranks, down, across, size in factors_of(path, quality):
                spent = np.zeros(size * size + 1, np.int64)
                top = int(ranks.max()) + 1
                reference.run(collector, padded[:top], ranks, down, across, size, top, collector.model, spent)
    arrays = {}
    for net, parts in enumerate(collector.seen):
        for name, columns in zip("xyk", zip(*parts, strict=True), strict=True):
            arrays[f"{name}{net}"] = np.concatenate(columns)
    for name, columns in zip(("context", "symbol"), zip(*collector.contexts, strict=True), strict=True):
        arrays[name] = np.concatenate(columns).astype(np.int16)
    np.savez(out, **arrays)


def frequencies(counts: np.ndarray, least: int = 1) -> np.ndarray:
    """Integers in the shape of counts that add up to 2**FREQUENCY_BITS and are not zero where counts are not."""
    whole, some = 1 << FREQUENCY_BITS, counts > 0
    exact = counts / counts.sum() * (whole - least * some.sum())
    out = np.where(some, np.floor(exact).astype(np.int64) + least, 0)
    out[np.argmax(out)] += whole - out.sum()
    return out


def fit_network(x: np.ndarray, y: np.ndarray, kinds: np.ndarray, coarse: bool, epochs: float, seed: int) -> tuple:
    """Fit a network and tables; return both layers in their integer form and log-probabilities (2, LEVELS, SYMBOLS)."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    starts = torch.tensor(COARSE_STARTS if coarse else FINE_STARTS).float()
    widths = torch.cat([starts[1:] - starts[:-1], torch.tensor([100.0])])
    table = torch.zeros(2, LEVELS, SYMBOLS)
    for level, mean in enumerate(2 ** torch.linspace(-6, 7 if coarse else 5, LEVELS)):
        table[:, level] = torch.log(mean / (1 + mean)) * (starts + widths / 2 - 0.5) + torch.log(widths)
    table = nn.Parameter(table)
    first, second = nn.Linear(x.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    with torch.no_grad():
        second.bias.fill_(LEVELS / 2)
        second.weight.abs_().mul_(20)
    unit = UNIT_MAX / 64
    inputs, symbols = torch.tensor(x.astype(np.float32) / 64), torch.tensor(y.astype(np.int64))
    excluded = torch.tensor(kinds.astype(np.int64))
    batch, count = 4096, len(y)
    steps = max(1, int(epochs * count / batch))
    layers = [*first.parameters(), *second.parameters()]
    optimizer = torch.optim.Adam([{"params": [table], "lr": 0.02}, {"params": layers, "lr": 0.01}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.02, 0.01], total_steps=steps + 1)
    order = torch.randperm(count)
    for step in range(steps):
        place = step * batch % max(1, count - batch)
        if place < batch:
            order = torch.randperm(count)
        mine = order[place : place + batch]
        value = second(torch.clamp(torch.relu(first(inputs[mine])), max=unit))[:, 0]
        value = torch.clamp(value, 0, LEVELS - 1 - 1e-3)
        level = value.detach().floor().long()
        part = (value - level)[:, None]
        rows = table[excluded[mine], level] * (1 - part) + table[excluded[mine], level + 1] * part
        rows = torch.cat([rows[:, :1] - 1e4 * excluded[mine][:, None], rows[:, 1:]], 1)
        loss = functional.nll_loss(functional.log_softmax(rows, 1), symbols[mine])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([table, *layers], 1.0)
        optimizer.step()
        schedule.step()
    # A unit of 1 is 64 in integers, an input of 1 is 64: weights in 1 / 2**SHIFT_1, then levels in 1 / 2**SHIFT_2.
    one, two = float(1 << SHIFT_1), float(1 << SHIFT_2)
    weights_1 = np.round(first.weight.detach().numpy().T * one).clip(-32768, 32767).astype(np.int16)
    biases_1 = np.round(first.bias.detach().numpy() * 64 * one).astype(np.int32)
    weights_2 = np.round(second.weight.detach().numpy()[0] * two / 64).clip(-32768, 32767).astype(np.int16)
    bias_2 = np.int32(round((float(second.bias.detach()) + 0.5) * two))
    said = torch.cat([table[:1], torch.cat([table[1:, :, :1] - 1e4, table[1:, :, 1:]], 2)])
    return weights_1, biases_1, weights_2, bias_2, functional.log_softmax(said, 2).detach().numpy()


def fit(samples: Path, epochs: float, most: int) -> Networks:
    """All networks and tables."""
    data = np.load(samples)
    made = {name: np.zeros(shape, kind) for name, (kind, shape) in LAYOUT.items()}
    for net in range(NETS):
        x, y, kinds = (data[f"{name}{net}"] for name in "xyk")
        mine = np.random.default_rng(net).permutation(len(y))[:most]
        *layers, said = fit_network(x[mine], y[mine], kinds[mine], net < GROUPS, epochs, net)
        count = _inputs_of(net)
        made["weights_1"][net, :count], made["biases_1"][net] = layers[:2]
        made["weights_2"][net], made["biases_2"][net] = layers[2:]
        whole = reference.levels(Networks(**made), net, x.astype(np.int64))
        for kind in (0, 1):
            counts = np.zeros((LEVELS, SYMBOLS))
            np.add.at(counts, (whole[kinds == kind], y[kinds == kind]), 1)
            # What the fit said counts as much as 200 symbols, which is little beside what most levels have.
            counts += 200 * np.exp(said[kind]) + 1e-6
            counts[:, 0] *= 1 - kind
            made["frequencies"][net, kind] = [frequencies(row) for row in counts]
        print(f"network {net}: {_bits(made, net, x, y, kinds):.4f} bits a symbol of {len(y)}", flush=True)
    context, symbol = data["context"].astype(int), data["symbol"].astype(int)
    for number in range(SYMBOLS):
        found = np.bincount(symbol[context == number], minlength=1 << PLACE_BITS).astype(float)
        size = min(1 << PLACE_BITS, max(1, _range_size(number)))
        found[:size] += 1
        found[size:] = 0
        made["places"][number] = frequencies(found)
    for name, start in (("first_signs", 100), ("signs", 1000)):
        for place in range(made[name].size):
            bits = symbol[context == start + place]
            ones = (bits.sum() + 4) / (len(bits) + 8) * (1 << FREQUENCY_BITS)
            made[name].flat[place] = np.clip(round(ones), 64, (1 << FREQUENCY_BITS) - 64)
    return Networks(**made)


def _range_size(symbol: int) -> int:
    return COARSE_STARTS[symbol + 1] - COARSE_STARTS[symbol] if symbol < SYMBOLS - 1 else 1


def _bits(made: dict[str, np.ndarray], net: int, x: np.ndarray, y: np.ndarray, kinds: np.ndarray) -> float:
    """Mean bits of the symbols of a network, without those within ranges and of signs."""
    levels = reference.levels(Networks(**made), net, x.astype(np.int64))
    shares = made["frequencies"][net][kinds.astype(int), levels, y] / (1 << FREQUENCY_BITS)
    return float(-np.log2(shares).mean())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("collect")
    one.add_argument("folder", type=Path)
    one.add_argument("samples", type=Path)
    one.add_argument("--every", type=int, default=1, help="take every n-th image only")
    two = commands.add_parser("fit")
    two.add_argument("samples", type=Path)
    two.add_argument("--out", type=Path)
    two.add_argument("--hold-out", type=Path)
    two.add_argument("--epochs", type=float, default=8)
    two.add_argument("--most", type=int, default=1_500_000, help="samples of a network at most")
    arguments = parser.parse_args()
    if arguments.command == "collect":
        collect(image_paths(arguments.folder)[:: arguments.every], arguments.samples)
        return
    made = fit(arguments.samples, arguments.epochs, arguments.most)
    if arguments.hold_out:
        data = np.load(arguments.hold_out)
        for net in range(NETS):
            parts = (data[f"{name}{net}"] for name in "xyk")
            print(f"network {net}: {_bits(made._asdict(), net, *parts):.4f} bits a held-out symbol")
    if arguments.out:
        raw = b"".join(
            np.ascontiguousarray(getattr(made, name)).astype(kind).tobytes() for name, (kind, _) in LAYOUT.items()
        )
        arguments.out.write_bytes(zlib.compress(raw, 9))


if __name__ == "__main__":
    main()
