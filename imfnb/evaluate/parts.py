"""Parts of the codec switched off, for studies only.

Nobody would want to live without these parts, so :func:`imfnb.encode` has no options for them. A study encodes and
decodes with a runner of its own (see `imfnb.runtime.run`), which gives the pipelines other functions for some stages,
and with other :class:`imfnb.profiles.main.Parts`. A file made so can only be decoded in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .. import codec
from ..baselines import Codec
from ..baselines.imf import LEVELS
from ..entropy import states
from ..entropy.deflate import decode_columns, encode_columns
from ..entropy.layout import active_ranks, pad_factors, unpad_factors
from ..errors import OptionError
from ..factorization import rdoq
from ..format.bytestream import Reader
from ..options import EncodeOptions
from ..patches import from_blocks
from ..profiles import main
from ..runtime.run import HostRun, Run, Task

__all__ = ["PARTS", "without"]
