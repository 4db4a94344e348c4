"""The colour space that Chromium tells in an RTP header extension, and VP8 itself cannot.

A canvas or a screen is sent as full-range BT.709, which read as the usual limited-range BT.601
turns (10, 200, 10) into (13, 249, 2). The extension comes with the last packet of keyframes
(http://www.webrtc.org/experiments/rtp-hdrext/color-space).
"""

import weakref
from typing import Any

import av
from aiortc import MediaStreamTrack, rtcrtpreceiver, rtp
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from av.video.reformatter import ColorRange

URI = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
_LIMITED, _FULL = 1, 2  # of the extension's range bits

_told: weakref.WeakKeyDictionary[MediaStreamTrack, tuple[int, int]] = weakref.WeakKeyDictionary()
"""Matrix (H.273) and range bits by remote track, as last told."""


def negotiate() -> None:
    """Has aiortc accept the extension in answers, and keeps what it says.

    A second call, or an aiortc that knows it by itself, changes nothing.
    """
    extensions = HEADER_EXTENSIONS["video"]
    if any(extension.uri == URI for extension in extensions):
        return
    extensions.append(RTCRtpHeaderExtensionParameters(id=_free_id(), uri=URI))
    configure = rtp.HeaderExtensionsMap.configure
    get = rtp.HeaderExtensionsMap.get
    receive = rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet

    def configure_too(self: Any, parameters: RTCRtpParameters) -> None:
        configure(self, parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == URI:
                self.color_space_id = extension.id

    def get_too(self: Any, extension_profile: int, extension_value: bytes) -> rtp.HeaderExtensions:
        values: Any = get(self, extension_profile, extension_value)
        wanted = getattr(self, "color_space_id", None)
        for ident, data in (
            rtp.unpack_header_extensions(extension_profile, extension_value) if wanted else ()
        ):
            if ident == wanted:
                values.color_space = data
        return values  # type: ignore[no-any-return]

    async def receive_too(self: Any, packet: rtp.RtpPacket, arrival_time_ms: int) -> None:
        data = getattr(packet.extensions, "color_space", None)
        if data is not None and len(data) >= 4 and self._track is not None:
            _told[self._track] = data[2], data[3] >> 4 & 3
        await receive(self, packet, arrival_time_ms=arrival_time_ms)

    rtp.HeaderExtensionsMap.configure = configure_too  # type: ignore[method-assign]
    rtp.HeaderExtensionsMap.get = get_too  # type: ignore[method-assign]
    rtcrtpreceiver.RTCRtpReceiver._handle_rtp_packet = receive_too  # type: ignore[method-assign]


def tag(frame: av.VideoFrame, track: MediaStreamTrack) -> None:
    """Writes to a decoded frame what its track has told of its colours, if anything."""
    told = _told.get(track)
    if told is None:
        return
    matrix, range_bits = told
    frame.colorspace = matrix
    if range_bits in (_LIMITED, _FULL):
        frame.color_range = ColorRange.JPEG if range_bits == _FULL else ColorRange.MPEG


def _free_id() -> int:
    return 1 + max(extension.id for found in HEADER_EXTENSIONS.values() for extension in found)
