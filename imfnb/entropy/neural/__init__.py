"""The coder of U on a trellis: fewer bytes than that of `imfnb.entropy`, for two to three times the time.

Most of what neighbours tell is told by a small network of integers per symbol; seven contexts, which adapt to the
picture, and two mixers of different weights correct it. It codes the indices k of section 9.3 of FORMAT.md and knows
the states of the trellis; callers give and get U.
"""
