"""
Metadata
========

A profile, EXIF, a resolution and words travel with the pixels, and are read without decoding them.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image, ImageCms
from skimage import data

import imfnb

image = data.chelsea()
exif = Image.Exif()
exif[0x0110] = "A camera"  # its model
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# %%
# Their bytes count for ``size=`` and ``bpp=``: the file is no longer than what was asked for.

folder = Path(tempfile.mkdtemp())
size = imfnb.imwrite(
    folder / "chelsea.imf", image, size=12_000, icc_profile=profile, exif=exif, dpi=300, text={"Title": "Chelsea"}
)
print(size, "bytes")

# %%
# ``info`` and ``read_metadata`` read the header and the chunks, and no pixels.

print(imfnb.info(folder / "chelsea.imf")["metadata"])
print(imfnb.read_metadata(folder / "chelsea.imf"))

# %%
# They make a title and a size in inches.

metadata = imfnb.read_metadata(folder / "chelsea.imf")
height, width = image.shape[:2]
figure, axis = plt.subplots(figsize=(5, 3.6))
axis.imshow(imfnb.imread(folder / "chelsea.imf"))
axis.set_title(f"{metadata.text['Title']}, {width / metadata.dpi[0]:.1f} x {height / metadata.dpi[1]:.1f} inches")
axis.set_axis_off()
