"""Learn the restoration network from planes that ``network_planes.py`` has made; takes PyTorch.

    python benchmarks/train_network.py PLANES KIND OUT.npz [--minutes 6] [--start OTHER.npz] [--hold-out 10]
    python benchmarks/train_network.py --pack luma.npz chroma.npz half.npz imfnb/format/network.bin

KIND is luma, chroma or half; ranges of the step, numbers and sizes are those of `imfnb.format.network`. The guide of
chroma is luma restored by the network of luma in the package, so luma comes first. Each range of steps has a network of
its own, which is trained for so many minutes on one thread: first one in the middle, then the others outwards, each
beginning with its neighbour. The gains on every tenth image, which nothing is learned from, are measured with the
integers as they are written.

Weights are real numbers that the forward pass rounds to what can be written, as it rounds activations at the end; the
gradient passes through both as if nothing was rounded. The loss is the logarithm of the squared error of a crop
relative to that of its plane, so that all rates and pictures count by their decibels.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imfnb.format import network as numbers
from imfnb.network import cpu
from imfnb.network.reference import reciprocal

KINDS = ("luma", "chroma", "half")

ONE = 1 << numbers.SHIFTS[1]
"""A weight of 1 as an integer, and an activation of 1."""
INPUT = 1 << numbers.INPUT_BITS
"""A sample of one step as an integer."""
UNITS = (ONE * INPUT, ONE * ONE)
"""A sum of 1 as an integer, in the first layer and the others."""
TOP = numbers.ACTIVATION_MAX / ONE
FINE = (1 << numbers.SHIFTS[2] + numbers.CORRECTION_BITS) / UNITS[1]
"""What a sum of the last layer is in one step."""
WEIGHT_LIMIT = 127

CROP = 128
"""Side of the crops that are learned from, in samples, of which the network's reach around the border is not judged."""
SOFT = 1.0
"""Share of a plane's error that is added to that of a crop before the logarithm: flat crops count less."""
LEAST_ERROR = 1.0
"""Least mean squared error of a plane that is learned from, in (1/16 gray level)^2."""
MARGIN = 1.1
"""Steps within this factor of a range are learned from, too."""

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights and biases of a network, as they are written."""


# ------------------------------------------------------------------------------------------------------------- planes


@dataclass
class Planes:
    """Original and decoded planes of a kind.

    Attributes
    ----------
    original : ndarray of int16, shape (N, P, H, W)
    decoded : ndarray of int16, shape (N, K, P, H, W)
    guide : ndarray of int16, shape (N, K, H, W), or None
    steps : ndarray of int32, shape (N, K)
    errors : ndarray of float64, shape (N, K)
        Mean squared errors of the decoded planes.
    """

    original: np.ndarray
    decoded: np.ndarray
    guide: np.ndarray | None
    steps: np.ndarray
    errors: np.ndarray

    @classmethod
    def read(cls, folder: Path, kind: str) -> Planes:
        """What `network_planes.py` has made."""
        original, decoded = np.load(folder / f"{kind}.npy"), np.load(folder / f"{kind}_decoded.npy")
        steps = np.load(folder / "steps.npy")
        errors = [
            [np.square(planes.astype(np.float32) - before).mean() for before in trials]
            for planes, trials in zip(original, decoded, strict=True)
        ]
        guide = None if kind == "luma" else guides(folder, steps[:, :, 0], kind == "half")
        return cls(original, decoded, guide, steps[:, :, KINDS.index(kind)], np.array(errors))

    def inputs(self, n: int, k: int, rows: slice = slice(None), columns: slice = slice(None)) -> np.ndarray:
        """Decoded planes, and the guide if there is one."""
        planes = self.decoded[n, k, :, rows, columns]
        return planes if self.guide is None else np.concatenate([planes, self.guide[n, k, None, rows, columns]])


def guides(folder: Path, steps: np.ndarray, half: bool) -> np.ndarray:
    """Restored luma of all images and steps, at the resolution of chroma."""
    decoded = np.load(folder / "luma_decoded.npy", mmap_mode="r")[:, :, 0]
    shape = [(size + 1) // 2 for size in decoded.shape[2:]] if half else decoded.shape[2:]
    out = np.empty((*decoded.shape[:2], *shape), np.int16)
    for n, trials in enumerate(decoded):
        for k, plane in enumerate(trials):
            step, stack = int(steps[n, k]), plane[None].astype(np.int32)
            cpu.correct([stack], step, *numbers.network(step, "luma"), [stack], [0])
            if half:
                whole, stack = stack, np.empty((1, *shape), np.int32)
                cpu.guide(whole, stack)
            out[n, k] = stack[0]
    return out


def scaled(samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Samples (B, P, H, W) in units of the input, as integers."""
    factors = np.array([reciprocal(int(step)) for step in steps], np.int32)[:, None, None, None]
    half = 1 << (numbers.RECIPROCAL_BITS - 1)
    values = (samples.astype(np.int32) * factors + half) >> numbers.RECIPROCAL_BITS
    return np.clip(values, -numbers.INPUT_LIMIT, numbers.INPUT_LIMIT - 1)


def turned(planes: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight views of a square."""
    planes = planes[:, ::-1] if turn & 1 else planes
    planes = planes[:, :, ::-1] if turn & 2 else planes
    return planes.swapaxes(1, 2) if turn & 4 else planes


def batch(
    source: Planes, pairs: list[tuple[int, int]], size: int, reach: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Crops of planes as cells: inputs in steps, and what is to be corrected relative to the error of the plane.

    The latter is in units of its root mean square, which comes third.
    """
    inputs, goals, steps, units = [], [], [], []
    height, width = source.original.shape[2:]
    for _ in range(size):
        n, k = pairs[rng.integers(len(pairs))]
        top, left = (2 * int(rng.integers((side - CROP) // 2 + 1)) for side in (height, width))
        rows, columns = slice(top, top + CROP), slice(left, left + CROP)
        missing = source.original[n, :, rows, columns] - source.decoded[n, k, :, rows, columns]
        turn = int(rng.integers(8))
        inputs.append(turned(source.inputs(n, k, rows, columns), turn))
        goals.append(turned(missing[:, reach:-reach, reach:-reach], turn))
        steps.append(source.steps[n, k])
        units.append(math.sqrt(source.errors[n, k]))
    x = torch.from_numpy(scaled(np.stack(inputs), np.array(steps)).astype(np.float32) / INPUT)
    unit = torch.tensor(units, dtype=torch.float32)[:, None, None, None]
    # From steps to that unit: a sample is 1/16 gray level, a step 1/64.
    factor = torch.from_numpy(np.array(steps, np.float32))[:, None, None, None] / 4.0 / unit
    return cells(x), cells(torch.from_numpy(np.stack(goals).astype(np.float32)) / unit), factor


def cells(planes: Tensor) -> Tensor:
    """(B, P, H, W) to (B, 4 P, H / 2, W / 2): the four samples of a cell beside each other."""
    return functional.pixel_unshuffle(planes, 2).contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------------------------------------ network


class _Rounded(torch.autograd.Function):
    """Rounding to multiples of 1 / ONE, whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return torch.round(values * ONE) / ONE

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def level_free(weight: Tensor, planes: int) -> Tensor:
    """Weights of the first layer that add up to zero over each plane."""
    flat = weight.reshape(weight.shape[0] * planes, -1)
    return (flat - flat.mean(1, keepdim=True)).reshape(weight.shape)


def integers(weight: Tensor, planes: int = 0) -> Tensor:
    """Weights as integers; with a number of planes, those that still add up to zero."""
    if not planes:
        return torch.round(weight * ONE).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    flat = level_free(weight, planes).reshape(weight.shape[0] * planes, -1) * ONE
    whole = torch.round(flat).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    while True:
        excess = whole.sum(1, keepdim=True)
        sign = torch.sign(excess)
        if not excess.any():
            return whole.reshape(weight.shape)
        # Those that rounding moved most in the direction of the excess go back by one, a few at a time.
        moved = torch.where((whole - sign).abs() <= WEIGHT_LIMIT, (whole - flat) * sign, -9.0)
        rank = moved.argsort(1, descending=True).argsort(1)
        whole = whole - torch.where(rank < excess.abs().clamp(max=8), sign, torch.zeros_like(sign))


def quantized(weight: Tensor, planes: int = 0) -> Tensor:
    """What the integers stand for, with the gradient of the weights."""
    with torch.no_grad():
        whole = integers(weight, planes) / ONE
    weight = level_free(weight, planes) if planes else weight
    return weight + (whole - weight).detach()


class Network(nn.Module):
    """The network of `imfnb.format.network` for so many planes, in real numbers."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.planes = planes
        self.layers = nn.ModuleList(nn.Conv2d(a, b, numbers.KERNEL) for a, b in numbers.layers(planes))
        self.exact = False
        # The layers between begin near the identity, the last one near zero.
        first, *between, last = self.layers
        with torch.no_grad():
            for layer in self.layers:
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * layer.in_channels)))
                nn.init.zeros_(layer.bias)
            first.bias += 0.5
            for layer in between:
                layer.weight *= 0.5
                layer.weight[:, :, 1, 1] += 0.7 * torch.eye(numbers.CHANNELS)
            last.weight *= 0.1

    @property
    def reach(self) -> int:
        """Samples around a crop that are only looked at."""
        return 2 * len(self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Corrections in steps, from samples in steps; the layers after the first in 16-bit floats."""
        first, *between, last = self.layers
        x = self._activated(functional.conv2d(x, quantized(first.weight, self.planes), first.bias))
        with torch.autocast("cpu", torch.bfloat16):
            for layer in between:
                x = self._activated(functional.conv2d(x, quantized(layer.weight), layer.bias))
            x = functional.conv2d(x, quantized(last.weight), last.bias)
        return x.float() / FINE

    def _activated(self, x: Tensor) -> Tensor:
        x = functional.hardtanh(x, 0.0, TOP)
        return _Rounded.apply(x) if self.exact else x

    def written(self) -> Layers:
        """The integers; biases include half a unit of what the sums are shifted to."""
        layers = []
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                kind = 0 if number == 0 else 2 if number + 1 == len(self.layers) else 1
                weight = integers(layer.weight, 0 if number else self.planes)
                bias = torch.round(layer.bias * UNITS[min(kind, 1)]) + (1 << numbers.SHIFTS[kind]) // 2
                layers.append((weight.numpy().astype(np.int8), bias.numpy().astype(np.int32)))
        return layers

    def read(self, layers: Layers) -> None:
        """The weights that such integers stand for."""
        with torch.no_grad():
            for number, (layer, (weight, bias)) in enumerate(zip(self.layers, layers, strict=True)):
                kind = 0 if number == 0 else 2 if number + 1 == len(self.layers) else 1
                layer.weight.copy_(torch.from_numpy(weight.astype(np.float32)) / ONE)
                half = (1 << numbers.SHIFTS[kind]) // 2
                layer.bias.copy_(torch.from_numpy(bias.astype(np.float32) - half) / UNITS[min(kind, 1)])


def train(
    net: Network,
    source: Planes,
    pairs: list[tuple[int, int]],
    options: argparse.Namespace,
    minutes: float,
    rng: np.random.Generator,
) -> None:
    """Train a network for some minutes, with a rate that falls to nothing; activations are rounded at the end."""
    optimizer = torch.optim.Adam(net.parameters(), lr=options.rate, betas=(0.9, 0.99))
    start = told = time.monotonic()
    gain, count, steps = 0.0, 0, 0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        net.exact = done >= options.exact_from
        rate = options.rate * min(1.0, (steps + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate + 1e-6
        x, y, factor = batch(source, pairs, options.batch, net.reach, rng)
        error = (net(x) * factor - y).square().mean((1, 2, 3))
        loss = torch.log(error + SOFT).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        before = y.square().mean((1, 2, 3))
        gain += 10 * torch.log10((before + 1e-6) / (error.detach() + 1e-6)).mean().item()
        count, steps = count + 1, steps + 1
        if time.monotonic() - told > 40:
            print(f"  {done:4.0%} {steps} iterations, gain {gain / count:.3f} dB on crops", flush=True)
            gain, count, told = 0.0, 0, time.monotonic()


def measure(networks: list[Layers], borders: tuple[int, ...], source: Planes, held: list[int]) -> np.ndarray:
    """Gains in dB by held image and number of the step, with the kernel."""
    gains = np.zeros((len(held), source.steps.shape[1]))
    for i, n in enumerate(held):
        for k, step in enumerate(source.steps[n].tolist()):
            layers = networks[int(np.searchsorted(borders, step, side="right"))]
            weights = np.concatenate([weight.reshape(-1) for weight, _ in layers])
            biases = np.concatenate([bias for _, bias in layers])
            planes = [plane[None].astype(np.int32) for plane in source.inputs(n, k)]
            out = [np.empty_like(plane) for plane in planes[: source.original.shape[1]]]
            cpu.correct(planes, step, weights, biases, out, [0])
            left = np.square(np.concatenate(out).astype(np.float64) - source.original[n]).mean()
            gains[i, k] = 10 * math.log10(max(source.errors[n, k], LEAST_ERROR) / max(left, LEAST_ERROR))
    return gains


# -------------------------------------------------------------------------------------------------------------- files


def save(path: Path, networks: list[Layers]) -> None:
    """Keep the networks of all ranges of a kind."""
    arrays = {}
    for r, layers in enumerate(networks):
        for number, (weight, bias) in enumerate(layers):
            arrays[f"w{r}_{number}"], arrays[f"b{r}_{number}"] = weight, bias
    np.savez(path, **arrays)


def load(path: Path) -> list[Layers]:
    """The networks that `save` has kept."""
    with np.load(path) as file:
        names = [name for name in file.files if name[0] == "w"]
        found: dict[int, Layers] = {}
        for r, number in sorted(tuple(map(int, name[1:].split("_"))) for name in names):
            found.setdefault(r, []).append((file[f"w{r}_{number}"], file[f"b{r}_{number}"]))
    return list(found.values())


def pack(paths: list[Path], out: Path) -> None:
    """Write network.bin from the networks of all kinds."""
    data = b""
    for kind, path in zip(KINDS, paths, strict=True):
        networks = load(path)
        if len(networks) != len(numbers.STEP_BORDERS[kind]) + 1:
            raise SystemExit(f"{path} has {len(networks)} ranges of {kind}")
        data += b"".join(b.astype("<i4").tobytes() + w.tobytes() for layers in networks for w, b in layers)
    out.write_bytes(data)


def main() -> int:
    """Train the networks of a kind, or pack all."""
    if sys.argv[1:2] == ["--pack"]:
        *paths, out = map(Path, sys.argv[2:])
        pack(paths, out)
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("planes", type=Path, help="folder that network_planes.py has written")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Path, help="where to keep the networks")
    parser.add_argument(
        "--minutes", type=float, default=6, help="for each range of steps; the first one takes 1.3 times"
    )
    parser.add_argument("--start", type=Path, help="networks to begin with, of which each range is trained by itself")
    parser.add_argument("--exact-from", type=float, default=0.6, help="when activations are rounded (default 0.6)")
    parser.add_argument("--rate", type=float, default=3e-3, help="of learning, at first (default 0.003)")
    parser.add_argument("--batch", type=int, default=8, help="crops per iteration (default 8)")
    parser.add_argument(
        "--hold-out", type=int, default=10, metavar="N", help="measure on every N-th image (default 10)"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)

    source, borders = Planes.read(options.planes, options.kind), numbers.STEP_BORDERS[options.kind]
    count, trials = source.steps.shape
    held = list(range(0, count, options.hold_out))
    # But for planes without errors, such as the chroma of gray pictures.
    pairs = [(n, k) for n in range(count) if n not in held for k in range(trials) if source.errors[n, k] >= LEAST_ERROR]
    started = load(options.start) if options.start else None
    limits = list(zip((0, *borders), (*borders, 1 << 30), strict=True))
    middle = len(limits) // 2
    networks: dict[int, Layers] = {}
    for index in [*range(middle, len(limits)), *range(middle - 1, -1, -1)]:
        net = Network(1 if options.kind == "luma" else 3)
        if started is not None:
            net.read(started[index])
        elif networks:
            net.read(networks[index - 1 if index > middle else index + 1])
        low, high = limits[index]
        mine = [(n, k) for n, k in pairs if low / MARGIN <= source.steps[n, k] < high * MARGIN]
        print(f"steps of {low / 64:.1f} gray levels and more: {len(mine)} planes", flush=True)
        train(net, source, mine, options, options.minutes * (1.0 if networks or started else 1.3), rng)
        networks[index] = net.written()
    ready = [networks[index] for index in range(len(limits))]
    save(options.out, ready)
    gains, steps = measure(ready, borders, source, held), np.exp(np.log(source.steps / 64).mean(0))
    print(f"{options.kind}: gain on {len(held)} images held out, dB, by step in gray levels (mean, least)")
    for step, column in zip(steps, gains.T, strict=True):
        print(f"  {step:6.1f} {column.mean():+.3f} {column.min():+.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
