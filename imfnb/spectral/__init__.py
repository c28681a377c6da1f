"""Spectral factorization stage: arrays of many bands <-> planes, X ~ U V^T with a pixel in each row of X.

    pixels x bands - offsets ~ 2^-shift (planes) V^T

V is small and integer and serves all pixels (`basis` chooses it); the columns of U are planes that the main profile
codes like others: each is lapped, cut into patches and factorized once more. So low rank pays twice, across bands and
within a plane.
"""
