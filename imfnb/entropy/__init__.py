"""Entropy stage: factors <-> bytes, lossless."""
