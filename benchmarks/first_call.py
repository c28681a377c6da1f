"""What a fresh process waits for: seconds until the first picture, against those of ``import numpy``.

    python benchmarks/first_call.py [PICTURE] [--repeat N]

Every row is a process of its own that imports NumPy, does one thing and says when that is done; the rows take turns,
the least of N times counts, and the processor's time stands beside that of the clock, for machines that do other
things. Machine code of kernels is in the cache: a first round, which is not counted, puts it there.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import imfnb
from imfnb.pictures import read_picture

START = "import numpy, sys; "

#: What each process does after it has imported NumPy; its arguments are files of both profiles, and the picture.
WORK = {
    "import numpy": "",
    "import imfnb": "import imfnb",
    "import numba": "import numba",
    "info": "import imfnb; imfnb.info(sys.argv[1])",
    "decode, main": "import imfnb; imfnb.imread(sys.argv[1])",
    "decode, baseline": "import imfnb; imfnb.imread(sys.argv[2])",
    "encode, main": "import imfnb; imfnb.encode(numpy.load(sys.argv[3]))",
    "encode, baseline": "import imfnb; imfnb.encode(numpy.load(sys.argv[3]), profile='baseline')",
}


END = "\nimport time; print(time.monotonic(), time.process_time())"


def seconds(code: str, arguments: list[str]) -> tuple[float, float]:
    """Clock and processor of one process until its work is done."""
    start = time.monotonic()
    command = [sys.executable, "-c", START + code + END, *arguments]
    done, used = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(done) - start, float(used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", help="default: scikit-image's photograph of an astronaut")
    parser.add_argument("--repeat", type=int, default=9, metavar="N")
    arguments = parser.parse_args()
    if arguments.picture is None:
        import skimage.data

        image = skimage.data.astronaut()
    else:
        image = read_picture(arguments.picture, srgb=True).pixels
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("main.imf", "baseline.imf", "picture.npy")]
        pathlib.Path(names[0]).write_bytes(imfnb.encode(image, bpp=0.5))
        pathlib.Path(names[1]).write_bytes(imfnb.encode(image, profile="baseline"))
        np.save(names[2], image)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in WORK}
        for turn in range(arguments.repeat + 1):
            for name, code in WORK.items():
                pair = seconds(code, names)
                if turn:
                    found[name].append(pair)
    least = {name: [min(column) for column in zip(*pairs, strict=True)] for name, pairs in found.items()}
    print(f"{'':18}{'clock, s':>10}{'processor':>11}{'more than numpy':>18}")
    for name, pair in least.items():
        more = [a - b for a, b in zip(pair, least["import numpy"], strict=True)]
        print(f"{name:18}{pair[0]:10.3f}{pair[1]:11.3f}{more[0]:10.3f}{more[1]:8.3f}")


if __name__ == "__main__":
    main()
