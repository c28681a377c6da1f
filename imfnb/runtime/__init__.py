"""Where pipelines run: memory, threads, streams, and which kernels.

A pipeline (see `imfnb.profiles`) is written once, as a *task*: a generator that calls the kernels of the stages and
yields wherever it has to wait for its device or for work on the host. `run.Run` is all that it knows of where it runs;
`run.HostRun` runs one image on threads of the CPU, `device.DeviceRun` a stack of images on a stream of the GPU.
"""
