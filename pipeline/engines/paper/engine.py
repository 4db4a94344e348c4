"""The paper's network as a camera filter: crop, pose, network, and back into the frame.

It paints the head anew, where the project's own engines multiply the frame's pixels: what the
network does not know of a face (glasses, a beard's hairs) it changes.
"""

from functools import partial
from threading import Lock
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray, RgbImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.effort import FULL
from vcam_relight.pipeline.engines.paper.crop import Square, largest, paste, person_coverage
from vcam_relight.pipeline.engines.paper.deep3d import Deep3dPose
from vcam_relight.pipeline.engines.paper.deep3d import weights_path as deep3d_weights
from vcam_relight.pipeline.engines.paper.dpr import DprLight
from vcam_relight.pipeline.engines.paper.dpr import weights_path as dpr_weights
from vcam_relight.pipeline.engines.paper.light import LightEstimator, NetworkLight, apply_gain
from vcam_relight.pipeline.engines.paper.model import PaperModel, Precision
from vcam_relight.pipeline.engines.paper.outputs import Outputs
from vcam_relight.pipeline.engines.paper.pose import FacePose, PoseEstimator, head_camera
from vcam_relight.pipeline.engines.paper.temporal import PlaneHistory
from vcam_relight.pipeline.engines.paper.weights import checkpoint_path
from vcam_relight.pipeline.face.frame_context import FrameContext
from vcam_relight.pipeline.face.one_euro import OneEuroFilter
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.head.normals import NormalMapper
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.adaptation import LightAdapter
from vcam_relight.pipeline.lighting.estimation import estimate_lighting
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.lift import NO_LIFT


class VideoNetwork(Protocol):
    """What the engine needs of `pipeline.engines.paper.PaperModel`."""

    size: int

    def timed(self, timer: StageTimer) -> Self:
        """The same network, whose stages are timed with `timer`."""

    def new_history(self) -> PlaneHistory:
        """An empty memory for one stream."""

    def video_frame(
        self, image: Tensor, sh: Tensor, camera: Tensor, history: PlaneHistory
    ) -> Outputs:
        """One frame; see `PaperModel.video_frame`."""


class PaperEngine:
    """Relights the largest face, with hair and shoulders; everybody else stays as they are.

    `strength` fades the encoded images into one another; the background always stays.
    """

    name = "paper"
    runs_on = "CPU"
    needs_faces = True
    card = None

    def __init__(
        self,
        network: VideoNetwork,
        pose: PoseEstimator,
        estimate: LightEstimator | None = None,
    ) -> None:
        """Takes a network with weights.

        Args:
            network: of the paper.
            pose: estimates how heads are turned.
            estimate: of the source lighting; by default from the skin and the face's geometry.
        """
        self._network = network
        self._pose = pose
        self._estimate = estimate or partial(estimate_lighting, mapper=NormalMapper())
        self._lock = Lock()

    @classmethod
    def load(cls, device: str = "cpu") -> "PaperEngine":
        """The engine with the weights on this machine.

        These are the network's own, and DPR's and Deep3DFaceRecon's where they are; else the source
        lighting and the pose are estimated by what needs no weights.

        Raises:
            FileNotFoundError: the network's weights, or others that were asked for, are not there.
            CheckpointError: a file cannot be used.
        """
        dpr, deep3d = dpr_weights(), deep3d_weights()
        estimate = DprLight(dpr, device) if dpr else None
        pose = Deep3dPose.load(deep3d, device) if deep3d else FacePose()
        # Halves move the picture by less than half a level, and a card multiplies them faster.
        precision: Precision = "float16" if device.startswith("cuda") else "float32"
        return cls(PaperModel.load(checkpoint_path(), device, precision), pose, estimate)

    def open_stream(self, timer: StageTimer) -> "PaperStream":
        """See `pipeline.engines.base.Engine`."""
        return PaperStream(
            self._network.timed(timer), self._pose, self._estimate, timer, self._lock
        )

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`."""
        return self._estimate(FrameContext(frame, faces))

    def close(self) -> None:
        """Nothing is held but memory."""


class PaperStream:
    """See `pipeline.engines.base.Stream`; its effort is always the same."""

    effort = FULL

    def __init__(
        self,
        network: VideoNetwork,
        pose: PoseEstimator,
        estimate: LightEstimator,
        timer: StageTimer,
        lock: Lock,
    ) -> None:
        """What the streams of one engine share, and what is timed.

        Args:
            network: of the paper.
            pose: estimates how heads are turned.
            estimate: of the source lighting.
            timer: of the stream's stages.
            lock: held while the network runs: a frame on the CPU takes all cores and some
                gigabytes, so that streams take turns.
        """
        self._network = network
        self._pose = pose
        self._estimate = estimate
        self._timer = timer
        self._lock = lock
        self._history = network.new_history()
        self._adapter = LightAdapter()
        self._face: int | None = None
        """The one that is followed."""
        self._time = 0.0
        # The landmarks come filtered; what a crop and a camera magnify of the rest is removed here.
        self._square = _still_filter(beta=30.0, rest=1e-3)
        self._rotation = _still_filter(beta=5.0, rest=5e-3)

    def portrait(self) -> None:
        """None: it knows no head's shape."""

    def reset(self) -> None:
        """Forgets the frames before."""
        self._adapter.reset()
        self._forget_face()

    def close(self) -> None:
        """Nothing is held but memory."""

    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through."""
        face = self._followed(faces)
        turned = bool(settings.yaw or settings.pitch)
        # Another view is shown whole: half of two views is none.
        weight = face.weight * (1.0 if turned else settings.strength) if face else 0.0
        if face is None or weight == 0.0 or (lighting.mode == "off" and not turned):
            return frame
        with self._timer.stage("crop and pose"):
            square, rotation = self._place(frame, face, faces.time)
            window = square.window(faces.size)
            if window is None:
                return frame
            crop = square.cut(frame, self._network.size)
            camera = head_camera(rotation, settings.yaw, settings.pitch)
        with self._timer.stage("light"):
            light = self._network_light(FrameContext(frame, faces), lighting, settings)
        relit = self._relit(crop, light, camera)
        with self._timer.stage("paste"):
            alpha = square.edges(window) * np.float32(weight)
            if turned:  # the mask is that of the frame's own view
                return paste(frame, square, relit, alpha, None)
            alpha *= person_coverage(faces.mask, faces.size, window)
            return paste(frame, square, relit, alpha, crop)

    def _network_light(
        self, context: FrameContext, lighting: Lighting, settings: RelightSettings
    ) -> NetworkLight:
        if lighting.mode == "sh":
            # The source lighting is not needed, and may cost a network. What was known of it is old
            # by the time that it is needed again.
            self._adapter.forget_source()
            source = AMBIENT
        else:
            source = self._adapter.observe(self._estimate(context), context.faces.time)
        if lighting.mode == "off":
            return NetworkLight.of(self._adapter.target(lighting, settings, source, NO_LIFT), 1.0)
        lift = self._adapter.lift(context)
        target = self._adapter.target(lighting, settings, source, lift)
        return NetworkLight.of(
            target, lift.rgb * np.float32((target.exposure or 1.0) * settings.intensity)
        )

    def _place(self, frame: BgrImage, face: Face, time: float) -> tuple[Square, FloatArray]:
        dt, self._time = time - self._time, time
        found = Square.around(face.landmarks)
        numbers = np.array([found.x, found.y, found.side], np.float32)
        x, y, side = self._square.update(numbers, dt, unit=found.side).tolist()
        found_rotation = self._pose.rotation(frame, face.landmarks)
        rotation = self._rotation.update(found_rotation, dt, unit=1.0)
        return Square(x, y, side), rotation

    def _relit(self, crop: RgbImage, light: NetworkLight, camera: Tensor) -> FloatArray:
        """`(n, n, 3)` RGB, sRGB-encoded, 0..255."""
        rgb = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
        sh = torch.from_numpy(light.sh)[None]
        with self._lock:
            out = self._network.video_frame(rgb[None] / 127.5 - 1, sh, camera, self._history)
        with self._timer.stage("paste"):
            image = ((out.image[0] + 1) / 2).permute(1, 2, 0).cpu().numpy()
            return apply_gain(image, light.gain) * np.float32(255)

    def _followed(self, faces: FaceState) -> Face | None:
        """The face that was relit before, else the largest."""
        for face in faces.faces:
            if face.track_id == self._face:
                return face
        self._forget_face()
        if not faces.faces:
            return None
        face = largest(faces.faces)
        self._face = face.track_id
        return face

    def _forget_face(self) -> None:
        self._face = None
        self._history.reset()
        self._square.reset()
        self._rotation.reset()


def _still_filter(beta: float, rest: float) -> OneEuroFilter:
    return OneEuroFilter(min_cutoff=1.0, beta=beta, rest=rest)
