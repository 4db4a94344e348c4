"""CUDA without a toolkit: the driver's API by ctypes, kernels compiled by NVRTC, or emulated."""
