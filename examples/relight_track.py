"""Relights a video track with aiortc: a camera or a file in, a file out.

    python examples/relight_track.py talk.mp4 relit.mp4 --preset rembrandt
    python examples/relight_track.py /dev/video0 relit.mp4 --format v4l2 --seconds 10

In a call the `RelightTrack` goes into a peer connection instead: `pc.addTrack(RelightTrack(...))`,
with the track that `pc.on("track")` brings, or with one of this machine's camera.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence

from aiortc import MediaStreamTrack
from aiortc.contrib.media import MediaPlayer, MediaRecorder

from vcam_relight import Relighter, RelightTrack, load_engine, load_presets


async def relight(video: MediaStreamTrack, target: str, preset: str, seconds: float | None) -> None:
    """Records `video` under the preset, to its end or for `seconds`."""
    presets, _ = load_presets()
    lighting, controls = presets[preset].lighting(), presets[preset].controls
    relighter = Relighter(load_engine("geometry"))
    track = RelightTrack(video, relighter, lighting, controls)
    ended = asyncio.Event()
    track.on("ended", ended.set)
    recorder = MediaRecorder(target)
    recorder.addTrack(track)
    await recorder.start()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds)
    track.stop()
    await recorder.stop()


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", help="a file, or a device that FFmpeg opens")
    parser.add_argument("target", help="a video file")
    parser.add_argument("--format", help="FFmpeg's name of the device's kind, such as v4l2")
    parser.add_argument("--preset", choices=list(load_presets()[0]), default="key-left")
    parser.add_argument("--seconds", type=float)
    args = parser.parse_args(argv)

    async def run() -> None:
        player = MediaPlayer(args.source, format=args.format)
        if player.video is None:
            parser.exit(1, f"{args.source} has no video\n")
        await relight(player.video, args.target, args.preset, args.seconds)

    asyncio.run(run())


if __name__ == "__main__":
    main()
