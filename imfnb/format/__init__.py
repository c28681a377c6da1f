"""The format of .imf files: every number and rule that a decoder depends on, and nothing that an encoder may choose.

``FORMAT.md`` beside this file describes it completely. Nothing in here imports anything of the encoder.
"""
