"""What is checked and changed in session descriptions (SDP, RFC 8866) on their way in and out."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

BITRATES = "x-google-start-bitrate=2500;x-google-min-bitrate=1000;x-google-max-bitrate=3000"
"""In kbit/s, for the browser's encoder. Chrome starts at 300 and then sends 640x360 of a 720p
camera; other browsers ignore these parameters."""

MAX_SECTIONS = 4
"""Media sections (`m=`) of an offer; ours has two. aiortc makes a transport for each, on the event
loop."""
MAX_REPEATED = {"rtpmap": 64, "fmtp": 64, "rtcp-fb": 256, "extmap": 64, "candidate": 64, "ssrc": 64}
"""Lines of one attribute in a section, by its name: twice what browsers send. aiortc's answer takes
time by the square of them."""
MAX_OTHER = 64
"""Lines of any other attribute."""

_KINDS = ("m=audio ", "m=video ", "m=application ")
"""Sections that aiortc makes transports for."""
_ATTRIBUTE = re.compile(r"a=([a-z0-9-]+)(?::(\S+))?", re.IGNORECASE)
_CANDIDATE_ADDRESS = 4  # candidate:<foundation> <component> <transport> <priority> <address> …


def check_offer(sdp: str) -> None:
    """Refuses what would keep the event loop busy, or leave half an answer behind.

    Raises:
        ValueError: too many sections or attributes, a payload type that is mapped twice in a
            section, a BUNDLE group (RFC 9143) of sections that are not there, or a section that no
            certificate could be checked for.
    """
    session, *sections = _sections(sdp)
    if len(sections) > MAX_SECTIONS:
        raise ValueError(f"an offer has at most {MAX_SECTIONS} media sections")
    for section in (session, *sections):
        found = [m.groups() for line in section if (m := _ATTRIBUTE.match(line))]
        for name, count in Counter(name for name, _ in found).items():
            if count > MAX_REPEATED.get(name, MAX_OTHER):
                raise ValueError(f"a section has {count} lines of {name}")
        mapped = Counter(value for name, value in found if name == "rtpmap")
        if any(count > 1 for count in mapped.values()):
            raise ValueError("a payload type is mapped twice")
    _check_names(session, sections)
    bundled = any(line.startswith("a=group:BUNDLE") for line in session)
    for section in sections[:1] if bundled else sections:
        if not any(line.startswith("a=fingerprint:") for line in (*session, *section)):
            raise ValueError("a section has no fingerprint of a certificate")


def _check_names(session: list[str], sections: list[list[str]]) -> None:
    """Each section has one name at most, its own; BUNDLE (RFC 9143) names those that there are.

    aiortc has no transport for what a group names and no section is, and can then neither answer
    nor close.
    """
    names: list[str] = []
    usable: set[str] = set()
    for section in sections:
        own = [line[6:] for line in section if line.startswith("a=mid:")]
        if len(own) > 1:
            raise ValueError("a section has two names")
        names += own
        if section[0].startswith(_KINDS):
            usable.update(own)
    if len(set(names)) < len(names):
        raise ValueError("two sections have one name")
    for line in session:
        named = line.split()[1:] if line.startswith("a=group:BUNDLE") else []
        if not set(named) <= usable:
            raise ValueError("the BUNDLE group names a section that is not there")
        if len(set(named)) < len(named):
            raise ValueError("the BUNDLE group names a section twice")


def with_reachable_candidates(
    sdp: str, own_addresses: Iterable[str], from_here: bool, only_here: bool
) -> str:
    """An offer with the candidates that aioice can try.

    Browsers hide their addresses behind mDNS names (`….local`), for each of which aioice would
    wait a second. Where the page is on this machine these are addresses of ours, and their ports
    are real: Firefox offers nothing else. Elsewhere they are left out, since the browser's own
    checks tell where they come from.

    Args:
        sdp: the offer.
        own_addresses: this machine's, as we offer them.
        from_here: whether the page that made the offer is on this machine.
        only_here: leave out candidates of other machines.
    """
    own = list(own_addresses)
    kept: list[str] = []
    for line in sdp.splitlines(keepends=True):
        address = _candidate_address(line)
        if address is None:
            kept.append(line)
        elif address.lower().rstrip(".").endswith(".local"):
            if from_here:
                kept += [line.replace(address, mine, 1) for mine in own if mine != "127.0.0.1"]
        elif not only_here or address in own:
            kept.append(line)
    return "".join(kept)


def with_announced_address(sdp: str, address: str) -> str:
    """An answer whose host candidates (RFC 8445, 5.1.1) are at an address that others reach.

    Args:
        sdp: the answer.
        address: of a router that translates it one to one to this machine's.
    """
    kept: list[str] = []
    for line in sdp.splitlines(keepends=True):
        own = _candidate_address(line)
        if own is not None and " typ host" in line and not own.startswith("127."):
            if (":" in own) != (":" in address):
                continue  # the router knows the other family alone
            line = line.replace(f" {own} ", f" {address} ", 1)
        if line not in kept or own is None:
            kept.append(line)
    return "".join(kept)


def with_bitrates(sdp: str) -> str:
    """An answer with `BITRATES` at each video codec; VP8 has no fmtp line, so it gets one."""
    codecs = set(re.findall(r"^a=rtpmap:(\d+) (?:VP8|H264)/90000", sdp, re.MULTILINE))
    with_fmtp = set(re.findall(r"^a=fmtp:(\d+) ", sdp, re.MULTILINE))

    def rewritten(line: str) -> str:
        match = re.match(r"a=(rtpmap|fmtp):(\d+) ", line)
        if match is None or match[2] not in codecs:
            return line
        text = line.rstrip("\r\n")
        end = line[len(text) :]
        if match[1] == "fmtp":
            return f"{text};{BITRATES}{end}"
        return line if match[2] in with_fmtp else f"{line}a=fmtp:{match[2]} {BITRATES}{end}"

    return "".join(map(rewritten, sdp.splitlines(keepends=True)))


def _sections(sdp: str) -> Iterator[list[str]]:
    """The lines of the session and then of each media section."""
    lines: list[str] = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            yield lines
            lines = []
        lines.append(line)
    yield lines


def _candidate_address(line: str) -> str | None:
    fields = line.split()
    if line.startswith("a=candidate:") and len(fields) > _CANDIDATE_ADDRESS:
        return fields[_CANDIDATE_ADDRESS]
    return None
