"""The profiles: each is a module with its pipeline from image to bytes and back, written once for every runner.

A profile offers

- ``STACK_TARGETS``: targets that a stack of images can be encoded for; the others need a search for each image;
- ``encode_image(image, frame, options, run)``: the file of one image for any target; an OptionError if the options do
  not fit the image or nothing meets the target;
- ``encode_stack(images, frame, options, run)``: a task that returns a future of bytes for each of some equal-shaped
  images, for the targets in ``STACK_TARGETS``;
- ``stack_key(container)``: what files must have in common to be decoded together; None if each is decoded alone;
- ``decode_stack(containers, outs, max_rank, run, reduce=1)``: a task that fills ``outs`` with the images of files of
  one key, on the CPU of one file, from the first ``max_rank`` components if that is not None, so many times smaller; a
  FormatError if one is damaged;
- ``components(container)``: the profile's part of :func:`imfnb.info` with `components`; `summary` has the rest.

Images and ``outs`` are arrays of shape (H, W, C), C-contiguous, of uint8 but for arrays; ``frame`` is their
description, ``options`` are validated, and ``run`` is where to work. What more a function takes is for studies.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

from ..format import baseline_header, main_header
from ..format.container import Frame, Parsers

__all__ = ["PARSERS", "pipeline"]

#: What reads the header fields of each profile in each version; see :func:`imfnb.format.container.unpack`.
PARSERS: Parsers = {
    ("baseline", 1): baseline_header.parse,
    ("baseline", 2): baseline_header.parse,
    ("main", 1): main_header.parse_v1,
    ("main", 2): main_header.parse_v2,
}


def pipeline(frame: Frame) -> ModuleType:
    """The module of the profile of an image; arrays that are no pictures of 8 bits have one of their own."""
    return _module(frame.profile if frame.array is None else "arrays")


@cache
def _module(name: str) -> ModuleType:
    """A module of this package, by its name."""
    return importlib.import_module(f".{name}", __name__)
