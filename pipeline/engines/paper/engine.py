"""The paper's network as a camera filter: crop, pose, network, and back into the frame.

It paints the head anew, where the project's own engines multiply the frame's pixels: what the
network does not know of a face (spectacles, a beard's hairs) it changes.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.paper.crop import Square, largest, paste, person_share
from vcam_relight.pipeline.engines.paper.deep3d import Deep3dPose
from vcam_relight.pipeline.engines.paper.deep3d import asked_for as deep3d_asked_for
from vcam_relight.pipeline.engines.paper.dpr import DprLight
from vcam_relight.pipeline.engines.paper.dpr import asked_for as dpr_asked_for
from vcam_relight.pipeline.engines.paper.light import LightMemory, LightSetter, Wanted, lit
from vcam_relight.pipeline.engines.paper.model import Outputs, PaperModel
from vcam_relight.pipeline.engines.paper.pose import PoseEstimator, PoseFinder, head_camera
from vcam_relight.pipeline.engines.paper.temporal import TemporalState
from vcam_relight.pipeline.engines.paper.weights import checkpoint_path
from vcam_relight.pipeline.face.one_euro import OneEuroFilter
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.lighting import Lighting


class VideoNetwork(Protocol):
    """What the engine needs of `pipeline.engines.paper.PaperModel`."""

    size: int
    timer: StageTimer

    def new_state(self) -> TemporalState:
        """An empty memory for one stream."""

    def video_frame(
        self, image: Tensor, sh: Tensor, camera: Tensor, state: TemporalState
    ) -> Outputs:
        """One frame; see `PaperModel.video_frame`."""


def _still_filter(beta: float, rest: float) -> OneEuroFilter:
    return OneEuroFilter(min_cutoff=1.0, beta=beta, rest=rest)


@dataclass
class PaperState:
    """What the engine remembers of a stream."""

    timer: StageTimer
    ring: TemporalState
    light: LightMemory = field(default_factory=LightMemory)
    face: int | None = None
    """The one that is followed."""
    time: float = 0.0
    # The landmarks come filtered; what a crop and a camera magnify of their rest is taken out here.
    square: OneEuroFilter = field(default_factory=lambda: _still_filter(beta=30.0, rest=1e-3))
    rotation: OneEuroFilter = field(default_factory=lambda: _still_filter(beta=5.0, rest=5e-3))

    def reset(self) -> None:
        """Forget the stream."""
        self.light.reset()
        self.forget_face()

    def forget_face(self) -> None:
        """Another one comes."""
        self.face = None
        self.ring.reset()
        self.square.reset()
        self.rotation.reset()


class PaperEngine:
    """Relights the largest face, with hair and shoulders; everybody else stays as they are.

    `strength` fades the encoded pictures into one another; the background always stays. One call
    at a time.
    """

    name = "paper"
    needs_faces = True

    def __init__(self, network: VideoNetwork, light: LightSetter, pose: PoseEstimator) -> None:
        self._network = network
        self._light = light
        self._pose = pose

    @classmethod
    def load(cls, device: str = "cpu") -> "PaperEngine":
        """With the weights on this machine: the network's own, and DPR's and Deep3DFaceRecon's
        where they are, else what needs no weights.

        Raises:
            FileNotFoundError: the network's weights, or others that were asked for, are not there.
            CheckpointError: a file cannot be used.
        """
        dpr, deep3d = dpr_asked_for(), deep3d_asked_for()
        light = LightSetter(DprLight(dpr, device) if dpr else None)
        pose = Deep3dPose.load(deep3d, device) if deep3d else PoseFinder()
        return cls(PaperModel.load(checkpoint_path(), device), light, pose)

    def new_state(self, timer: StageTimer) -> PaperState:
        """A fresh stream."""
        return PaperState(timer, self._network.new_state())

    def relight(
        self,
        frame: BgrImage,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: PaperState,
    ) -> BgrImage:
        """See `pipeline.engines.base.Engine`; a frame without faces passes through."""
        face = _followed(faces, state)
        turned = bool(settings.yaw or settings.pitch)
        # Another view is shown whole: half of two views is none.
        weight = face.weight * (1.0 if turned else settings.strength) if face else 0.0
        if face is None or weight == 0.0 or (lighting.mode == "off" and not turned):
            return frame
        with state.timer.stage("crop and pose"):
            square, rotation = self._placed(frame, face, faces.time, state)
            window = square.window(faces.size)
            if window is None:
                return frame
            crop = square.cut(frame, self._network.size)
            camera = head_camera(rotation, settings.yaw, settings.pitch)
        with state.timer.stage("light"):
            wanted = self._light.wanted(frame, faces, lighting, settings, state.light)
        self._network.timer = state.timer
        made = self._image(crop, wanted, camera, state)
        with state.timer.stage("paste"):
            share = square.edges(window) * np.float32(weight)
            if turned:  # the mask is that of the frame's own view
                return paste(frame, square, made, share, None)
            share *= person_share(faces.mask, faces.size, window)
            return paste(frame, square, made, share, crop)

    def _placed(
        self, frame: BgrImage, face: Face, time: float, state: PaperState
    ) -> tuple[Square, FloatArray]:
        dt, state.time = time - state.time, time
        found = Square.around(face.landmarks)
        numbers = np.array([found.x, found.y, found.side], np.float32)
        x, y, side = state.square.update(numbers, dt, unit=found.side).tolist()
        found_turn = self._pose.rotation(frame, face.landmarks)
        rotation = state.rotation.update(found_turn, dt, unit=1.0)
        return Square(x, y, side), rotation

    def _image(
        self, crop: BgrImage, wanted: Wanted, camera: Tensor, state: PaperState
    ) -> FloatArray:
        """`(n, n, 3)` BGR, 0..255."""
        rgb = torch.from_numpy(np.ascontiguousarray(crop[..., ::-1].transpose(2, 0, 1)))
        sh = torch.from_numpy(wanted.sh)[None]
        out = self._network.video_frame(rgb[None] / 127.5 - 1, sh, camera, state.ring)
        with state.timer.stage("paste"):
            bgr = ((out.image[0].flip(0) + 1) / 2).permute(1, 2, 0).cpu().numpy()
            return lit(bgr, wanted.gain) * np.float32(255)


def _followed(faces: FaceState, state: PaperState) -> Face | None:
    """The face that was relit before, else the largest; the state forgets one that is gone."""
    for face in faces.faces:
        if face.ident == state.face:
            return face
    state.forget_face()
    if not faces.faces:
        return None
    face = largest(faces.faces)
    state.face = face.ident
    return face
