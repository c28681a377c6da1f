"""Learn the initial states of the context model from a folder of pictures and write mainp/entropy/states.bin.

usage: train_states.py [FOLDER] [--rounds N]

Each round factorizes every plane at several steps with the current states and codes all of them, in a shuffled order
of fixed seed, with one model that is carried from plane to plane.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import eval as evaluation
import numpy as np
from mainp import entropy, factorization, lapped
from mainp.entropy import states
from PIL import Image

STEPS = (14, 22, 32, 46, 66, 95, 140)


def factors(files, patch_size):
    for f in files:
        planes = evaluation.to_planes(np.asarray(Image.open(f).convert("RGB")))
        for step in STEPS:
            for k, plane in enumerate(planes):
                s = round(64 * step * (evaluation.CHROMA if k else 1))
                padded = np.pad(plane, [(0, -n % patch_size) for n in plane.shape], mode="edge")
                U, ranks = factorization.factorize(lapped.forward(padded, patch_size), s, patch_size)
                gh, gw = (n // patch_size for n in padded.shape)
                yield U[:ranks.max() + 1].copy(), ranks, gh, gw, patch_size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=evaluation.FOLDER, type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", default="0/1", help="use only files with index %% second != first - 1")
    args = parser.parse_args()
    files = sorted(args.folder.glob("*.png"))
    out, of = (int(v) for v in args.keep.split("/"))
    if out:
        files = [f for i, f in enumerate(files) if i % of != out - 1]
    for _ in range(args.rounds):
        planes = [p for size in (8, 16) for p in factors(files, size)]
        model = states.untrained_model()
        for i in np.random.default_rng(0).permutation(len(planes)):
            for name in ("low", "position", "overrun"):
                model[name] = 0
            model["range"] = 0xFFFFFFFF
            entropy.encode_planes(*planes[i], model=model)
        (Path(states.__file__).with_name("states.bin")).write_bytes(states.pack_model(model))
        states._learned_model.cache_clear()


if __name__ == "__main__":
    main()
