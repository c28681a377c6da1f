"""Fill stage: samples -> samples, where some may have any value a smooth continuation of the others.

What a decoder replaces or nobody sees then costs next to nothing. Means of the known samples of 2 x 2 pixels, 4 x 4 and
so on, up to where all are known, are interpolated on the way back. All integers, so that all backends give the same.
"""
