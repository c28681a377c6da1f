"""asv suite: ``asv run --python=same --quick``.

Every benchmark has the backend as a parameter, so that the compiled kernels and the NumPy reference are timed in one
run; kernels on the GPU, whose data stay there, are timed by CUDA's events. Where a backend is missing or a size would
take minutes in plain NumPy, the benchmark is skipped.
"""
