"""Every tolerance of the tests, each with its reason."""

YCBCR_LEVELS = 2
"""Of 255, between a colour's BT.601 code and what a virtual camera is given: OpenCV's fixed-point
matrix rounds, and RGB primaries are not whole numbers there."""

VIDEO_REENCODED_DB = 36.0
"""PSNR of a video's frames against themselves after one more lossy H.264 pass (crf 18); 4:2:0
chroma of small pictures costs most of it."""

JPEG_LEVEL = 3.0
"""Of 255, between the mean of a flat grey area and its mean after JPEG at quality 80."""

VP8_LEVEL = 8.0
"""Of 255, the same after two passes of VP8 at a pinned bitrate, with its limited-range YCbCr."""

DELAY_GROWTH_S = 0.15
"""A 60 ms engine behind a 30 fps camera: between the first and last quarter of 8 s the median age
of pictures may change by one frame in (33 ms), one out (60 ms) and a busy machine's share. A queue
would grow it by 2.5 s."""

JPEG_SAVED_AGAIN_DB = 38.0
"""PSNR of a JPEG picture saved once more at quality 95."""

STILL_MEMORY_MB = 2600
"""Resident memory of relighting one picture of 48 million pixels: 144 MB as 8-bit BGR, a few
copies of it, the program itself with its models (about 400 MB), and room for an engine's planes."""

SH_OF_SMALL_LIGHT = 0.02
"""Per component of a direction: an environment map's light of 2 pixels is 4 degrees wide."""

SH_OF_EVEN_LIGHT = 0.005
"""What pixels of a coarse map leave of the bands that an even light does not have."""

RECORDED_DB = 33.0
"""PSNR of a recording's frames: H.264 at crf 20 or VP9 at 30 with 4:2:0 chroma and the fast
conversion to YUV."""

MONTE_CARLO = 0.03
"""Largest deviation of 81 inner products estimated from 200,000 random directions: five standard
deviations."""

SPHERE_PLACE = 0.12
"""Of the sphere's radius, between where a light's direction points and the middle of the brightest
twentieth of the pixels, which a sphere seen from one side cuts off."""

SH_ORDER_2 = 0.06
"""Mean error of order-2 SH for a hard light on the visible half of a sphere (Ramamoorthi and
Hanrahan 2001 give 1% of energy over all directions; the ringing is at the terminator)."""

NO_OP_DB = 40.0
"""PSNR of the output against the input when the light asked for is the present one: a promise of
the README."""

LIGHT_ANGLE_DEG = 20.0
"""Between the light that shaded a face and the one estimated. A face shows half of all normals, and
the ridge that keeps the unseen half sane turns lights from the side further to the side."""

REPAINT = 0.035
"""Mean step between neighbours of the logarithm of output over input inside a face. 0.030 is the
slope of the light itself under the strongest preset; the mildest repaint, a median of 5 pixels
without any change of light, is at 0.045."""

FADE_LEVELS = 12.0
"""Of 255, the largest change of a face's mean from one frame to the next while light fades in or
out over a quarter of a second."""

LIGHT_CHANGE_LEVELS = 1.0
"""Of 255, mean difference to the settled picture in the first frame after a change of light."""

RECORDING_LOST_S = 3.0
"""Seconds at the end of a recording that may be lost with the program: the 2 s from one keyframe
to the next and what the encoder looks ahead."""

NOISE_FLICKER = 0.0004
"""Median step from frame to frame of output over input, blurred over 31 pixels, on a still face
with noise of 3 levels: 0.0003 was measured; 0.0010 without the landmarks' filter, 0.0005 without
following the present light in time."""

BEARD_ANGLE_DEG = 6.0
"""By how much a beard over the lower face may turn the light that is read from it: 1.6 degrees were
measured, and 23 for plain least squares."""

PAPER = 1e-3
"""Relative error (of norms) of the paper's network against the released code's outputs in float32:
the order of sums differs, and some outputs are kept as float16."""

PAPER_KERNEL = 2e-5
"""Relative error of a rearranged convolution against the plain one, float32: 3e-6 was measured for
Winograd's transforms."""

SURFACE = 2e-3
"""Of the cube's side, between a sphere and its mesh from 48 cells a side."""

ROUNDED = 0.01
"""Of a pixel of the crop: what float32 leaves of a least-squares fit with residual 0."""

CROP_PLACE = 32.0
"""Of 512 pixels, between where a face's five points land and where a standard face's would: a
nose sinks by 27 when its head is lowered by the demo's 17 degrees."""

POSE_DEG = 2.0
"""Of a head's turn from landmarks with noise of 1.5 pixels on a face 360 pixels high: 0.6 degrees
were measured."""
