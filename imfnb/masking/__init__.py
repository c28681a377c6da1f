"""Masking stage: luma -> how much error the eye overlooks, as a symbol for every block of a picture.

What is active hides errors: structural similarity divides an error by the local variance plus a constant, and with a
squared error that is divided so, the best step of a patch grows with the activity around it. The activity of a block is
the harmonic mean of variance plus OFFSET over its cells of 4 x 4 samples, each with its neighbours: a block with a flat
part counts as flat, since errors show there. A symbol is a step relative to the picture's
(:data:`imfnb.format.masking.FACTORS`) that grows with the activity's power of `tuning.SLOPE`.

`reference`, `cpu` and `cuda` have the stage; its numbers are the encoder's (`tuning`), what symbols mean is `format`'s.
"""

from __future__ import annotations
