"""Train the networks of the second model of U with PyTorch, from examples that `train_neural.py` collects.

    python benchmarks/train_neural.py FOLDER --examples EXAMPLES.npz
    python benchmarks/train_networks.py EXAMPLES.npz NETWORKS.npz
    python benchmarks/train_neural.py FOLDER --networks NETWORKS.npz

Examples are what the coder shows its networks. Every network learns the probabilities of the bins of its symbol; what
is learned is rounded to the integers of the format. Signs have one network for each position, all trained at once, on
examples of which half are negated: a picture and its negative are equally likely.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from imfnb.format.neural_model import (
    BAND,
    BANDS,
    HIDDEN_1,
    HIDDEN_2,
    NET_ROWS,
    NET_WEIGHT_LIMIT,
    POSITIONS,
    SAID,
    SEEN,
    relation_table,
)

UNIT = 64
"""What a network sees is 1 to the training where it is this to the coder."""
HIDDEN_LIMIT = 15.9
WEIGHT_LIMIT = 7.9
SIGNED = [*range(31), 32, 33, 34]
"""What changes its sign with the picture among what the networks of signs see."""
EXAMPLES = 4096
"""Examples of one step, and those of one position for signs."""
EXAMPLES_OF_SIGN = 400
EXAMPLES_OF_BAND = 700
STEPS = {"first": 5000, "rank": 5000, "magnitude": 10000, "sign": 14000}
DECAY = 1e-3
RATE = 4e-3


class Network(nn.Module):
    """Several networks of one form, side by side; biases of the first and last layer by row.

    Parameters
    ----------
    networks, rows : int
        How many, and rows of biases of each.
    """

    def __init__(self, networks: int, rows: int) -> None:
        super().__init__()
        self.layer_1 = nn.Parameter(torch.randn(networks, SEEN, HIDDEN_1) * 0.15)
        self.layer_2 = nn.Parameter(torch.randn(networks, HIDDEN_1, HIDDEN_2) * 0.2)
        self.layer_3 = nn.Parameter(torch.randn(networks, HIDDEN_2, SAID) * 0.2)
        self.bias_1 = nn.Parameter(torch.zeros(networks, rows, HIDDEN_1))
        self.bias_2 = nn.Parameter(torch.zeros(networks, 1, HIDDEN_2))
        self.bias_3 = nn.Parameter(torch.zeros(networks, rows, SAID))

    def forward(self, seen: Tensor, rows: Tensor) -> Tensor:
        """Logits (networks, n, SAID) of what is seen, (networks, n, SEEN) in UNIT, with rows (networks, n)."""
        which = torch.arange(len(seen))[:, None]
        hidden = torch.clamp(torch.bmm(seen, self.layer_1) + self.bias_1[which, rows], 0, HIDDEN_LIMIT)
        hidden = torch.clamp(torch.bmm(hidden, self.layer_2) + self.bias_2, 0, HIDDEN_LIMIT)
        return torch.bmm(hidden, self.layer_3) + self.bias_3[which, rows]

    def bound(self) -> None:
        """Keep the weights within what the format can hold."""
        with torch.no_grad():
            self.layer_1.clamp_(-31, 31)
            self.layer_2.clamp_(-WEIGHT_LIMIT, WEIGHT_LIMIT)
            self.layer_3.clamp_(-WEIGHT_LIMIT, WEIGHT_LIMIT)

    def integers(self) -> dict[str, np.ndarray]:
        """What the format holds."""
        scales = {"layer_1": 1024, "layer_2": 1024, "layer_3": 1024, "bias_1": 1024, "bias_2": 1024, "bias_3": 256}
        found = {}
        for name, scale in scales.items():
            limit = NET_WEIGHT_LIMIT if name in ("layer_2", "layer_3") else 32767
            value = np.clip(np.rint(getattr(self, name).detach().numpy() * scale), -limit, limit)
            found[name] = value.astype(np.int16)
        return found


def first_bits(logits: Tensor, target: Tensor) -> Tensor:
    """Cost of residuals of component 0: zero flag, sign, magnitudes by sign up to the escape."""
    size, ones = target.abs(), torch.arange(1, 8)
    zero = torch.where(size > 0, softplus(-logits[:, :1]), softplus(logits[:, :1]))
    sign = torch.where(target < 0, softplus(-logits[:, 1:2]), softplus(logits[:, 1:2])) * (size > 0)
    return zero.sum() + sign.sum() + _unary(torch.where(target > 0, logits[:, 2:9], logits[:, 9:16]), size, ones).sum()


def magnitude_bits(logits: Tensor, target: Tensor) -> Tensor:
    """Cost of magnitudes: target is twice that, plus one for a patch's last component, whose zero flag is not coded."""
    size, ones = target >> 1, torch.arange(8)
    cost = _unary(logits[:, :8], size, ones)
    return cost.sum() - (cost[:, :1] * (target & 1)).sum()


def _unary(logits: Tensor, size: Tensor, bins: Tensor) -> Tensor:
    """Cost of the bins of magnitudes; the last stands for all up to 10."""
    more, end = (size > bins).float(), (size == bins).float()
    last = bins[-1]
    more[:, -1:] = torch.clamp(size - last, 0, 11 - int(last)).float()
    end[:, -1:] = ((size >= last) & (size <= 10)).float()
    return more * softplus(-logits) + end * softplus(logits)


def rank_bits(logits: Tensor, target: Tensor) -> Tensor:
    """Cost of ranks: bit lengths in unary, then two bits. Target: rank and the largest of the plane."""
    rank, largest = target[:, :1], target[:, 1:2]
    length, longest = (torch.ceil(torch.log2(value.float() + 1)).long() for value in (rank, largest))
    bins = torch.arange(8)
    coded = (bins <= length) & (bins < longest)
    cost = (torch.where(length > bins, softplus(-logits[:, :8]), softplus(logits[:, :8])) * coded).sum()
    for shift, where, least in ((2, torch.clamp(6 + length, 8, 14), 2), (3, torch.full_like(length, 15), 3)):
        bit = (rank >> torch.clamp(length - shift, 0)) & 1
        said = torch.gather(logits, 1, where)
        cost = cost + (torch.where(bit > 0, softplus(-said), softplus(said)) * (length >= least)).sum()
    return cost


def _optimize(network: Network, steps: int, rate: float, loss: Callable[[], Tensor], name: str) -> None:
    """Descend."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    start, seen = time.perf_counter(), 0.0
    for step in range(steps):
        cost = loss()
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        schedule.step()
        network.bound()
        seen += float(cost.detach())
        if step % 1000 == 999:
            print(f"{name} {step + 1} {time.perf_counter() - start:.0f} s {seen / 1000:.4f}", flush=True)
            seen = 0.0


def train_one(examples: np.ndarray, rows: int, bits: Callable[[Tensor, Tensor], Tensor], name: str) -> Network:
    """A network of component 0 or ranks."""
    network, data = Network(1, rows), torch.from_numpy(examples)

    def loss() -> Tensor:
        mine = data[torch.randint(0, len(data), (EXAMPLES,))]
        logits = network(mine[None, :, :SEEN].float() / UNIT, mine[None, :, SEEN].long())[0]
        return bits(logits, mine[:, SEEN + 1 :].long()) / (EXAMPLES * np.log(2))

    _optimize(network, STEPS[name], RATE, loss, name)
    return network


def bands_of_rows() -> np.ndarray:
    """The band of the component of each row of biases of magnitudes."""
    return np.concatenate([relation_table(p)[:, BAND] for p in (8, 16)])


def _shares(group: np.ndarray, groups: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """An order by group, and where each group begins in it and how many it has."""
    counts = np.bincount(group, minlength=groups)
    starts = np.cumsum(counts) - counts
    return np.argsort(group, kind="stable"), torch.from_numpy(starts)[:, None], torch.from_numpy(counts)[:, None]


def train_magnitudes(examples: np.ndarray) -> Network:
    """The networks of magnitudes."""
    order, starts, counts = _shares(bands_of_rows()[examples[:, SEEN]], BANDS)
    network, data = Network(BANDS, NET_ROWS[2]), torch.from_numpy(examples[order])

    def loss() -> Tensor:
        mine = data[(torch.rand(BANDS, EXAMPLES_OF_BAND) * counts).long() + starts]
        logits = network(mine[..., :SEEN].float() / UNIT, mine[..., SEEN].long())
        target = mine[..., SEEN + 1 :].reshape(-1, 1).long()
        return magnitude_bits(logits.reshape(-1, SAID), target) / (EXAMPLES_OF_BAND * np.log(2))

    _optimize(network, STEPS["magnitude"], RATE, loss, "magnitude")
    return network


def train_signs(examples: np.ndarray) -> Network:
    """The networks of signs."""
    order, starts, counts = _shares(examples[:, SEEN], POSITIONS)
    data, live = torch.from_numpy(examples[order]), (counts[:, 0] > 1000).float()
    network = Network(POSITIONS, 1)
    rows = torch.zeros(POSITIONS, EXAMPLES_OF_SIGN, dtype=torch.long)
    # Weights of positions with few examples are held small, so that they do not learn these by heart.
    few = live * (1 - torch.clamp(counts[:, 0] / 1e5, max=1.0))

    def loss() -> Tensor:
        at = (torch.rand(POSITIONS, EXAMPLES_OF_SIGN) * counts).long() + starts
        mine = data[torch.clamp(at, max=len(data) - 1)]
        seen, negative = mine[..., :SEEN].float() / UNIT, mine[..., SEEN + 1].float()
        turned = torch.rand(negative.shape) < 0.5
        seen[..., SIGNED] *= torch.where(turned, -1.0, 1.0)[..., None]
        negative = torch.where(turned, 1 - negative, negative)
        cost = binary_cross_entropy_with_logits(network(seen, rows)[..., 0], negative, reduction="none").mean(1)
        layers = network.layer_1, network.layer_2, network.layer_3
        decay = sum((layer**2).sum((1, 2)) for layer in layers)
        return ((cost * live).sum() / np.log(2) + DECAY * (decay * few).sum()) / live.sum()

    _optimize(network, STEPS["sign"], 1.5 * RATE, loss, "sign")
    with torch.no_grad():
        network.layer_1 *= live[:, None, None]
        network.layer_2 *= live[:, None, None]
        network.layer_3[..., 1:] = 0
        network.layer_3 *= live[:, None, None]
        network.bias_3[..., 1:] = 0
        network.bias_3 *= live[:, None, None]
        # Coarser weights take fewer bytes: 1/256 instead of 1/1024 costs nothing that was measured.
        for layer in (network.layer_1, network.layer_2):
            layer.copy_(torch.round(layer * 256) / 256)
    return network


def join(networks: list[Network]) -> dict[str, np.ndarray]:
    """The arrays of the format, from networks in its order."""
    parts = [network.integers() for network in networks]
    bands = bands_of_rows()
    for name in ("bias_1", "bias_3"):
        parts[2][name] = parts[2][name][bands, np.arange(len(bands))]
    found = {name: np.concatenate([part[name] for part in parts]) for name in ("layer_1", "layer_2", "layer_3")}
    found["bias_2"] = np.concatenate([part["bias_2"][:, 0] for part in parts])
    for name in ("bias_1", "bias_3"):
        found[name] = np.concatenate([part[name].reshape(-1, part[name].shape[-1]) for part in parts])
    return found


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(options.examples) as examples:
        networks = [
            train_one(examples["first"], NET_ROWS[0], first_bits, "first"),
            train_one(examples["rank"], NET_ROWS[1], rank_bits, "rank"),
            train_magnitudes(examples["magnitude"]),
            train_signs(examples["sign"]),
        ]
    np.savez(options.out, **join(networks))


if __name__ == "__main__":
    main()
