"""The choice of U by dependent quantization: a Viterbi search along the components of every patch.

U is held as indices k (see :mod:`imfnb.format.dependent`) until the last choice is made. A sweep is that of plain
RDOQ, with prices that depend on the class of the state as well, and with a search of the cheapest path through the
states in place of choices of single entries.
"""
