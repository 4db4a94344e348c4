"""The paper's network in use: an image's planes once, then any light and any view of them."""

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vcam_relight.pipeline.core.process import ALL, keep_freed_memory
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.paper.camera import normals, rays
from vcam_relight.pipeline.engines.paper.network import PaperNetwork
from vcam_relight.pipeline.engines.paper.outputs import Outputs
from vcam_relight.pipeline.engines.paper.recorded import RecordedSteps
from vcam_relight.pipeline.engines.paper.renderer import Field
from vcam_relight.pipeline.engines.paper.temporal import PlaneHistory, Turn, new_history
from vcam_relight.pipeline.engines.paper.weights import DEFAULT_PATH, load_network

log = logging.getLogger(__name__)

RAW = 64
"""Width and height of the rendered image before super-resolution."""

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True)
class Person:
    """What one image says of its person, under no light and from no view yet."""

    planes: Tensor
    """`(1, 96, h, w)`: the albedo tri-plane, in float32."""
    superres_ws: Tensor
    """`(1, 14, 512)`: the style of the super-resolution."""


class PaperModel:
    """The network on a device. Deterministic: the same inputs give the same outputs.

    Serves many streams; what belongs to a stream is in its `PlaneHistory`. All tensors are taken
    to the device, and stay there.
    """

    def __init__(
        self, network: PaperNetwork, device: str = "cpu", precision: Precision = "float32"
    ) -> None:
        """Takes a network with weights.

        Args:
            network: see `load_network`; not to be used elsewhere afterwards.
            device: torch device name.
            precision: of convolutions, matrix products and attention; styles and rendering are
                always in float32.
        """
        self.device = torch.device(device)
        if self.device.type == "cpu":
            keep_freed_memory(ALL)  # some gigabytes a frame, in blocks of up to 134 MB
        self.timer = StageTimer()
        """Milliseconds per stage; put another in its place to time a stream."""
        self._network = network.to(self.device)
        self._dtype = torch.float16 if precision == "float16" else torch.float32
        self._network.prepare(self._dtype)
        self._generator = network.encoders.eg3d.G
        noise = network.encoders.shading_encoder.b0.conv0.get_buffer("noise_const")
        self.size = 2 * noise.shape[0]
        """Width and height of the image that goes in: 512 with the released weights."""
        axis = torch.linspace(-1, 1, self.size, device=self.device)
        self._recorded = RecordedSteps(self.device) if self.device.type == "cuda" else None
        """What makes a graph of a video's step; None: its work is asked for piece by piece."""
        self._coordinates = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]

    @classmethod
    def load(
        cls, path: Path = DEFAULT_PATH, device: str = "cpu", precision: Precision = "float32"
    ) -> "PaperModel":
        """The released weights from a file; raises what `load_network` raises."""
        return cls(load_network(path), device, precision)

    def timed(self, timer: StageTimer) -> "PaperModel":
        """The same network, whose stages are timed with `timer`."""
        model = copy.copy(self)
        model.timer = timer
        return model

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Person:
        """Finds the person in an aligned image `(1, 3, 512, 512)`, RGB, -1..1.

        Raises:
            ValueError: the image has another shape.
        """
        shape = (1, 3, self.size, self.size)
        if tuple(image.shape) != shape:
            raise ValueError(f"the image must be {shape}, not {tuple(image.shape)}")
        encoders = self._network.encoders
        x = torch.cat([image.to(self.device, torch.float32), self._coordinates], 1)
        x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
        with self._stage("deeplab"):
            features = encoders.deeplabv3(x)
        with self._stage("low"):
            low = encoders.decoder_f_low(features)
        with self._stage("high"):
            high = encoders.encoder_f_high(x)
        with self._stage("hybrid"):
            planes = encoders.decoder_f_hybrid(low, high)
        with self._stage("style"):
            style = encoders.planes2ws(planes).float() + self._network.mean_style
        return Person(planes.float(), style)

    @torch.inference_mode()
    def shade(self, person: Person, sh: Tensor) -> Tensor:
        """The shading tri-plane `(1, 96, h, w)` under a light `(1, 9)` of SH coefficients."""
        sh = self._vector(sh, 9, "light")
        with self._stage("shading"):
            styles = self._generator.backbone.mapping_lit(sh)
            albedo = person.planes.to(self._dtype)
            planes: Tensor = self._network.encoders.shading_encoder(albedo, styles)
        return planes.float()

    def field(self, person: Person, shading: Tensor) -> Field:
        """The volume that can be marched through, or asked for its density."""
        generator = self._generator
        return Field(person.planes, shading, generator.decoder, generator.shading_decoder)

    @torch.inference_mode()
    def render(self, person: Person, shading: Tensor, camera: Tensor) -> Outputs:
        """The view of a camera `(1, 25)`; see `pipeline.engines.paper.camera`."""
        view = rays(self._vector(camera, 25, "camera"), RAW)
        with self._stage("render"):
            rendered = self.field(person, shading).render(view)
            feat, albedo, light, depth = (
                value.t().reshape(1, -1, RAW, RAW)
                for value in (
                    rendered.colour,
                    rendered.albedo[:, :3],
                    rendered.shading,
                    rendered.depth,
                )
            )
            normal = normals(depth, view)
        with self._stage("superresolution"):
            nhwc = feat.to(self._dtype).contiguous(memory_format=torch.channels_last)
            image = self._generator.superresolution(nhwc, person.superres_ws).float()
        return Outputs(image, feat[:, :3], feat, albedo, light, depth, normal)

    def image_forward(self, image: Tensor, sh: Tensor, camera: Tensor) -> Outputs:
        """A single image under a light and from a view.

        Under the image's own light and camera this is its reconstruction. To change only the
        light or the view, keep what `encode` and `shade` gave and call the later steps again.
        """
        person = self.encode(image)
        return self.render(person, self.shade(person, sh), camera)

    @torch.inference_mode()
    def smooth(self, person: Person, sh: Tensor, history: PlaneHistory) -> tuple[Person, Tensor]:
        """A video frame's planes, smoothed by those of the frames that `history` holds.

        Returns:
            Both tri-planes, for `render`. The style stays the frame's own: it belongs to the
            image and not to the light.
        """
        return self._smooth(person, sh, history, history.next(light_of(sh)))

    def _smooth(
        self, person: Person, sh: Tensor, history: PlaneHistory, turn: Turn
    ) -> tuple[Person, Tensor]:
        shading = self.shade(person, sh)
        with self._stage("temporal"):
            history.push(person.planes, shading, turn)
            add_albedo, add_shading = self._network.attention(
                history.albedo, history.shading, turn.order
            )
            planes = person.planes + _like(person.planes, add_albedo)
            return Person(planes, person.superres_ws), shading + _like(shading, add_shading)

    @torch.inference_mode()
    def video_frame(
        self, image: Tensor, sh: Tensor, camera: Tensor, history: PlaneHistory
    ) -> Outputs:
        """The next frame of the video that `history` is of; arguments as of `image_forward`."""
        turn = history.next(light_of(sh))
        if self._recorded is None:
            return self._video_frame(image, sh, camera, history, turn)
        step = partial(self._video_frame, history=history, turn=turn)
        try:
            with self.timer.stage("network"):
                return self._recorded.run(history, turn, step, (image, sh, camera))
        except RuntimeError as error:  # what it asks for can be done all the same
            log.warning("the paper's network runs without a CUDA graph: %s", error)
            self._recorded = None
            return step(image, sh, camera)

    @torch.inference_mode()
    def _video_frame(
        self, image: Tensor, sh: Tensor, camera: Tensor, history: PlaneHistory, turn: Turn
    ) -> Outputs:
        return self.render(*self._smooth(self.encode(image), sh, history, turn), camera)

    def video_forward(
        self, frames: Iterable[tuple[Tensor, Tensor, Tensor]], history: PlaneHistory
    ) -> Iterator[Outputs]:
        """A video: one result for each image, light and camera, as soon as it is there."""
        for image, sh, camera in frames:
            yield self.video_frame(image, sh, camera, history)

    def new_history(self, frozen: bool = False) -> PlaneHistory:
        """An empty history for one stream; `frozen` only to compare with the released code."""
        return new_history(self.size // 2, self.device, frozen, self._dtype)

    def _vector(self, value: Tensor, length: int, name: str) -> Tensor:
        if tuple(value.shape) != (1, length):
            raise ValueError(f"the {name} must be (1, {length}), not {tuple(value.shape)}")
        return value.to(self.device, torch.float32)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        if (
            self._recorded is not None
        ):  # what is asked for is not done yet, and must not be waited for
            yield
            return
        with self.timer.stage(name):
            yield
            if self.device.type == "cuda":  # else the time would be that of asking for the work
                torch.cuda.synchronize(self.device)


def light_of(sh: Tensor) -> tuple[float, ...]:
    """The numbers of a light `(1, 9)`; waits for a card that it is on."""
    return tuple(sh.flatten().tolist())


def _like(planes: Tensor, tokens: Tensor) -> Tensor:
    """`(h * w, 96)` in the shape of planes `(1, 96, h, w)`."""
    return tokens.t().view_as(planes)


def fade_lights(lights: Tensor, frames: int) -> Tensor:
    """Lightings `(k, 9)` of SH coefficients, faded evenly from first to last: `(frames, 9)`."""
    at = torch.linspace(0, len(lights) - 1, frames, device=lights.device)
    before = at.floor().long().clamp(max=max(len(lights) - 2, 0))
    after = (before + 1).clamp(max=len(lights) - 1)
    return torch.lerp(lights[before], lights[after], (at - before)[:, None])
