"""Turns a head in the frame, with the frame's own pixels.

The volume is rendered as a camera to the side or above would see it; each place of that rendering
is a point of the head, and where the point lies in the frame is where its colour is taken from.
What was hidden there is filled from the volume. The turn fades towards the head's outline, the body
and the edges of crop and frame, so that the background and the rest of the person stay in place.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vcam_relight.pipeline.compositing.displace import Displacement, enlarged
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, Map
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.window import Window
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.pool import Pooled
from vcam_relight.pipeline.engines.triplane.head_estimate import HeadEstimate
from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork, Volume
from vcam_relight.pipeline.engines.triplane.novel_view import NovelView
from vcam_relight.pipeline.engines.triplane.runtime.cuda_view import CudaView
from vcam_relight.pipeline.engines.triplane.runtime.runtime import Planes
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.space import HeadPose

_GRID = 128
"""Side of the field of displacements over the crop."""


@dataclass(frozen=True, slots=True)
class ViewWarpParams:
    """Where a head turns, and where it stays; cells are those of the field, dm are decimetres."""

    smooth: float = 1.0
    """Cells, sigma, of depth and displacement: a finer grid than the volume's tells nothing."""
    ramp: float = 3.0
    ramp_growth: float = 0.25
    """Cells, sigma, of the ramp along the outline, and how much it widens per degree: a
    displacement that fades within less than its own length would fold the image."""
    still: float = 0.3
    full: float = 0.7
    """Values of the blurred mask up to which nothing moves and from which all does: where the
    ground truth is met best."""
    skull: float = 0.2
    """Added to both at the top of the head: turning about its middle, a skull keeps its outline
    where a jaw does not."""
    brows: float = 0.2
    crown: float = 1.0
    """dm above the head's origin between which the jaw's outline becomes the skull's."""
    body: float = -1.65
    neck: float = -0.95
    """dm above the head's origin between which the turn grows from none to all."""
    top: tuple[float, float] = (1.5, 1.75)
    aside: tuple[float, float] = (1.3, 1.75)
    """dm of the crop within which it fades again, above and to the sides."""
    edge: float = 0.4
    """dm from the frame's edge within which it fades, as nothing is known beyond."""
    visible: float = 0.12
    hidden: float = 0.35
    """dm behind the surface that the frame shows, up to which a point counts as visible and from
    which as hidden: the volume's own depth is off by less than the first."""
    inner: tuple[float, float] = (0.2, 0.6)
    """Share of the turn from which and up to which fillings appear: beside the outline they would
    be blurs on the background."""
    faint: float = 0.02
    """Alpha of a filling that nobody sees."""
    colour: float = 6.0
    """Cells, sigma, of the neighbourhood whose colour the filling takes."""


_PARAMS = ViewWarpParams()


@dataclass(frozen=True, slots=True)
class RenderedVolume:
    """What the volume shows of a head in one pose, `(n, n)` over the crop."""

    depth: Map
    """dm from the head's origin towards the camera."""
    opacity: Map
    """0..1."""

    @staticmethod
    def of(volume: Volume) -> "RenderedVolume":
        """What the network rendered, a batch of one."""
        return RenderedVolume(volume.depth[0, 0].numpy(), volume.opacity[0, 0].numpy())


class ViewSynthesizer:
    """Shows the heads of a stream from elsewhere, by the network's volume."""

    def __init__(self, network: TriplaneNetwork, card: Card | None = None) -> None:
        """Takes the network, and the card that its planes lie on, if any."""
        self._network, self._card = network, card
        self._on_card: CudaView | None = None

    @torch.inference_mode()
    def turn(
        self,
        size: tuple[int, int],
        crop: HeadCrop,
        pose: HeadPose,
        estimate: HeadEstimate,
        yaw: float,
        pitch: float,
    ) -> "ViewWarp | None":
        """How a frame changes as one head turns; None where nothing does.

        Args:
            size: height and width of the frame.
            crop: of the head.
            pose: of the head in the crop.
            estimate: what is known of the head.
            yaw: degrees, see `NovelView.of`.
            pitch: likewise.
        """
        view = NovelView.of(pose, yaw, pitch)
        if view is None:
            return None
        novel = self._rendered(estimate.planes, view.pose)
        albedo_bgr = self._network.head.albedo_of(novel)[0].flip(0).permute(1, 2, 0)
        return ViewWarp.of(
            size,
            crop,
            view,
            RenderedVolume.of(estimate.volume),
            RenderedVolume.of(novel),
            torch.sigmoid(estimate.maps.mask)[0, 0].numpy(),
            np.ascontiguousarray(albedo_bgr.numpy()),
        )

    def _rendered(self, planes: Planes, pose: HeadPose) -> Volume:
        if self._card is None or not isinstance(planes, Pooled):
            volume: Volume = self._network.renderer(planes, None, pose)
            return volume
        if self._on_card is None:  # when it is needed: most streams turn nobody
            self._on_card = CudaView(self._network, self._card)
        return self._on_card.render(planes, pose)


@dataclass(frozen=True, slots=True)
class ViewWarp:
    """How a frame changes to show a head from elsewhere."""

    displacement: Displacement
    """Where its pixels come from."""
    crop: HeadCrop
    hidden: Map
    """`(128, 128)` 0..1, what the frame does not show: to be filled."""
    opaque: Map
    """`(128, 128)` 0..1."""
    behind: Map
    """`(128, 128)` dm behind the surface that the frame shows."""
    colour: FloatArray
    """As of `of`."""

    @staticmethod
    def of(
        size: tuple[int, int],
        crop: HeadCrop,
        view: NovelView,
        source: RenderedVolume,
        novel: RenderedVolume,
        mask: Map,
        colour: FloatArray,
    ) -> "ViewWarp | None":
        """Of a view of a head; None where nothing of it lies in the frame.

        Args:
            size: height and width of the frame.
            crop: of the head; the maps below are of its square.
            view: how the head is turned.
            source: the volume in the frame's pose.
            novel: the volume in the view's pose.
            mask: `(128, 128)` 0..1, the person's in the frame.
            colour: `(n, n, 3)` BGR linear light of the volume in the view's pose, in any exposure
                and white balance, of which the filling takes the pattern: lit or albedo alone.
        """
        surface = _surface(novel, _PARAMS.ramp + _PARAMS.ramp_growth * view.degrees) + np.float32(
            view.nearer
        )
        there, here = view.points(surface)
        opaque = resize(novel.opacity, (_GRID, _GRID))
        fade = _fade(size, crop, view, np.maximum(mask, opaque), there)
        flow = (here - there)[..., :2] * fade[..., None]  # dm
        cells = float(view.source.scale[0]) * (_GRID / 2)
        flow = _blur(flow, _PARAMS.smooth) * np.array([cells, -cells], np.float32)
        behind = _sampled(_surface(source, _PARAMS.smooth), flow) - here[..., 2]
        hidden = (
            smoothstep(_PARAMS.visible, _PARAMS.hidden, behind)
            * smoothstep(0.5, 0.9, opaque)
            * smoothstep(*_PARAMS.inner, fade)
        )
        window = _window(size, crop, fade)
        if window is None:
            return None
        field = flow * np.float32(crop.side / _GRID)
        displacement = Displacement(field, crop.middle, crop.side, window)
        return ViewWarp(displacement, crop, hidden, opaque, behind, colour)

    def fill(self, moved: BgrImage) -> None:
        """Paints what was hidden, where the displacement moved a frame `(H, W, 3)`, in place.

        The volume's colours are toned as what is seen around them.
        """
        crop, alpha = self.crop, _blur(self.hidden, _PARAMS.smooth)
        shown = np.where(alpha > _PARAMS.faint, alpha, np.float32(0))
        window = _window(moved.shape[:2], crop, shown)
        if window is None:
            return
        # The tone is smooth: a fourth of the grid is fine enough for it.
        small = (_GRID // 4, _GRID // 4)
        around = np.square(crop.cut(moved, small[0]) * np.float32(1 / 255))  # nearly linear light
        visible = smoothstep(_PARAMS.visible, 0, self.behind) * smoothstep(0.8, 1, self.opaque)
        # Far from all that is seen, the mean tone.
        sure = resize(visible, small)[..., None] + np.float32(1e-4)
        tone = _blur(around * sure, _PARAMS.colour / 4)
        tone /= _blur(resize(self.colour, small) * sure, _PARAMS.colour / 4) + np.float32(1e-6)
        pattern, tone = resize(self.colour, (_GRID, _GRID)), resize(tone, (_GRID, _GRID))
        painted = np.sqrt(np.clip(pattern * tone, 0, 1)) * 255
        alpha = enlarged(alpha, crop.middle, crop.side, window)
        layer = enlarged(painted.astype(np.uint8), crop.middle, crop.side, window)
        part = moved[window.slices]
        part[...] = cv2.blendLinear(part, layer, 1 - alpha, alpha)


def _surface(rendered: RenderedVolume, reach: float) -> Map:
    """`(128, 128)` smooth depth, carried on beyond the outline by about `reach` cells."""
    size = (_GRID, _GRID)
    depth, opacity = resize(rendered.depth, size), resize(rendered.opacity, size)
    sure = smoothstep(0.5, 0.95, opacity)

    def mean(sigma: float) -> Map:
        return _blur(depth * sure, sigma) / (_blur(sure, sigma) + np.float32(1e-4))

    return np.where(sure > 0.5, mean(_PARAMS.smooth), mean(reach))


def _fade(
    size: tuple[int, int], crop: HeadCrop, view: NovelView, mask: Map, points: FloatArray
) -> Map:
    """`(128, 128)` 0..1, how much of the turn is shown where.

    Args:
        size: of the frame, height and width.
        crop: as of `ViewWarp.of`.
        view: likewise.
        mask: `(128, 128)` 0..1 where the person is, or comes to be.
        points: `(128, 128, 3)` in the axes of the view.
    """
    x, y = points[0, :, 0], points[:, 0, 1]
    skull = _PARAMS.skull * smoothstep(_PARAMS.brows, _PARAMS.crown, y)[:, None]
    head = _blur(mask, _PARAMS.ramp + _PARAMS.ramp_growth * view.degrees)
    head = smoothstep(_PARAMS.still, _PARAMS.full, head - skull)
    scale = crop.side * float(view.source.scale[0]) / 2  # pixels of the frame per dm
    place = (np.arange(_GRID) + 0.5 - _GRID / 2) * (crop.side / _GRID)

    def inside(middle: float, pixels: int) -> FloatArray:
        edge = np.minimum(middle + place, pixels - middle - place) / scale
        return smoothstep(0, _PARAMS.edge, edge)

    rows = smoothstep(_PARAMS.body, _PARAMS.neck, y) * smoothstep(_PARAMS.top[1], _PARAMS.top[0], y)
    columns = smoothstep(_PARAMS.aside[1], _PARAMS.aside[0], np.abs(x))
    rows = rows * inside(crop.middle[1], size[0])
    columns = columns * inside(crop.middle[0], size[1])
    return head * np.outer(rows, columns)


def _window(size: tuple[int, int], crop: HeadCrop, fade: Map) -> Window | None:
    """The part of the frame that moves."""
    margin = 4  # cells that blurring and interpolation may reach
    spans = []
    for axis, pixels in ((1, size[1]), (0, size[0])):
        cells = np.flatnonzero(fade.max(axis=1 - axis) > 0)
        if not len(cells):
            return None
        corner, scale = crop.middle[1 - axis] - crop.side / 2, crop.side / _GRID
        low = math.floor(corner + max(int(cells[0]) - margin, 0) * scale)
        high = math.ceil(corner + min(int(cells[-1]) + 1 + margin, _GRID) * scale)
        spans.append((max(low, 0), min(high, pixels)))
    (left, right), (top, bottom) = spans
    return Window(left, top, right, bottom) if left < right and top < bottom else None


def _sampled(values: Map, flow: FloatArray) -> Map:
    """The values `flow` cells further right and down."""
    y, x = np.mgrid[:_GRID, :_GRID].astype(np.float32)
    taken = cv2.remap(
        values, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(taken, np.float32)


def _blur(values: FloatArray, sigma: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
