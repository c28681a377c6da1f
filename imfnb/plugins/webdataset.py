"""Samples of webdataset: ``dataset.decode(imfnb.plugins.webdataset.decoder)`` makes arrays of .imf files in shards."""

from __future__ import annotations

import numpy as np

from ..codec import decode

__all__ = ["decoder"]


def decoder(key: str, data: bytes) -> np.ndarray | None:
    """Decode the .imf files among the fields of a sample, on one thread: data loaders have processes.

    Parameters
    ----------
    key : str
        The extension of the field with the dots before and in it, such as ".imf" or ".left.imf".
    data : bytes
        The contents of the field.

    Returns
    -------
    ndarray or None
        The image; None for fields of other extensions, which webdataset then offers to other handlers.

    Raises
    ------
    FormatError
        If it is not a valid .imf file.

    See Also
    --------
    imfnb.decode : The same for the contents of a file.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> decoder(".imf", imfnb.encode(np.zeros((4, 5), np.uint8))).shape
    (4, 5)
    >>> decoder(".json", b"{}") is None
    True
    """
    return decode(data, device="cpu", threads=1) if key.lower().endswith(".imf") else None
