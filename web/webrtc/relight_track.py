"""An aiortc track that shows another one under a new lighting: for users of the library."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable

import av
from aiortc import MediaStreamTrack

from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.relighter import Relight
from vcam_relight.vcam.core.mailbox import Mailbox
from vcam_relight.vcam.media.frames import FrameConverter
from vcam_relight.web.webrtc.tracks import RelitTrack, drain, i420

log = logging.getLogger(__name__)


class RelightTrack(RelitTrack):
    """The frames of a video track, relit.

    Frames are relit on a thread of the track's own, never on the event loop. The newest one wins:
    what comes while another is relit replaces what waits, so delay does not grow and the frame rate
    is the engine's. Timestamps stay. If the engine fails, frames pass through unchanged and the log
    says why, once.

    It ends with the track that it shows, at a frame that cannot be converted, or with `stop`, which
    leaves that track alone.
    """

    def __init__(
        self,
        track: MediaStreamTrack,
        relighter: Relight,
        lighting: Lighting,
        settings: RelightSettings | None = None,
    ) -> None:
        """Starts at once; needs a running event loop.

        Args:
            track: a video track that nobody else reads (`aiortc.contrib.media.MediaRelay` makes
                more of one).
            relighter: the track's own, which closes it; its engine may serve other tracks too.
            lighting: the target lighting.
            settings: the user's controls; None: their defaults.
        """
        super().__init__()
        self.lighting = lighting
        """May be exchanged at any time; the next frame is relit with it."""
        self.settings = settings or RelightSettings()
        """Likewise."""
        self._track = track
        self._problem = ""
        self._converter = FrameConverter()
        self._inbox: Mailbox[av.VideoFrame] = Mailbox()
        self._event_loop = asyncio.get_running_loop()
        self._draining = asyncio.create_task(self._drain())
        threading.Thread(
            target=self._run, args=(relighter,), name="relight track", daemon=True
        ).start()

    def stop(self) -> None:
        """Ends the track; its thread ends with the frame that it is at."""
        super().stop()
        self._inbox.close()
        self._draining.cancel()

    async def _drain(self) -> None:
        await drain(self._track, self._inbox.put)
        self.stop()

    def _run(self, relighter: Relight) -> None:
        try:
            with contextlib.closing(relighter):
                while (frame := self._inbox.take()) is not None:
                    relit = i420(self._relit(frame, relighter))
                    relit.pts, relit.time_base = frame.pts, frame.time_base
                    self._on_loop(self.put, relit)
        except Exception:
            log.exception("the relit track ends")
        finally:
            self._on_loop(self.stop)  # or `recv` would wait for ever

    def _on_loop(self, call: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed
            self._event_loop.call_soon_threadsafe(call, *args)

    def _relit(self, frame: av.VideoFrame, relighter: Relight) -> BgrImage:
        image = self._converter.to_image(frame)
        try:
            relit = relighter.process(image, frame.time or 0.0, self.lighting, self.settings)
        except Exception as error:  # whatever an engine raises, the video goes on
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:
                log.exception("relighting failed, frames pass through unchanged")
            self._problem = problem
            with contextlib.suppress(Exception):
                relighter.reset()
            return image
        self._problem = ""
        return relit
