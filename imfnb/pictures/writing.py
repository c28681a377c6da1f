"""Writing of other image formats."""

from __future__ import annotations

import io

import numpy as np

from ..errors import OptionError

__all__ = ["write_picture"]


def write_picture(image: np.ndarray, suffix: str) -> bytes:
    """Code an image in another format.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image.
    suffix : str
        File name extension with its dot, such as ".png".

    Returns
    -------
    bytes
        The file's contents.

    Raises
    ------
    OptionError
        If Pillow has no writer for the extension, or not for this kind of image.
    """
    from PIL import Image

    extensions = Image.registered_extensions()
    name = extensions.get(suffix.lower())
    if name not in Image.SAVE:
        raise OptionError(f"no image format is known for the extension {suffix!r}; use .png, .tif, .webp or .jpg")
    buffer = io.BytesIO()
    try:
        Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image).save(buffer, name)
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(f"the format {name} cannot hold this image: {error}; use .png") from None
    return buffer.getvalue()
