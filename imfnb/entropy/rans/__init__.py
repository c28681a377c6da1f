"""The coder of U whose symbols are decoded in parallel lanes: static networks, tables and asymmetric numeral systems.

`passes` has what the networks see, `model` their numbers as the kernels want them; `cuda_stack` decodes the segments of
many planes by one launch of the GPU.
"""
