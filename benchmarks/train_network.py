"""Learn the restoration network from planes that ``network_planes.py`` has made; needs PyTorch.

    python benchmarks/train_network.py PLANES --kind luma --out luma.npz [--minutes 35] [--hold-out 10]
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

ONE = 64
"""What a weight or an activation of 1 is as an integer."""
TOP = 255 / ONE
"""Largest activation."""
INPUT = 32
"""What a step is as an integer at the input."""
FINE = 8
"""The last layer's unit is a step over this."""
CROP = 128
SOFT = 0.1


class Rounded(torch.autograd.Function):
    """Rounds to multiples of 1 / ONE; gradients pass."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x * ONE) / ONE

    @staticmethod
    def backward(ctx, g):
        return g


def integers(weight: Tensor, planes: int | None = None) -> Tensor:
    """Weights as multiples of 1; those of every input plane add up to zero where `planes` is their number."""
    if planes is None:
        return torch.round(weight * ONE).clamp(-127, 127)
    flat = weight.reshape(weight.shape[0] * planes, -1) * ONE
    flat = flat - flat.mean(1, keepdim=True)
    whole = torch.round(flat).clamp(-127, 127)
    for _ in range(2):
        excess = whole.sum(1, keepdim=True)
        # The entries that rounding moved most in the direction of the excess go back by one.
        moved = (whole - flat) * torch.sign(excess)
        rank = moved.argsort(1, descending=True).argsort(1)
        whole = whole - torch.where(rank < excess.abs(), torch.sign(excess), torch.zeros_like(excess))
    return whole.reshape(weight.shape)


def quantized(weight: Tensor, planes: int | None = None) -> Tensor:
    """Weights as the integers are, with the gradient of the weights."""
    with torch.no_grad():
        whole = integers(weight, planes) / ONE
    if planes is not None:
        flat = weight.reshape(weight.shape[0] * planes, -1)
        weight = (flat - flat.mean(1, keepdim=True)).reshape(weight.shape)
    return weight + (whole - weight).detach()


class Network(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.channels, self.hidden = inputs, outputs, channels, hidden
        sizes = [4 * inputs] + [channels] * (hidden + 1) + [4 * outputs]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in zip(sizes, sizes[1:]))
        self.exact = False
        for number, layer in enumerate(self.layers):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * layer.in_channels)))
            nn.init.zeros_(layer.bias)
            if 0 < number <= hidden:
                with torch.no_grad():
                    layer.weight *= 0.5
                    for c in range(channels):
                        layer.weight[c, c, 1, 1] += 0.7
        with torch.no_grad():
            self.layers[0].bias += 0.5
            self.layers[-1].weight *= 0.1

    @property
    def reach(self) -> int:
        return len(self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Corrections in steps, (B, 4 outputs, h - 2 reach, w - 2 reach), from samples in steps (B, 4 inputs, h, w)."""
        first, last = self.layers[0], self.layers[-1]
        x = functional.conv2d(x, quantized(first.weight, self.inputs), first.bias)
        x = self.activated(x)
        with torch.autocast("cpu", torch.bfloat16):
            for layer in self.layers[1:-1]:
                x = self.activated(functional.conv2d(x, quantized(layer.weight), layer.bias))
            x = functional.conv2d(x, quantized(last.weight), last.bias)
        return x.float() / FINE

    def activated(self, x: Tensor) -> Tensor:
        x = functional.hardtanh(x, 0.0, TOP)
        return Rounded.apply(x) if self.exact else x

    def whole(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights (int8) and biases (int32, half a unit of the result included) of every layer."""
        out = []
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                weight = integers(layer.weight, self.inputs if number == 0 else None)
                unit = ONE * (INPUT if number == 0 else ONE)
                half = unit // ONE // 2 if number + 1 < len(self.layers) else 64
                bias = torch.round(layer.bias * unit) + half
                out.append((weight.numpy().astype(np.int8), bias.numpy().astype(np.int32)))
        return out


def cells(planes: Tensor) -> Tensor:
    """(B, P, H, W) to (B, 4 P, H / 2, W / 2), the four of a plane beside each other."""
    return functional.pixel_unshuffle(planes, 2)


class Planes:
    """Arrays of `network_planes.py`."""

    def __init__(self, folder: Path, kind: str) -> None:
        load = lambda name: np.load(folder / f"{name}.npy")
        self.kind = kind
        self.original, self.decoded = load(kind), load(f"{kind}_decoded")
        self.steps = load("steps")[:, :, ("luma", "chroma", "half").index(kind)]
        self.guide = None if kind == "luma" else load(f"{kind}_guide")
        n, k = self.steps.shape
        self.errors = np.array([[np.mean(np.square(self.original[i].astype(np.float32) - self.decoded[i, j])) for j in range(k)] for i in range(n)])

    def inputs(self, n: int, k: int, rows=slice(None), columns=slice(None)) -> np.ndarray:
        found = self.decoded[n, k, :, rows, columns]
        if self.guide is None:
            return found
        return np.concatenate([found, self.guide[n, k, None, rows, columns]])


def normalized(samples: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Samples (B, P, H, W) as multiples of 1 / INPUT steps, as the integers are."""
    x = samples * (4.0 * INPUT / steps.astype(np.float32))[:, None, None, None]
    return np.floor(x + 0.5).astype(np.float32) / INPUT


def batch(sources: list[Planes], pairs, size: int, rng, reach: int):
    xs, ys, scale, steps = [], [], [], []
    inner = 2 * reach
    for _ in range(size):
        s, n, k = pairs[rng.integers(len(pairs))]
        source = sources[s]
        h, w = source.original.shape[2:]
        top, left = 2 * rng.integers((h - CROP) // 2 + 1), 2 * rng.integers((w - CROP) // 2 + 1)
        rows, columns = slice(top, top + CROP), slice(left, left + CROP)
        x = source.inputs(n, k, rows, columns)
        y = source.original[n, :, rows, columns] - source.decoded[n, k, :, rows, columns]
        y = y[:, inner:-inner, inner:-inner]
        turn = rng.integers(8)
        if turn & 1:
            x, y = x[:, ::-1], y[:, ::-1]
        if turn & 2:
            x, y = x[:, :, ::-1], y[:, :, ::-1]
        if turn & 4:
            x, y = x.swapaxes(1, 2), y.swapaxes(1, 2)
        xs.append(x), ys.append(y), steps.append(source.steps[n, k])
        scale.append(16.0 * (source.steps[n, k] / 64.0) / math.sqrt(source.errors[n, k]))
    steps = np.array(steps)
    x = torch.from_numpy(normalized(np.stack(xs), steps))
    y = torch.from_numpy(np.stack(ys) * (4.0 / steps.astype(np.float32))[:, None, None, None])
    return x, y, torch.tensor(scale, dtype=torch.float32)


def train(net: Network, sources, pairs, seconds: float, rate: float, exact_from: float, size: int, rng, report=40.0) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=rate, betas=(0.9, 0.99))
    start = last = time.time()
    total, count, steps = 0.0, 0, 0
    while True:
        done = (time.time() - start) / seconds
        if done >= 1:
            break
        net.exact = done >= exact_from
        warm = min(1.0, (steps + 1) / 200)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        x, y, scale = batch(sources, pairs, size, rng, net.reach)
        x = cells(x).contiguous(memory_format=torch.channels_last)
        out = net(x)
        error = ((out - cells(y)) * scale[:, None, None, None]).square().mean((1, 2, 3))
        loss = torch.log(error + SOFT).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        before = (cells(y) * scale[:, None, None, None]).square().mean((1, 2, 3))
        total += torch.log10((before + 1e-6) / (error.detach() + 1e-6)).mean().item() * 10
        count, steps = count + 1, steps + 1
        if time.time() - last > report:
            print(f"  {done:4.0%} {steps} iterations, gain {total / count:.3f} dB", flush=True)
            total, count, last = 0.0, 0, time.time()


def run(layers, inputs: int, samples: np.ndarray, step: int) -> np.ndarray:
    """Corrections in 1/16 gray level of whole planes (P, H, W) in integers, as the codec does it."""
    reach = 2 * len(layers)
    p, h, w = samples.shape
    x = samples[None].astype(np.float64) * (4.0 * INPUT / step)
    x = np.clip(np.floor(x + 0.5), -32768, 32767)
    x = np.pad(x, ((0, 0), (0, 0), (reach, reach + h % 2), (reach, reach + w % 2)), mode="edge")
    a = cells(torch.from_numpy(x).float()).contiguous(memory_format=torch.channels_last)
    for number, (weight, bias) in enumerate(layers):
        a = functional.conv2d(a, torch.from_numpy(weight.astype(np.float32)).contiguous(memory_format=torch.channels_last), torch.from_numpy(bias.astype(np.float32)))
        if number + 1 < len(layers):
            a = torch.clamp(torch.floor(a / (INPUT if number == 0 else ONE)), 0, 255)
    y = torch.clamp(torch.floor(a.double() / 128), -1024, 1023)
    y = torch.floor((y * step + 512) / 1024)
    return functional.pixel_shuffle(y, 2)[0, :, :h, :w].numpy().astype(np.int32)


def measure(networks, source: Planes, numbers, name: str, borders) -> np.ndarray:
    """Gain in dB by picture and step."""
    gains = np.zeros((len(numbers), source.steps.shape[1]))
    for i, n in enumerate(numbers):
        for k in range(source.steps.shape[1]):
            step = int(source.steps[n, k])
            index = int(np.searchsorted(borders, step, side="right"))
            layers = networks[index]
            y = run(layers, None, source.inputs(n, k), step)
            left = source.original[n].astype(np.float64) - source.decoded[n, k] - y
            gains[i, k] = 10 * math.log10(source.errors[n, k] / np.mean(np.square(left)))
    print(name, "gain by step:", " ".join(f"{g:.3f}" for g in gains.mean(0)), f"mean {gains.mean():.3f}, least {gains.min():.3f}", flush=True)
    return gains


def save(path: Path, networks, borders) -> None:
    arrays = {"borders": np.array(borders, np.int32)}
    for r, layers in enumerate(networks):
        for number, (weight, bias) in enumerate(layers):
            arrays[f"w{r}_{number}"], arrays[f"b{r}_{number}"] = weight, bias
    np.savez(path, **arrays)


def load(path: Path):
    file = np.load(path)
    borders = file["borders"]
    networks = []
    for r in range(len(borders) + 1):
        count = sum(1 for name in file.files if name.startswith(f"w{r}_"))
        networks.append([(file[f"w{r}_{i}"], file[f"b{r}_{i}"]) for i in range(count)])
    return networks, list(borders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("planes", type=Path)
    parser.add_argument("--kind", nargs="+", default=["luma"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5, help="for each range")
    parser.add_argument("--first", type=float, default=1.3, help="how much longer the first range takes")
    parser.add_argument("--start-each", type=Path)
    parser.add_argument("--exact-from", type=float, default=0.6)
    parser.add_argument("--borders", type=float, nargs="*", default=[], help="gray levels")
    parser.add_argument("--range", type=float, nargs=2, default=[0, 1e9])
    parser.add_argument("--hold-out", type=int, default=10)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--start", type=Path, help="PyTorch state to start with")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    sources = [Planes(options.planes, kind) for kind in options.kind]
    count, ks = sources[0].steps.shape
    held = [n for n in range(count) if options.hold_out and n % options.hold_out == 0]
    pairs = [(s, n, k) for s in range(len(sources)) for n in range(count) if n not in held for k in range(ks)]
    pairs = [(s, n, k) for s, n, k in pairs if options.range[0] <= sources[s].steps[n, k] / 64 < options.range[1]]
    outputs = sources[0].original.shape[1]
    inputs = outputs + (sources[0].guide is not None)
    net = Network(inputs, outputs, options.channels, options.hidden)
    if options.start:
        net.load_state_dict(torch.load(options.start))
    borders = [round(64 * b) for b in options.borders]
    limits = list(zip([0, *borders], [*borders, 1 << 30]))
    # From the middle outwards, each range begins with the network of its neighbour.
    middle = len(limits) // 2
    order = [*range(middle, len(limits)), *range(middle - 1, -1, -1)]
    states: dict[int, dict[str, Tensor]] = {}
    networks: dict[int, list] = {}
    for index in order:
        low, high = limits[index]
        neighbour = index - 1 if index > middle else index + 1
        if states and not options.start_each:
            net.load_state_dict(states[neighbour])
        if options.start_each:
            net.load_state_dict(torch.load(options.start_each.with_suffix(f".{index}.pt")))
        # Steps a little outside of the range count, too.
        mine = [(s, n, k) for s, n, k in pairs if low / 1.1 <= sources[s].steps[n, k] < high * 1.1]
        print(f"range from {low / 64:.1f}: {len(mine)} planes", flush=True)
        minutes = options.minutes * (options.first if index == middle else 1)
        train(net, sources, mine, 60 * minutes, options.rate, options.exact_from, options.batch, rng)
        states[index] = {key: value.clone() for key, value in net.state_dict().items()}
        torch.save(net.state_dict(), options.out.with_suffix(f".{index}.pt"))
        networks[index] = net.whole()
    networks = [networks[index] for index in range(len(limits))]
    save(options.out, networks, borders)
    for source in sources:
        measure(networks, source, held, source.kind, borders)


if __name__ == "__main__":
    main()
