"""Pictures of all kinds as arrays: files in other formats through Pillow (which comes with imageio), rasters, objects.

`read_picture` takes a file through these rooms: `surveys` reads what it says beside its pixels and refuses what would
be lost, `plugins` lets Pillow decode it without touching what belongs to the whole process, `color` makes of Pillow's
modes and colour profiles what is shown. What Pillow would cut is read by others as it is stored: `geotiff` (through
tifffile), `deep` (PNG of 16 bits, Netpbm) and `arrayfiles` (NumPy's), for which `rasters` says what is taken.
`formats` names files that cannot be read, `arrays` makes arrays of objects that are more than that, `writing` writes
other formats.
"""

from __future__ import annotations

from .reading import Picture, read_picture
from .writing import fits_png, write_picture

__all__ = ["SUFFIXES", "Picture", "fits_png", "read_picture", "write_picture"]

#: What of a folder is taken for a picture.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".qoi", ".heic", ".heif", ".jxl"),
    *(".pfm", ".npy", ".npz"),
)
