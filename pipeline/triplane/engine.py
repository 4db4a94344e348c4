"""The default engine: the tri-plane network on each head, the frame's own pixels relit."""

from dataclasses import dataclass, field
from threading import Lock

import cv2
import numpy as np
import torch

from pipeline.color import DECODE_8BIT
from pipeline.composition import Compositor, Inset
from pipeline.gain import bounded
from pipeline.geometry import grid_size, surroundings
from pipeline.geometry_engine import background_gain
from pipeline.lighting import Lighting
from pipeline.lighting.auto import auto_gain, auto_target
from pipeline.present_light import AMBIENT, exposure, follow, skin_mask
from pipeline.resample import resize
from pipeline.target import adjusted, levelled
from pipeline.timing import StageTimer
from pipeline.triplane.crop import HeadCrop
from pipeline.triplane.light import asked_light
from pipeline.triplane.network import INPUT, OUTPUT, Maps, TemporalState, TriplaneNetwork
from pipeline.triplane.pose import HeadFinder, pose_in_crop
from pipeline.triplane.runtime import Runtime
from pipeline.triplane.shade import Amounts, face_gain, light_on, log_ratio
from pipeline.triplane.steady import steadied
from pipeline.types import Face, FaceState, Floats, Picture, RelightSettings

_FACES = 2
"""Heads that the network looks at in one frame, the largest; others get the light of bodies."""
_SOFT = 0.12
"""Of the crop's side: within so much of its edges the network's gain fades into the body's."""


@dataclass
class _Person:
    """What is remembered of one face."""

    planes: TemporalState | None = None
    maps: Maps | None = None
    """Steadied."""
    light: Floats | None = None
    """`(9, 3)` the present light, smoothed, of exposure 1."""


@dataclass
class _Seen:
    """One head in this frame."""

    face: Face
    crop: HeadCrop
    picture: Picture
    """`(256, 256, 3)` BGR."""
    person: _Person


@dataclass
class _Looked:
    """What the network says of one head."""

    maps: Maps
    level: Floats
    """`(3,)` RGB natural logarithm of the present light's exposure in the maps' scale."""
    light: Floats
    """`(9, 3)` the present light, of exposure 1."""


@dataclass
class TriplaneState:
    """What the engine remembers of a stream."""

    timer: StageTimer
    compositor: Compositor
    people: dict[int, _Person] = field(default_factory=dict)
    """By `Face.ident`, of the faces in the last frame only."""
    gain: Floats | None = None
    """`(1,)` how much `auto` lifts, smoothed."""
    time: float = 0.0

    def reset(self) -> None:
        """Forget the stream."""
        self.people.clear()
        self.gain = None


class TriplaneEngine:
    """Ratio relighting by the network's normals, albedo and shading."""

    name = "triplane"
    needs_faces = True

    def __init__(self, network: TriplaneNetwork) -> None:
        self._runtime = Runtime(network)
        self._lock = Lock()
        """The runtime's buffers are for one frame at a time, streams may be many."""
        self._finder = HeadFinder()
        ramp = np.minimum(np.arange(OUTPUT) + 0.5, OUTPUT - 0.5 - np.arange(OUTPUT))
        ramp = np.clip(ramp / (_SOFT * OUTPUT), 0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        self._fade: Floats = np.outer(ramp, ramp).astype(np.float32)[..., None]

    def new_state(self, timer: StageTimer) -> TriplaneState:
        """A fresh stream."""
        return TriplaneState(timer, Compositor())

    @torch.inference_mode()
    def relight(
        self,
        frame: Picture,
        faces: FaceState,
        lighting: Lighting,
        settings: RelightSettings,
        state: TriplaneState,
    ) -> Picture:
        """See `pipeline.engine.Engine`; a frame without faces passes through."""
        if not faces.faces or lighting.mode == "off":
            state.people.clear()
            return frame
        dt, state.time = faces.time - state.time, faces.time
        weight = max(face.weight for face in faces.faces) * settings.strength
        with state.timer.stage("crop"):
            seen = self._crops(frame, faces, state)
        looked = [self._look(one, lighting, dt, state) for one in seen]
        present = looked[0].light
        with state.timer.stage("surroundings"):
            grid = grid_size(*faces.size)
            small = resize(frame, grid)
            mask = resize(faces.mask, grid)
            normals = surroundings(faces, mask)
        if weight == 0.0:
            return frame
        with state.timer.stage("shading"):
            target = self._target(lighting, settings, present, small, mask, faces, dt, state)
            body = bounded(log_ratio(present, target * np.float32(settings.intensity), normals))
            insets = [
                self._inset(one, its, target, settings, body, faces, weight)
                for one, its in zip(seen, looked, strict=True)
            ]
        with state.timer.stage("composition"):
            behind = None
            if settings.background > 0:
                linear = np.asarray(cv2.LUT(small, DECODE_8BIT), np.float32)
                full = target * np.float32(settings.intensity)
                behind = background_gain(present, full, linear, settings.background)
                behind = None if behind is None else np.asarray(cv2.pow(behind, weight), np.float32)
            luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) * np.float32(1 / 255)
            gain = np.asarray(cv2.pow(body, weight), np.float32)
            return state.compositor.apply(frame, gain, behind, mask, luma, insets)

    @torch.inference_mode()
    def present_light(self, faces: FaceState, frame: Picture) -> Floats | None:
        """`(9, 3)` radiance of the light on the largest face, of exposure 1; None without one."""
        if not faces.faces:
            return None
        state = self.new_state(StageTimer())
        (one,) = self._crops(frame, faces, state)[:1]
        even = Lighting.from_sh(AMBIENT)
        return self._look(one, even, 0.0, state).light

    def _crops(self, frame: Picture, faces: FaceState, state: TriplaneState) -> list[_Seen]:
        """The heads that the network looks at, the largest first."""
        largest = sorted(faces.faces, key=lambda f: -float(np.ptp(f.landmarks[:, 1])))[:_FACES]
        seen = []
        for face in largest:
            crop = HeadCrop.of(self._finder.find(face.landmarks))
            person = state.people.get(face.ident, _Person())
            seen.append(_Seen(face, crop, crop.cut(frame, INPUT), person))
        state.people = {one.face.ident: one.person for one in seen}
        return seen

    def _look(self, one: _Seen, lighting: Lighting, dt: float, state: TriplaneState) -> _Looked:
        with state.timer.stage("network"):
            rgb = np.ascontiguousarray(one.picture[..., ::-1].transpose(2, 0, 1))
            picture = (torch.from_numpy(rgb).float() / 127.5 - 1)[None]
            head = self._finder.find(one.face.landmarks)
            pose = pose_in_crop(head, one.crop.middle, one.crop.side)
            asked = lighting.sh if lighting.mode == "sh" else AMBIENT
            light = asked_light(torch.from_numpy(asked)[None], pose.rotation)
            with self._lock:
                maps, _, one.person.planes, _ = self._runtime.run(
                    picture, pose, light, one.person.planes
                )
        maps = one.person.maps = steadied(one.person.maps, maps, dt)
        seen = light_on(maps)
        level = np.maximum(exposure(seen), np.float32(1e-4))
        one.person.light = follow(one.person.light, np.asarray(seen / level), dt)
        return _Looked(maps, np.log(level), one.person.light)

    def _target(
        self,
        lighting: Lighting,
        settings: RelightSettings,
        present: Floats,
        small: Picture,
        mask: Floats,
        faces: FaceState,
        dt: float,
        state: TriplaneState,
    ) -> Floats:
        """`(9, 3)` the light that is wanted, without the user's intensity."""
        if lighting.mode == "auto":
            linear = np.asarray(cv2.LUT(small, DECODE_8BIT), np.float32)
            wanted = np.array([auto_gain(linear, mask, skin_mask(faces.faces, faces.size))])
            state.gain = follow(state.gain, wanted.astype(np.float32), dt)
            target = auto_target(present) * state.gain
        else:
            state.gain = None
            target = levelled(lighting.sh)
        return adjusted(target, settings)

    def _inset(
        self,
        one: _Seen,
        its: _Looked,
        target: Floats,
        settings: RelightSettings,
        body: Floats,
        faces: FaceState,
        weight: float,
    ) -> Inset:
        seen = np.asarray(cv2.LUT(resize(one.picture, (OUTPUT, OUTPUT)), DECODE_8BIT), np.float32)
        amounts = Amounts(settings.shadows, settings.highlights)
        gain = face_gain(its.maps, its.level, its.light, target, amounts, settings.intensity, seen)
        scale = body.shape[1] / faces.size[0]
        around = HeadCrop(one.crop.middle * np.float32(scale), one.crop.side * scale)
        under = around.cut_map(body, OUTPUT)
        exponent = weight / 2.4
        change = cv2.pow(gain, exponent) - cv2.pow(np.maximum(under, 1e-3), exponent)
        share = self._fade * np.float32(one.face.weight)
        return Inset(np.asarray(change * share, np.float32), one.crop.middle, one.crop.side)
