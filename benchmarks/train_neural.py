"""Learn what the second model of U begins with, from a folder of images, in three steps.

    python benchmarks/train_neural.py FOLDER --examples EXAMPLES.npz
    python benchmarks/train_networks.py EXAMPLES.npz NETWORKS.npz      # the only one that needs PyTorch
    python benchmarks/train_neural.py FOLDER --networks NETWORKS.npz [--out imfnb/format/neural_states.bin]

Every image is encoded at several steps as the codec does it, for the eye and for PSNR in turn, each fourth time with
chroma in full resolution, and what the entropy coder is given is kept. Every second image gets grain, as films and
sensors have it: networks that have only seen clean pictures code those with grain worse. Of large ones the middle is
taken. The first step keeps a share of what the coder shows its networks, and what they
should foresee. The last codes everything with one model that is carried from plane to plane in a shuffled order of
fixed seed, as `train_states.py` does for the other model. With ``--keep 1/2`` only every second image is used, so that
the others can be measured.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from planes import image_paths
from scipy.ndimage import gaussian_filter
from train_states import COUNT_CAP

import imfnb
from imfnb.entropy.model import COUNT_BITS
from imfnb.entropy.neural import cpu
from imfnb.entropy.neural.cpu import encode_factors
from imfnb.entropy.neural.model import untrained_model, with_networks
from imfnb.format import neural_states
from imfnb.format.neural_model import NET_START, SEEN
from imfnb.format.neural_states import LAYOUT, State
from imfnb.pictures import read_picture

STEPS = (10, 15, 22, 32, 48, 75, 120)
"""Steps of luma in gray levels."""
SIDE = 1024
"""Largest side of what is taken of an image."""
GRAIN = (1.5, 7.0)
"""Standard deviation of grain in gray levels."""
SHARES = {"first": 0.7, "rank": 0.7, "magnitude": 0.25, "sign": 0.4}
"""Shares of the examples that are kept: about ten million of each kind for 209 images of 512 x 512 pixels."""
RARE = 28
"""Positions of signs from here on are kept whole."""
LEAST_COUNT, HALF = 4, 2048 << 4
"""States that were seen less often are those of an untrained model: 30 kB less for nothing that was measured."""
FILE = Path(neural_states.__file__).with_name("neural_states.bin")
NETWORKS = ("layer_1", "layer_2", "layer_3", "bias_1", "bias_2", "bias_3")


class Call(NamedTuple):
    """What the coder is given for a plane."""

    padded: np.ndarray
    ranks: np.ndarray
    grid_h: int
    grid_w: int
    patch_size: int
    companion: tuple[np.ndarray, np.ndarray] | None


def calls(paths: list[Path]) -> Iterator[Call]:
    """Every plane at every step."""
    kept = []

    def keep(padded, ranks, grid_h, grid_w, patch_size, companion=None):
        kept.append(Call(padded.copy(), ranks.copy(), grid_h, grid_w, patch_size, companion))
        return encode_factors(padded, ranks, grid_h, grid_w, patch_size, companion)

    for number, path in enumerate(paths):
        pixels = read_picture(path, srgb=True).pixels
        pixels = middle(pixels[:, :, :3] if pixels.ndim == 3 else pixels[:, :, None])
        if number % 2:
            pixels = grainy(pixels, np.random.default_rng(number))
        for k, step in enumerate(STEPS):
            subsampling = "4:4:4" if (number + k) % 4 == 0 else None
            tune = ("visual", "psnr")[(number // 2 + k) % 2]
            with mock.patch.object(cpu, "encode_factors", keep):
                imfnb.encode(pixels, step=step, tune=tune, effort="best", subsampling=subsampling, threads=1)
            yield from kept
            kept.clear()


def middle(pixels: np.ndarray) -> np.ndarray:
    """At most SIDE x SIDE pixels in the middle of an image."""
    top, left = (max(0, (size - SIDE) // 2) for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


def grainy(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image with grain of some strength and size, most of it in all channels alike."""
    size, strength = rng.uniform(0.0, 0.9), rng.uniform(*GRAIN)
    noise = rng.normal(size=(*pixels.shape[:2], 1 + pixels.shape[2]))
    noise = gaussian_filter(noise, (size, size, 0))
    noise *= strength / noise.std()
    return np.clip(np.rint(pixels + noise[..., :1] + 0.4 * noise[..., 1:]), 0, 255).astype(np.uint8)


def examples_of(call: Call) -> np.ndarray:
    """What networks see of a plane, the row of biases and what is to be foreseen, int16 (n, SEEN + 2)."""
    symbols = int((call.padded[1:] != 0).sum() + call.ranks.sum(dtype=np.int64)) + 2 * call.grid_h * call.grid_w
    found, model = np.zeros((symbols, SEEN + 2), np.int16), untrained_model()
    model["sink"] = found.ctypes.data
    encode_factors(*call, model)
    return found[: (int(model["sink"][0]) - found.ctypes.data) // found.strides[0]]


def collect(planes: Iterator[Call]) -> dict[str, np.ndarray]:
    """Examples of all kinds, the rows counted from the first of the kind; ranks with the largest of the plane."""
    kept: dict[str, list[np.ndarray]] = {kind: [] for kind in SHARES}
    rng = np.random.default_rng(0)
    for call in planes:
        found, largest = examples_of(call), int(call.ranks.max())
        for number, (kind, share) in enumerate(SHARES.items()):
            first, end = NET_START[number : number + 2]
            mine = found[(found[:, SEEN] >= first) & (found[:, SEEN] < end)]
            rare = (kind == "sign") & (mine[:, SEEN] - first >= RARE)
            mine = mine[rare | (rng.random(len(mine)) < share)]
            mine[:, SEEN] -= first
            if kind == "rank":
                mine = np.column_stack([mine, np.full(len(mine), largest, np.int16)])
            kept[kind].append(mine)
    return {kind: np.concatenate(parts) for kind, parts in kept.items()}


def pack_model(model: np.ndarray, networks: Mapping[str, np.ndarray]) -> bytes:
    """Contents of neural_states.bin for a model that has coded the training set.

    Counts as in `train_states.py`: a quarter, at most COUNT_CAP. States that were hardly seen begin anew.
    """
    state = model["states"][0].astype(np.int64)
    seen = state & ((1 << COUNT_BITS) - 1)
    packed = (state >> (COUNT_BITS + 10) << 4) | (np.minimum(seen // 4, COUNT_CAP) // 2)
    parts = dict(networks)
    parts["states"] = np.where(seen < LEAST_COUNT, HALF, packed)
    for name in ("weights", "last"):
        parts[name] = np.clip((model[name][0] + 4) >> 3, -32768, 32767)
    parts["maps"] = model["maps"][0]
    data = b"".join(parts[name].astype(kind).reshape(shape).tobytes() for name, (kind, shape) in LAYOUT.items())
    return zlib.compress(data, 9)


def learn(planes: list[Call], networks: Mapping[str, np.ndarray]) -> bytes:
    """Contents of neural_states.bin."""
    none = {name: np.zeros(shape, kind) for name, (kind, shape) in LAYOUT.items()}
    model = with_networks(untrained_model(), State(**{**none, **networks}))
    for index in np.random.default_rng(0).permutation(len(planes)):
        for name in ("low", "position", "overrun"):
            model[name] = 0
        model["range"] = 0xFFFFFFFF
        encode_factors(*planes[index], model)
    return pack_model(model, networks)


def main() -> None:
    """Collect, or learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of lossless images")
    parser.add_argument("--examples", type=Path, help="write what the networks learn from, and nothing else")
    parser.add_argument("--networks", type=Path, help="what train_networks.py made of it")
    parser.add_argument("--out", type=Path, default=FILE, help="default: the package's own file")
    parser.add_argument("--keep", default="1/1", metavar="I/N", help="use images I, I + N, I + 2 N ...")
    options = parser.parse_args()
    first, stride = map(int, options.keep.split("/"))
    planes = calls(image_paths(options.folder)[first - 1 :: stride])
    if options.examples:
        np.savez(options.examples, **collect(planes))
    else:
        with np.load(options.networks) as networks:
            options.out.write_bytes(learn(list(planes), {name: networks[name] for name in NETWORKS}))


if __name__ == "__main__":
    main()
