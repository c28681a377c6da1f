"""Show what the factors of a photograph look like: the columns of U as small images, the columns of V as patches.

    python examples/factor_maps.py [PICTURE] [-o factor_maps.png] [--rank 6]

This is the picture of the paper's Figure 2; ``imfnb bench factor-maps`` is the same study as a command. Needs
matplotlib (pip install "imfnb[eval]").
"""

from __future__ import annotations

import argparse
from pathlib import Path

from imfnb.evaluate import factor_maps
from imfnb.evaluate.data import pictures


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", default="coffee", help="any picture; default: scikit-image's coffee cup")
    parser.add_argument("-o", "--output", default="factor_maps.png", help="where the figure goes, .png, .svg or .pdf")
    parser.add_argument("--rank", type=int, default=6, help="number of components to show")
    arguments = parser.parse_args()
    folder = Path(arguments.output).parent
    outcome = factor_maps.run(
        pictures(arguments.picture)[0], rank=arguments.rank, output=folder, figure=arguments.output
    )
    print(outcome.table)
    for path in outcome.files:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
