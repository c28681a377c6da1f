"""Colour stage: images <-> planes.

Images are a stack of shape (B, H, W, C), uint8. Their planes are stacks of shape (B, H, W): Y, Cb, Cr for colour (Cb
and Cr of half the size with 4:2:0 subsampling), R, G, B where no conversion is wanted, or gray; an alpha plane comes
last::

    (Y, Cb, Cr) = M (R, G, B) + (0, 128, 128)        M is that of JPEG (ITU-R BT.601, full range), see
`matrix` and `format.color`

The baseline profile rounds Y, Cb and Cr to uint8. The main profile keeps them in *q4*: centred samples with four
fractional bits as int32, ``16 * sample - 2048`` for luma, gray and alpha, and ``16 * (sample - 128)`` for chroma. All
arithmetic is fixed point, so every backend gives the same bits.
"""
