"""Tolerances that several test files share, each with its reason."""

VIDEO_REENCODED_DB = 36.0
"""PSNR of a video's frames against themselves after one more lossy H.264 pass (crf 18); 4:2:0
chroma of small images costs most of it."""

JPEG_LEVEL = 3.0
"""Of 255, between the mean of a flat grey area and its mean after JPEG at quality 80."""

VP8_LEVEL = 8.0
"""Of 255, the same after two passes of VP8 at a pinned bitrate, with its limited-range YCbCr."""

SPHERE_PLACE = 0.12
"""Of the sphere's radius, between where a light's direction points and the middle of the brightest
twentieth of the pixels, which a sphere seen from one side cuts off."""

NO_OP_DB = 40.0
"""PSNR of the output against the input when the target lighting is the source lighting: a promise
of the README."""

LOBES = 0.03
"""Of the largest shading, for a light of about the width of one of the 162 directions' cells, whose
energy is moved to the middles of the cells; 0.018 was measured."""

ROUNDED = 0.01
"""Of a pixel of the crop: what float32 leaves of a least-squares fit with residual 0."""

DEVICE_COLOUR = 3.0
"""Of 255, mean error of a flat patch on its way camera, program, virtual camera, reader: 8-bit
Y'CbCr is rounded to four times, by OpenCV and by ffmpeg."""
