"""The default engine: the tri-plane network on each head, the frame's own pixels relit."""

from concurrent.futures import Future
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from vcam_relight.pipeline.compositing.background import background_gain
from vcam_relight.pipeline.compositing.base import LightChange, LocalGainPatch
from vcam_relight.pipeline.compositing.choose import fastest_compositor
from vcam_relight.pipeline.compositing.gain import highlight_rolloff, soft_limit
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.mathx import smoothstep
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.triplane.inference import Belief, Glimpse, Observer
from vcam_relight.pipeline.engines.triplane.network.model import (
    INPUT,
    OUTPUT,
    TriplaneNetwork,
    Volume,
)
from vcam_relight.pipeline.engines.triplane.novel_view import View
from vcam_relight.pipeline.engines.triplane.runtime.threads import torch_threads
from vcam_relight.pipeline.engines.triplane.shading import Amounts, face_gain
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import Motion
from vcam_relight.pipeline.engines.triplane.view_synthesis import Rendered, turned
from vcam_relight.pipeline.face.types import Face, FaceState
from vcam_relight.pipeline.head.crop import HeadCrop
from vcam_relight.pipeline.head.normals import grid_size, surroundings
from vcam_relight.pipeline.head.pose import HeadFinder, pose_in_crop
from vcam_relight.pipeline.head.space import HeadPose
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.auto import auto_gain, auto_target
from vcam_relight.pipeline.lighting.estimation import follow, skin_mask
from vcam_relight.pipeline.lighting.exposure import AMBIENT
from vcam_relight.pipeline.lighting.shading import log_ratio
from vcam_relight.pipeline.lighting.target import adjusted, filled, levelled

_FACES = 2
"""Heads that the network looks at in one frame, the largest; others get the light of bodies."""
_HELD = 1.2
"""Times the size that another face must have to take one's place among them."""
_EVERY = 2
"""The network looks at a head in every second frame while the frames go on; the second after it
waits for it. Half of the work, for maps that are two or three frames old, carried along with the
face. A new light is never late; its cast shadows are, by a frame."""
_STALE_S = 0.25
"""What was seen longer ago, before a pause or by a camera of a few frames a second, is not carried:
the frame waits for a look of its own."""
_SOFT = 0.12
"""Of the crop's side: within so much of its edges the network's gain fades into the body's."""


@dataclass
class _Person:
    """What is known of one person, and what is being found out."""

    belief: Belief | None = None
    look: Future[Belief] | None = None
    """Begun in the last frame or the one before."""
    gain: "_Gain | None" = None
    """Of the last frame."""

    def join(self, asked: FloatArray) -> None:
        """Waits for the look that was begun. Where it was for a light that is not asked for any
        more, as when two are switched to and fro, the shadows of the one before stay.
        """
        if self.look is None:
            return
        new, self.look = self.look.result(), None
        old = self.belief
        if old and _asked_for(old, asked) and not _asked_for(new, asked):
            maps = replace(new.maps, occlusion=old.maps.occlusion)
            new = replace(new, asked=asked, maps=maps)
        self.belief = new


@dataclass(frozen=True)
class _Gain:
    """What a light change comes to, for as long as neither it nor the belief changes."""

    belief: Belief
    target: FloatArray
    """`(9, 3)`"""
    amounts: Amounts
    intensity: float
    linear: FloatArray
    """`(n, n, 3)` RGB, of the crop's linear light."""

    @staticmethod
    def of(
        last: "_Gain | None", belief: Belief, target: FloatArray, settings: RelightSettings
    ) -> "_Gain":
        """That of the last frame, if it still holds."""
        amounts = Amounts(settings.shadows, settings.highlights)
        intensity = settings.intensity
        if (
            last
            and last.belief is belief
            and (last.amounts, last.intensity) == (amounts, intensity)
            and np.array_equal(last.target, target)
        ):
            return last
        gain = face_gain(
            belief.maps, belief.shading, belief.level, belief.light, target, amounts, intensity
        )
        return _Gain(belief, target, amounts, intensity, gain)


@dataclass(frozen=True)
class _Sight:
    """A frame and its faces."""

    frame: BgrImage
    faces: FaceState
    small: BgrImage
    """The frame on the grid."""
    luma: BgrImage
    """`(h, w)` likewise, encoded."""
    scale: float
    """Grid pixels of a pixel of the frame."""

    @staticmethod
    def of(frame: BgrImage, faces: FaceState) -> "_Sight":
        """The grid of a frame."""
        small = resize(frame, grid_size(*faces.size))
        luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        return _Sight(frame, faces, small, luma, small.shape[1] / faces.size[0])


@dataclass(frozen=True)
class _Head:
    """One head in this frame."""

    face: Face
    crop: HeadCrop
    luma: BgrImage
    """`(n, n)` of the crop."""
    pose: HeadPose
    belief: Belief


class TriplaneEngine:
    """Ratio relighting by the network's normals, albedo and shading, and views by its depth."""

    name = "triplane"
    needs_faces = True

    def __init__(self, network: TriplaneNetwork, device: str = "cpu") -> None:
        """Args: `device` of torch for the looks at heads; pixels and views stay on the CPU.

        Raises:
            RuntimeError: torch cannot use the device.
        """
        self.network = network
        self.observer = Observer(network, device)

    def open_stream(self, timer: StageTimer) -> "TriplaneStream":
        """See `pipeline.engines.base.Engine`."""
        return TriplaneStream(self.network, self.observer, timer)

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray | None:
        """See `pipeline.engines.base.Engine`; of the largest face."""
        if not faces.faces:
            return None
        return self.open_stream(StageTimer()).source_lighting(frame, faces)

    def close(self) -> None:
        """Ends the network's thread."""
        self.observer.close()


class TriplaneStream:
    """See `pipeline.engines.base.Stream`."""

    def __init__(self, network: TriplaneNetwork, observer: Observer, timer: StageTimer) -> None:
        self._network = network
        self._observer = observer
        self._timer = timer
        self._compositor = fastest_compositor()
        self._finder = HeadFinder()
        self._motion = Motion()
        self._people: dict[int, _Person] = {}
        """By `Face.ident`, of the faces in the last frame only."""
        self._frames = 0
        self._gain: FloatArray | None = None
        self._time = 0.0
        ramp = np.minimum(np.arange(OUTPUT) + 0.5, OUTPUT - 0.5 - np.arange(OUTPUT))
        ramp = smoothstep(0, _SOFT * OUTPUT, ramp)
        self._fade: FloatArray = np.outer(ramp, ramp).astype(np.float32)[..., None]

    def reset(self) -> None:
        """Forgets the frames before."""
        self._people.clear()
        self._frames = 0
        self._gain = None

    def close(self) -> None:
        """Forgets all."""
        self.reset()

    @torch.inference_mode()
    def relight(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        """See `pipeline.engines.base.Stream`; a frame without faces passes through. The view turns
        the largest head alone.
        """
        if not faces.faces:
            self._people.clear()
            return frame
        # Pictures of 128 pixels are too small for torch to share out.
        with torch_threads(1):
            return self._relit(frame, faces, lighting, settings)

    def _relit(
        self, frame: BgrImage, faces: FaceState, lighting: Lighting, settings: RelightSettings
    ) -> BgrImage:
        dt, self._time = faces.time - self._time, faces.time
        with self._timer.stage("grid"):
            sight = _Sight.of(frame, faces)
        asked = filled(lighting.sh, settings.fill) if lighting.mode == "sh" else AMBIENT
        heads = [
            # Two heads take turns.
            self._head(sight, face, asked, (self._frames + turn) % _EVERY == 0)
            for turn, face in enumerate(_largest(faces, list(self._people)))
        ]
        self._people = {head.face.ident: self._people[head.face.ident] for head in heads}
        self._frames += 1
        relit = frame
        if lighting.mode != "off":
            relit = self._lit(sight, heads, lighting, settings, dt)
        if settings.yaw or settings.pitch:
            with self._timer.stage("view"):
                relit = self._turned(relit, heads[0], settings)
        return relit

    def source_lighting(self, frame: BgrImage, faces: FaceState) -> FloatArray:
        """`(9, 3)` of the largest face in the first frame."""
        face = _largest(faces, [])[0]
        return self._head(_Sight.of(frame, faces), face, AMBIENT, True).belief.light

    def _head(
        self,
        sight: _Sight,
        face: Face,
        asked: FloatArray,
        due: bool,
    ) -> _Head:
        found, time = self._finder.find(face.landmarks), sight.faces.time
        crop = HeadCrop.of(found)
        luma = crop.scaled(sight.scale).cut(sight.luma, OUTPUT)
        pose = pose_in_crop(found, crop.middle, crop.side)
        person = self._people.setdefault(face.ident, _Person())
        if due or _stale(person.belief, time) or not _asked_for(person.belief, asked):
            with self._timer.stage("network (wait)"):
                person.join(asked)
        last = person.belief
        stale = _stale(last, time)
        # Where a face was last is no place to look for it.
        wanted = face.seen and (due or stale or not _asked_for(last, asked))
        if last is None or wanted:
            with self._timer.stage("crop"):
                image = crop.cut(sight.frame, INPUT)
            glimpse = Glimpse(image, luma, pose, asked, time)
            person.look = self._observer.look(glimpse, last)
            if last is None or stale:
                with self._timer.stage("network (wait)"):
                    person.belief, person.look = person.look.result(), None
                    last = person.belief
        return _Head(face, crop, luma, pose, last)

    def _lit(
        self,
        sight: _Sight,
        heads: list[_Head],
        lighting: Lighting,
        settings: RelightSettings,
        dt: float,
    ) -> BgrImage:
        frame, faces = sight.frame, sight.faces
        weight = max(face.weight for face in faces.faces) * settings.strength
        if weight == 0.0:
            return frame
        with self._timer.stage("shading"):
            grid = grid_size(*faces.size)
            mask = resize(faces.mask, grid)
            linear = linear_rgb(sight.small)
            present = heads[0].belief.light
            if lighting.mode == "auto":
                skins = skin_mask(faces.faces, faces.size)
                wanted = np.array([auto_gain(linear, mask, skins)], np.float32)
                self._gain = follow(self._gain, wanted, dt)
                target = auto_target(present) * self._gain
            else:
                self._gain = None
                target = levelled(lighting.sh)
            target = adjusted(target, settings)
            whole = target * np.float32(settings.intensity)
            change = log_ratio(present, whole, surroundings(faces, mask))
            body = highlight_rolloff(soft_limit(resize(change, grid)), linear)
            patches = []
            for head in heads:
                person = self._people[head.face.ident]
                person.gain = _Gain.of(person.gain, head.belief, target, settings)
                inner = self._motion.between(head.belief.luma, head.luma).carry(person.gain.linear)
                patches.append(self._patch(head, inner, body, linear, sight.scale))
        with self._timer.stage("composition"):
            background = background_gain(present, whole, linear, settings.background)
            light = LightChange(body, mask, sight.luma, background, patches, weight)
            return self._compositor.apply(frame, light)

    def _patch(
        self,
        head: _Head,
        gain: FloatArray,
        body: FloatArray,
        linear: FloatArray,
        scale: float,
    ) -> LocalGainPatch:
        """The network's gain over the body's; that and the frame's linear light are known on a grid
        of `scale` times the frame's size.
        """
        here = head.crop.scaled(scale)
        gain = highlight_rolloff(gain, here.cut_map(linear, OUTPUT))
        base = np.maximum(here.cut_map(body, OUTPUT), np.float32(1e-3))
        alpha = self._fade * np.float32(head.face.weight)
        return LocalGainPatch(gain, base, alpha, head.crop.middle, head.crop.side)

    def _turned(self, relit: BgrImage, head: _Head, settings: RelightSettings) -> BgrImage:
        share = head.face.weight  # it turns as it fades in and out
        view = View.of(head.pose, settings.yaw * share, settings.pitch * share)
        if view is None:
            return relit
        novel = self._network.renderer(head.belief.planes, None, view.pose)
        mask = torch.sigmoid(head.belief.maps.mask)[0, 0].numpy()
        colour = self._network.head.albedo_of(novel)[0].flip(0).permute(1, 2, 0)
        return turned(
            relit,
            head.crop,
            view,
            _rendered(head.belief.volume),
            _rendered(novel),
            mask,
            np.ascontiguousarray(colour.numpy()),
        )


def _largest(faces: FaceState, followed: list[int]) -> list[Face]:
    """The heads to look at, the one first that counts for bodies and background: the largest.
    Those that are followed, in their order, give way to clearly larger ones only.
    """
    rank = {ident: len(followed) - place for place, ident in enumerate(followed)}

    def size(face: Face) -> float:
        return float(np.ptp(face.landmarks[:, 1])) * _HELD ** rank.get(face.ident, 0)

    return sorted(faces.faces, key=size, reverse=True)[:_FACES]


def _rendered(volume: Volume) -> Rendered:
    return Rendered(volume.depth[0, 0].numpy(), volume.opacity[0, 0].numpy())


def _stale(belief: Belief | None, time: float) -> bool:
    return belief is None or time - belief.time > _STALE_S


def _asked_for(belief: Belief | None, light: FloatArray) -> bool:
    """Whether it has the cast shadows of this light."""
    return belief is not None and np.array_equal(belief.asked, light)
