"""The real-time network: albedo and shading tri-planes of a head, from one camera picture.

The idea is the paper's ("Real-time 3D-aware Portrait Video Relighting", CVPR 2024), at a size for
two processor cores: `network` ties `encoder`, `planes`, `temporal` and `renderer` together, `head`
says what is true of the picture's own pixels, `engine` is the camera filter.
"""
