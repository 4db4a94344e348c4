"""The network's inference on heads, on a thread of its own."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.resample import resize
from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.engines.triplane.gain import gain_maker
from vcam_relight.pipeline.engines.triplane.head_estimate import (
    HeadEstimate,
    HeadObservation,
    PreparedGain,
)
from vcam_relight.pipeline.engines.triplane.network.model import OUTPUT, TriplaneNetwork
from vcam_relight.pipeline.engines.triplane.network.refiner import Refiner
from vcam_relight.pipeline.engines.triplane.runtime.runtime import Runtime
from vcam_relight.pipeline.engines.triplane.runtime.threads import torch_threads
from vcam_relight.pipeline.engines.triplane.source_light import (
    fit_source,
    removable_shading,
)
from vcam_relight.pipeline.engines.triplane.temporal.optical_flow import FlowEstimator
from vcam_relight.pipeline.engines.triplane.temporal.smoothing import Motion
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.sh_torch import asked_light
from vcam_relight.pipeline.lighting.temporal import smooth


class InferenceWorker:
    """Runs the network on observations, one after the other; safe from any thread.

    An estimate depends on nothing but what is submitted for it.
    """

    def __init__(
        self, network: TriplaneNetwork, refiner: Refiner | None = None, card: Card | None = None
    ) -> None:
        """Readies the network.

        Args:
            network: with its weights.
            refiner: of the gains that are prepared, see `head_gain`.
            card: that it runs on; None: the CPU.

        Raises:
            CudaError: the card cannot be used.
        """
        self._runtime = Runtime(network, card)
        self._gain = gain_maker(refiner, card)
        self._flow = FlowEstimator()
        self._thread = ThreadPoolExecutor(1, "network")
        """Its queue holds at most one request for each head that streams follow."""

    def submit(
        self, observation: HeadObservation, last: HeadEstimate | None
    ) -> Future[HeadEstimate]:
        """Begins an inference; `last` is what is known of this head, if anything."""
        return self._thread.submit(self._infer, observation, last)

    def close(self) -> None:
        """Ends its thread once what was submitted is done; may be called twice."""
        self._thread.shutdown()

    @torch.inference_mode()
    def _infer(self, observation: HeadObservation, last: HeadEstimate | None) -> HeadEstimate:
        image, luma, pose = observation.image, observation.luma, observation.pose
        dt = observation.time - last.time if last else 0.0
        motion = Motion(self._flow.estimate_flow(last.luma, luma), dt) if last else None
        maps, volume, memory, planes = self._runtime.run(
            image,
            pose,
            asked_light(torch.from_numpy(observation.target)[None], pose.rotation),
            last.memory if last else None,
            motion,
        )
        # Images of 128 pixels are too small for torch to share out: its threads would wait for
        # one another whenever something else has a core.
        with torch_threads(1):
            fitted = fit_source(maps)
            level = np.maximum(exposure(fitted), np.float32(1e-4))
            source = smooth(last.source if last else None, np.asarray(fitted / level), dt)
            linear = _linear(image)
            shading = removable_shading(maps, linear, level)
            estimate = HeadEstimate(
                time=observation.time,
                luma=luma,
                target=observation.target,
                pose=pose,
                memory=memory,
                maps=maps,
                linear=linear,
                shading=shading,
                volume=volume,
                planes=planes,
                source=source,
            )
            if observation.shown is None:
                return estimate
            gain = self._gain(estimate, observation.shown)
            return replace(estimate, prepared=PreparedGain(observation.shown, gain))


def _linear(image: BgrImage) -> Tensor:
    """`(1, 3, 128, 128)` linear RGB of a `(256, 256, 3)` crop."""
    small = linear_rgb(resize(image, (OUTPUT, OUTPUT)))
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None]
