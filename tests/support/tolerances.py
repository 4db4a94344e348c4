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

REPAINT = 0.012
"""Mean difference of the logarithm of output over input inside a face to its own mean over 3 x 3
pixels. The light itself has 0.0095 under the strongest preset; the mildest repaints, medians of 3
and 5 pixels without any change of light, have 0.0133 and 0.0169."""

LIGHT_SHOWN_DEG = 8.0
"""Between a light and what a matte face under it shows of it, given its albedo and normals: 4.1 was
measured. A ridge holds what a face's normals do not tell."""

BESIDE_DB = 52.0
"""PSNR of the background next to rendered people against the input: 59.7 was measured, 60 being the
most that is counted, and 42 while masks were as soft as their filter makes them."""

FADE_LEVELS = 12.0
"""Of 255, the largest change of a face's mean from one frame to the next while light fades in or
out over a quarter of a second."""

LIGHT_CHANGE_LEVELS = 1.0
"""Of 255, mean difference to the settled picture in the second frame after a change of light."""
LIGHT_CHANGE_FIRST_LEVELS = 2.0
"""The same in the first frame, in which the network's cast shadows are still the old light's."""

RECORDING_LOST_S = 3.0
"""Seconds at the end of a recording that may be lost with the program: the 2 s from one keyframe
to the next and what the encoder looks ahead."""

NOISE_FLICKER = 0.0018
"""Median step from frame to frame of output over input, blurred over 31 pixels, over its standard
deviation, on a still face with noise of 3 levels: 0.0012 (triplane) and 0.0015 (geometry) were
measured; geometry has 0.0026 without following the present light in time."""

BEARD_ANGLE_DEG = 6.0
"""By how much a beard over the lower face may turn the light that is read from it: 1.6 degrees were
measured, and 23 for plain least squares."""

HALF_FLOAT = 0.002
"""Of values up to 1, after drawing: samples are kept in half floats (11 bits), albedo in 8-bit
sRGB."""

LAMBERT_SH = 0.01
"""Issue 3: light in SH, light transport over 162 directions and Lambert's cosine agree on a sphere
within 1% of the largest shading. A dome's edge falls between the map's pixels (0.4%) and the
directions' cells (0.8%)."""

LOBES = 0.03
"""Of the largest shading, for a light of about the width of one of the 162 directions' cells, whose
energy is moved to the middles of the cells; 0.018 was measured."""

NORMAL_OF_DEPTH_DEG = 0.5
"""Mean angle between drawn normals and those of finite differences of depth, on a sphere of 72
pixels and 96 by 48 faces: facets and curvature over two pixels; 0.22 was measured."""

PROJECTED_PX = 0.05
"""Between a drawn ball's centre of mass and its projected centre: perspective swells the far side
of a ball beside the axis. 0.02 was measured."""

SHADOW_PX = 1.5
"""Between a shadow's middle and where geometry puts it: the wall's vertices are 1.7 pixels apart,
and the light stands in the cells of the directions nearest to it."""

SPLIT_SUM = 0.12
"""Of the mean gloss: the split sum takes the lobe as round (Karis 2013), light moves into cells;
10% was measured under a light of 15 degrees."""

MIXED_TRANSFER = 0.01
"""Of pi: 8-bit shares are rounded once more, and bounces multiply."""

ITA_DEG = 0.5
"""Typology angle of a painted skin against the one asked for: solved in linear light, stored in
8 bits, whose step is up to 0.6 degrees in one pixel of dark skin but averages out."""

BEARD_SPILL = 0.03
"""Of the luminance off a beard's regions: texels there are untouched, lips take its faint edge."""

SEAM_CODES = 4.0
"""8-bit codes between both sides of a texture seam, for 95 of 100 of its vertices (2.4 was
measured): the islands show the same place with texels of different size, and skin is dithered by
one code."""

FRAME_TOUCH_DM = 0.02
"""How far spectacle frames may press into the skin at the temples: 2 mm, skin gives."""

BAKED_SHADING = 0.1
"""Of the luminance beside the nose against that of the cheeks, 0.6 to 0.76 in the photographs:
creases finer than the mesh's faces stay, for they are also where wrinkles and pores are."""

STEADY_GAIN_FLICKER = 0.08
"""Between 1 and the flicker, out over in, of a constant gain (0.03 was measured): sRGB's curve is
no power, and 8 bits are rounded again."""

GEOMETRY_FLICKER = 0.25
"""The same for the geometry engine on the demo clip (0.13 was measured): landmarks move a
little."""

SAME_IDENTITY = 0.985
"""Cosine of dlib's embeddings: 0.996 was measured between one face under two lights, 0.973 between
a face and the same one widened by 40%, 0.85 between different people."""

GAIN_UNDONE = 0.03
"""Of the mean linear colour of a webcam picture after its reported gains are undone: highlights
clip, noise around black is cut off, and 8 bits are rounded."""

OCCLUDED_LEVELS = 1
"""Of 255, by which a picture may change where nothing is in front: the blur's tail."""

SCREEN_ENERGY = 0.7
"""Least share of a screen's irradiance on normals of the front half: it is 45 degrees wide and may
stand 30 degrees aside, and a normal receives from 90 degrees around."""

HALF_FLOATS = 0.002
"""Of the brightest pixel: picture, albedo, shading and highlights are rounded to half floats, whose
step is 1/2048 of a value, each on its own."""

FLOW_DB = 30.0
"""PSNR of albedo warped bilinearly to another frame or view, encoded; texture finer than the pixels
(hair, beards, patterned cloth) is sampled anew there."""

NOVEL_NORMAL_DEG = 3.0
"""Median angle between a surface's normals in two views, rounded to half floats and sampled at
pixels of other sizes."""

LANDMARK_PX = 4.5
"""Mean distance, in pixels of 256, of MediaPipe's landmarks from those that come with a picture: it
finds 2 to 3 on people of its own kind of picture, and its own noise is part of that."""

RENDERERS_DB = 30.0
"""PSNR on the person, encoded, of the rasterizer against mitsuba under soft light: 32 to 34 were
measured at 128 pixels; silhouettes, hair's edges and what 162 directions blur are left."""

RENDERERS_ALBEDO = 0.01
"""Mean difference of linear albedo between the two renderers: textures are filtered otherwise."""

OLAT_DB = 35.0
"""PSNR on the person, linear, of sums of single lights against mitsuba's own path tracer, which is
noisy and also follows light that is mirrored before it is scattered (1% of it)."""

LOBES_DB = 25.0
"""PSNR on the person, encoded, of 64 lights for a soft lamp against the lamp itself: a shadow's
edge comes in as many steps as there are lights, and the lamp's picture is noisy."""

TRUTH_LIGHT_DEG = 25.0
"""Between a light's dominant direction and that of SH fitted to shading on the visible half of
normals, which leaves cast shadows and highlights in."""

TRUTH_STORED_DB = 45.0
"""PSNR on the person of lightings of a stored one-light-at-a-time set against the rendered one."""

HEAD_STEP_DEG = 1.2
"""Degrees that a head turns from one frame to the next at 30 frames a second, 36 a second (0.83 was
measured): people who look around in a meeting; a cut or a jump would be more."""

FACE_STEP = 0.3
"""Of a face unit's range from one frame to the next (0.20 was measured): a syllable opens the mouth
within some 80 ms."""

# Lids that shut leave this share of the eyeball's radius at most: a step of the grid it is tried
# on, which the lashes cover.
SHUT_RADII = 0.05

# Hair and brows may dip below the finely sampled skin by this much in dm between the points that
# they were lifted off (0.5 mm).
SUNKEN_DM = 0.005

# Largest way of a vertex of the skin between two frames at 30 fps: a fast turn of the head moves
# the nose by 2 m/s at most; blinking lids are slower.
FRAME_STEP_DM = 0.6

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

MIRRORED = 1e-5
"""Of a pose or a map in a mirror: rounding of float32, 2e-6 measured."""

LIFTED_DM = 0.1
"""Median, between a surface's depth in two views of a head: 0.03 measured, 0.15 to 0.25 with a view
turned the wrong way. Heads are taken to be seen without perspective."""

LIFTED_ALBEDO = 0.05
"""Median, between its albedo in both: 0.02 measured where textures are fine."""

NETWORK_KERNELS = 5e-5
"""Absolute and relative, of the tri-plane network's outputs in float32 between torch, its kernels
and ONNX Runtime: sums are taken in other orders; 2e-6 was measured."""

VIEW_GAIN = 30.0
"""dB by which a turned ellipsoid's face is nearer to what the camera would see there than the frame
is: 36 to 39 measured with the true depth; a pivot 3 mm off leaves 27,
a turn half a degree too far 22."""

VIEW_REACH = 1.25
"""Of an ellipsoid's radii, within which its turn may move pixels: 1.18 measured at the limits,
14 mm beside a temple."""

VIEW_STEP = 3
"""Of 255, between neighbouring pixels of a turned slope of 0.5 a pixel: 2 measured, with rounding
less than threefold stretching; a tear is tens."""

VIEW_EDGE = 0.1
"""Of 255, mean change of the row where the frame cuts off a turned head: 0.013 measured."""

TRIPLANE_GAIN_DB = 0.3
"""By how much the network must beat the geometry engine on a few rendered people, PSNR: half of
what the whole truth shows, as few cases scatter."""

DEVICE_COLOUR = 3.0
"""Of 255, mean error of a flat patch on its way camera, program, virtual camera, reader: 8-bit
Y'CbCr is rounded to four times, by OpenCV and by ffmpeg."""

GUEST_FPS = 25.0
"""At 640x480 with a face in the picture, from a camera of 30 fps, on the guest's one core."""

GUEST_GROWTH = 8 * 2**20
"""Bytes, of the program's memory over fifteen readers: a leaked picture of 640x480 each would be
14 MB; malloc's arenas settle within a few."""

LIGHT_IN_PICTURE_DEG = 30.0
"""Median, between where in the picture's plane DPR sees a strong light and where it is: 16 measured
over all rendered people. One flipped or swapped axis makes it 90 or more."""
