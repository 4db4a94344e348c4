"""The real-time network: albedo and shading tri-planes of a head, from one image of a camera.

The idea is the paper's ("Real-time 3D-aware Portrait Video Relighting", CVPR 2024), at a size for
two processor cores. `network` is the network, `runtime` runs it, `engine` is the camera filter.
"""
