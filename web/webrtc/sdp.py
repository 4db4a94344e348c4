"""What is changed in session descriptions (SDP, RFC 8866) on their way in and out."""

import re

BITRATES = "x-google-start-bitrate=2500;x-google-min-bitrate=1000;x-google-max-bitrate=3000"
"""In kbit/s, for the browser's encoder. Chrome starts at 300 and then sends 640x360 of a 720p
camera; other browsers ignore these parameters."""


def without_local_candidates(sdp: str) -> str:
    """Leaves out mDNS candidates (`….local`), which pages without camera permission offer.

    aioice would wait a second for each to resolve, and the connection is made without them.
    """
    lines = sdp.splitlines(keepends=True)
    return "".join(line for line in lines if not _is_local_candidate(line))


def _is_local_candidate(line: str) -> bool:
    # candidate:<foundation> <component> <transport> <priority> <address> …  (RFC 8839, 5.1)
    fields = line.split()
    return (
        line.startswith("a=candidate:")
        and len(fields) > 4
        and fields[4].lower().rstrip(".").endswith(".local")
    )


def with_bitrates(sdp: str) -> str:
    """Adds `BITRATES` to each video codec of an answer; VP8 has no fmtp line, so it gets one."""
    codecs = re.findall(r"^a=rtpmap:(\d+) (?:VP8|H264)/90000", sdp, re.MULTILINE)
    for payload_type in codecs:
        fmtp = re.compile(rf"^(a=fmtp:{payload_type} [^\r\n]*)", re.MULTILINE)
        if fmtp.search(sdp):
            sdp = fmtp.sub(rf"\1;{BITRATES}", sdp)
        else:
            rtpmap = re.compile(rf"^(a=rtpmap:{payload_type} [^\r\n]*)(\r?\n)", re.MULTILINE)
            sdp = rtpmap.sub(rf"\1\2a=fmtp:{payload_type} {BITRATES}\2", sdp)
    return sdp
