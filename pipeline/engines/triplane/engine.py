"""The default engine: the tri-plane network on each head, the frame's own pixels relit."""

from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch

from vcam_relight.pipeline.compositing.apply import make_applier
from vcam_relight.pipeline.compositing.background import wall_gain
from vcam_relight.pipeline.compositing.base import LightRequest
from vcam_relight.pipeline.compositing.face_exposure import FaceExposure
from vcam_relight.pipeline.compositing.gain import soft_limit
from vcam_relight.pipeline.compositing.portrait import MAP_SIDE, Portrait
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import luminance
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, GrayImage, RgbGain
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.engines.triplane.gain import HeadGain, gain_maker
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadEstimate,
    HeadObservation,
    LightOfGain,
    ShadingAmounts,
)
from vcam_relight.pipeline.engines.triplane.head_light import HeadLight
from vcam_relight.pipeline.engines.triplane.inference import InferenceWorker
from vcam_relight.pipeline.engines.triplane.network.model import INPUT, OUTPUT, TriplaneNetwork
from vcam_relight.pipeline.engines.triplane.network.refiner import Refiner
from vcam_relight.pipeline.engines.triplane.portrait import portrait_of
from vcam_relight.pipeline.engines.triplane.runtime.threads import torch_threads
from vcam_relight.pipeline.engines.triplane.scheduler import (
    HeadSchedule,
    ScheduleParams,
    is_turn,
    select_heads,
)
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowEstimator
from vcam_relight.pipeline.engines.triplane.trust import (
    blend,
    lighting_without_color,
    person_trust,
    pose_trust,
    without_color,
)
from vcam_relight.pipeline.engines.triplane.view_synthesis import ViewSynthesizer, ViewWarp
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.head.body_normals import body_normals
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.pose import HeadFinder, pose_in_crop
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.color_trust import color_trust
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.shading import log_ratio
from vcam_relight.pipeline.lighting.target import blend_ambient

_COLOR_STEPS = 10
_FEATHER = 0.12
"""Of the crop's side: within so much of its edges the network's gain fades into the body's."""


class TriplaneEngine:
    """Ratio relighting by the network's normals, albedo and shading, and views by its depth."""

    name = "triplane"
    needs_faces = True

    def __init__(
        self, network: TriplaneNetwork, refiner: Refiner | None, card: Card | None = None
    ) -> None:
        """Takes networks with weights.

        Args:
            network: not to be trained any more.
            refiner: what corrects its gains; None: nothing does.
            card: that does the work on pixels; None: the CPU does.

        Raises:
            CudaError: the card cannot be used.
        """
        self._network, self._refiner, self.card = network, refiner, card
        self.runs_on = "CPU" if card is None else f"CUDA, {card.name}"
        self._worker = InferenceWorker(network, refiner, card)

    def open_stream(self, timer: StageTimer) -> "TriplaneStream":
        """See `pipeline.engines.base.Engine`."""
        return TriplaneStream(self._network, self._refiner, self.card, self._worker, timer)

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`; of the largest face."""
        if not faces.faces:
            return None
        return self.open_stream(StageTimer()).source_lighting(FrameContext(frame, faces))

    def close(self) -> None:
        """Ends the network's thread."""
        self._worker.close()


@dataclass(frozen=True, slots=True)
class _HeadInFrame:
    """One head in the frame at hand."""

    face: Face
    crop: HeadCrop
    luma: GrayImage
    """`(n, n)` of the crop."""
    pose: HeadPose
    estimate: HeadEstimate
    trust: float
    """0..1, as of `pose_trust`."""


@dataclass(frozen=True, slots=True)
class _HeadTrack:
    """What goes on from frame to frame of one head."""

    schedule: HeadSchedule[HeadEstimate]
    gain: HeadGain


class TriplaneStream:
    """See `pipeline.engines.base.Stream`."""

    effort = FULL

    def __init__(
        self,
        network: TriplaneNetwork,
        refiner: Refiner | None,
        card: Card | None,
        worker: InferenceWorker,
        timer: StageTimer,
    ) -> None:
        self._make_gain = gain_maker(refiner, card)
        self._worker = worker
        self._timer = timer
        self._params = ScheduleParams()
        self._applier = make_applier(card, timer)
        self._adapter = LightAdapter()
        self._finder = HeadFinder()
        self._flow = FlowEstimator()
        self._views = ViewSynthesizer(network, card)
        self._tracks: dict[int, _HeadTrack] = {}
        """By `Face.track_id`, of the heads selected in the last frame, in order."""
        self._frames = 0
        self._shown: LightOfGain | None = None
        """What heads were shown in in the last frame, unless it changes by itself."""
        self._exposure = FaceExposure()
        """Of the largest head."""
        self._feather = _feathered(OUTPUT)
        self._last: tuple[FrameContext, _HeadInFrame] | None = None
        """The last frame, and the largest head in it."""

    @torch.inference_mode()
    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through.

        The view turns the largest head alone.
        """
        if not faces.faces:
            self._tracks.clear()
            self._last = None
            return frame
        # Images of 128 pixels are too small for torch to share out.
        with torch_threads(1):
            self._applier.begin(frame)
            with self._timer.stage("grid"):
                context = FrameContext(frame, faces, self.effort.analysis_side)
            heads = self._find_heads(context, _shadow_lighting(lighting, settings))
            self._last = context, heads[0]
            request = None
            if lighting.mode != "off":
                request = self._request(context, heads, lighting, settings)
            warp = None
            if settings.yaw or settings.pitch:
                with self._timer.stage("view"):
                    warp = self._turned(context, heads[0], settings)
            if warp is None:
                return self._applier.apply(frame, request, None)
            shown = self._applier.apply(frame, request, warp.displacement)
            with self._timer.stage("view"):
                warp.fill(shown)
            return shown

    def source_lighting(self, context: FrameContext) -> FloatArray:
        """`(9, 3)` of the largest face in the first frame, with the colours that are believed."""
        head = self._find_heads(context, AMBIENT)[0]
        color = color_trust(context.image.bgr) * self._adapter.lift(context).coloured
        return _source(head, color)

    @torch.inference_mode()
    def portrait(self) -> Portrait | None:
        """See `pipeline.engines.base.Stream`."""
        if self._last is None:
            return None
        context, head = self._last
        color, needed = color_trust(context.image.bgr), self._adapter.lift(context)
        colors = color * needed.coloured
        with torch_threads(1):
            return portrait_of(
                head.estimate,
                head.crop.cut(context.frame, OUTPUT),
                head.crop.scaled(context.scale).cut_map(context.skin, MAP_SIDE),
                _source(head, colors),
                needed,
                colors,
                color,
            )

    def reset(self) -> None:
        """Forgets the frames before."""
        self._tracks.clear()
        self._last = None
        self._frames = 0
        self._shown = None
        self._exposure.reset()
        self._applier.reset()
        self._adapter.reset()

    def close(self) -> None:
        """Forgets all; what was requested of the network ends by itself."""
        self.reset()

    def _find_heads(self, context: FrameContext, shadow_lighting: FloatArray) -> list[_HeadInFrame]:
        selected = select_heads(context.faces.faces, list(self._tracks), self._params)
        tracks = {
            face.track_id: self._tracks.get(face.track_id)
            or _HeadTrack(HeadSchedule(self._params), HeadGain(self._make_gain))
            for face in selected
        }
        heads = [
            self._head(
                context,
                face,
                tracks[face.track_id].schedule,
                shadow_lighting,
                in_turn=is_turn(self._frames, place, self._params),
            )
            for place, face in enumerate(selected)
        ]
        self._tracks = tracks
        self._frames += 1
        return heads

    def _head(
        self,
        context: FrameContext,
        face: Face,
        schedule: HeadSchedule[HeadEstimate],
        shadow_lighting: FloatArray,
        *,
        in_turn: bool,
    ) -> _HeadInFrame:
        found, time = self._finder.find(face.landmarks), context.faces.time
        crop = HeadCrop.of(found)
        luma = crop.scaled(context.scale).cut(context.image.luma, OUTPUT)
        pose = pose_in_crop(found, crop.middle, crop.side)

        def request(last: HeadEstimate | None) -> Future[HeadEstimate]:
            with self._timer.stage("crop"):
                image = crop.cut(context.frame, INPUT)
            observation = HeadObservation(image, luma, pose, shadow_lighting, time, self._shown)
            return self._worker.submit(observation, last)

        estimate = schedule.step(
            time,
            shadow_lighting,
            luma,
            in_turn=in_turn,
            visible=face.visible,
            request=request,
            timer=self._timer,
            patience=self.effort.patience,
        )
        return _HeadInFrame(face, crop, luma, pose, estimate, pose_trust(found))

    def _request(
        self,
        context: FrameContext,
        heads: list[_HeadInFrame],
        lighting: Lighting,
        settings: RelightSettings,
    ) -> LightRequest | None:
        faces = context.faces
        strength = max(face.weight for face in faces.faces) * settings.strength
        if strength == 0.0:
            return None
        with self._timer.stage("shading"):
            color = color_trust(context.image.bgr)
            needed = self._adapter.lift(context)
            # In steps: a head's gain is made anew whenever it changes.
            colors = round(color * needed.coloured * _COLOR_STEPS) / _COLOR_STEPS
            amounts = ShadingAmounts(settings.shadows, settings.highlights, colors)
            source = _source(heads[0], colors)
            asked = self._adapter.target(lighting, settings, source, needed)
            target = asked.light
            shown = LightOfGain(target, amounts)
            self._shown = shown if lighting.mode == "sh" else None
            ratio = soft_limit(log_ratio(source, target, body_normals(faces, context.mask)))
            body = resize(ratio, context.size)
            lights = [self._light(context, head, body, shown, color) for head in heads]
            lift = asked.lift * np.float32(settings.intensity)
            if asked.exposure is not None:
                level, time = asked.exposure * settings.intensity, faces.time
                lift = self._exposure.factor(lights[0].face(), asked.lift, level, lighting, time)
            wall = wall_gain(
                source,
                target.sh * (lift / asked.lift),
                asked.lift,
                context.image.linear,
                context.mask,
                settings.background,
            )
        return LightRequest(
            ratio,
            lift,
            wall,
            context.image,
            context.mask,
            [light.local() for light in lights],
            strength,
            luminance(asked.lift),
        )

    def _light(
        self,
        context: FrameContext,
        head: _HeadInFrame,
        body: RgbGain,
        light: LightOfGain,
        color: float,
    ) -> HeadLight:
        """The network's gain over the body's, which is at the analysis resolution."""
        gain = self._tracks[head.face.track_id].gain.of(head.estimate, light)
        if color < 1:
            gain = blend(without_color(gain, light.target.sh), gain, color)
        flow = self._flow.estimate_flow(head.estimate.luma, head.luma)
        person = flow.warp(person_trust(head.estimate.maps))[..., None]
        alpha = self._feather * person * np.float32(head.face.weight * head.trust)
        return HeadLight.of(context, head.crop, flow.warp(gain), body, alpha)

    def _turned(
        self, context: FrameContext, head: _HeadInFrame, settings: RelightSettings
    ) -> ViewWarp | None:
        size, alpha = context.frame.shape[:2], head.face.weight  # it turns as it fades in and out
        return self._views.turn(
            size, head.crop, head.pose, head.estimate, settings.yaw * alpha, settings.pitch * alpha
        )


def _source(head: _HeadInFrame, color: float) -> FloatArray:
    """`(9, 3)` the source lighting that bodies are taken to have, and how much of its colours."""
    source = blend(AMBIENT, head.estimate.source, head.trust)
    return blend(lighting_without_color(source), source, color)


def _shadow_lighting(lighting: Lighting, settings: RelightSettings) -> FloatArray:
    """`(9, 3)` the lighting whose cast shadows the network is asked for."""
    return blend_ambient(lighting.sh, settings.fill) if lighting.mode == "sh" else AMBIENT


def _feathered(size: int) -> FloatArray:
    """`(size, size, 1)` 1, fading to 0 at the edges."""
    ramp = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size))
    ramp = smoothstep(0, _FEATHER * size, ramp)
    return np.outer(ramp, ramp).astype(np.float32)[..., None]
