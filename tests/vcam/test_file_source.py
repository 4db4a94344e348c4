"""Files, streams and the demo clip as a camera; and recordings of what is shown."""

import gc
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from support.clips import QUARTER_TURN, contents, image, make_clip, psnr
from support.tolerances import VIDEO_REENCODED_DB
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.errors import InputError, SinkError, SourceError, SourceLost
from vcam_relight.vcam.core.frame import Frame
from vcam_relight.vcam.media.video_reader import Decoded, VideoReader
from vcam_relight.vcam.sinks import ProcessedFrame
from vcam_relight.vcam.sinks.recorder import RecorderSink
from vcam_relight.vcam.sources.demo import DemoSource
from vcam_relight.vcam.sources.file import FileSource

RECORDED_DB = 33.0
"""PSNR of a recording's frames: H.264 at crf 20 or VP9 at 30 with 4:2:0 chroma and the fast
conversion to YUV."""

RECORDING_LOST_S = 3.0
"""Seconds at the end of a recording that may be lost with the program: the 2 s from one keyframe
to the next and what the encoder looks ahead."""


def read(source: FileSource | DemoSource, count: int) -> list[Frame]:
    frames = [source.read() for _ in range(count)]
    assert all(frames)
    return [frame for frame in frames if frame is not None]


def test_a_clip_plays_at_its_pace_and_again(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    images = [image(number) for number in range(6)]
    make_clip(clip, images=images, times=[0, 3000, 6000, 15_000, 18_000, 21_000])
    source = FileSource(str(clip))
    source.open()
    begin = time.perf_counter()
    frames = read(source, 13)
    took = time.perf_counter() - begin
    source.close()
    pts = np.array([frame.pts for frame in frames])
    assert pts[:6].tolist() == [0, 3000, 6000, 15_000, 18_000, 21_000]
    assert (np.diff(pts) > 0).all() and pts[12] - pts[6] == pts[6]
    assert took >= 0.95 * pts[12] / 90_000  # as slowly as it was filmed
    for number in (0, 4, 6, 10):
        assert psnr(frames[number].image, images[number % 6]) > VIDEO_REENCODED_DB


def test_a_turned_clip_is_upright(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", matrix=QUARTER_TURN, audio=None)
    source = FileSource(str(tmp_path / "clip.mp4"))
    source.open()
    (frame,) = read(source, 1)
    source.close()
    wanted = cv2.rotate(image(0), cv2.ROTATE_90_COUNTERCLOCKWISE)
    clockwise = cv2.rotate(image(0), cv2.ROTATE_90_CLOCKWISE)
    upright = contents(tmp_path / "clip.mp4").upright[0]
    assert psnr(frame.image, upright) > VIDEO_REENCODED_DB
    assert (
        psnr(frame.image, np.asarray(clockwise, np.uint8))
        > 30
        > psnr(frame.image, np.asarray(wanted, np.uint8))
    )


def test_a_photo_is_a_very_quiet_camera(tmp_path: Path) -> None:
    Image.fromarray(image(1)[..., ::-1]).save(tmp_path / "photo.png")
    source = FileSource(str(tmp_path / "photo.png"), fps=50)
    source.open()
    frames = read(source, 5)
    source.close()
    assert [frame.pts for frame in frames] == [0, 1800, 3600, 5400, 7200]
    assert all(np.array_equal(frame.image, image(1)) for frame in frames)


def test_time_goes_on_when_opened_again(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", audio=None)
    source = FileSource(str(tmp_path / "clip.mp4"))
    source.open()
    first = read(source, 3)
    source.close()
    source.open()
    second = read(source, 3)
    source.close()
    source.close()
    pts = [frame.pts for frame in first + second]
    assert pts == sorted(set(pts)) and pts[-1] - pts[-2] == 3000


def test_close_wakes_a_waiting_read(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", images=[image(0), image(1)], times=[0, 600_000])
    source = FileSource(str(tmp_path / "clip.mp4"))
    source.open()
    read(source, 1)
    answers: list[Frame | None] = [Frame(image(0), 0.0, 0)]
    reader = threading.Thread(target=lambda: answers.append(source.read()))
    reader.start()
    time.sleep(0.1)
    source.close()
    reader.join(timeout=1.5)
    assert not reader.is_alive() and answers[-1] is None


@pytest.mark.parametrize("name", ["missing.mp4", "empty.mp4", "text.mp4", "empty.png", "folder"])
def test_unusable_files_give_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.mp4").write_text("words\n" * 99)
    (tmp_path / "folder").mkdir()
    source = FileSource(str(tmp_path / name))
    with pytest.raises(SourceError) as raised:
        source.open()
    assert name in str(raised.value) and "\n" not in str(raised.value)


def test_a_scratched_clip_plays_on(tmp_path: Path) -> None:
    clip = tmp_path / "clip.ts"
    make_clip(clip, images=[image(number) for number in range(40)], audio=None)
    data = bytearray(clip.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 3000] = bytes(3000)
    clip.write_bytes(data)
    source = FileSource(str(clip))
    source.open()
    frames = read(source, 60)  # beyond its end: it goes in a loop
    source.close()
    pts = [frame.pts for frame in frames]
    assert pts == sorted(set(pts))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server for the files in `tmp_path`, and a stream that stops in the middle."""

    class FileHandler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if not self.path.startswith("/camera"):
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(12):
                jpeg = cv2.imencode(".jpg", image(number))[1].tobytes()
                self.wfile.write(
                    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                    % (len(jpeg), jpeg)
                )

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FileHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


def test_network_streams(tmp_path: Path, web: str) -> None:
    make_clip(tmp_path / "clip.mkv")
    stored = FileSource(f"{web}/clip.mkv")
    assert "secret" not in stored.label
    stored.open()
    assert read(stored, 20)[-1].pts == 19 * 3000  # a stored file goes in a loop
    stored.close()
    live = FileSource(f"{web}/camera")
    live.open()
    with pytest.raises(SourceLost, match=r"ended|stopped"):
        while (frame := live.read()) is not None:
            assert frame.image.shape == (180, 320, 3)
    live.close()
    with pytest.raises(SourceError, match=r"clip2.mp4 cannot be opened"):
        FileSource(f"{web}/clip2.mp4").open()
    with pytest.raises(SourceError, match="cannot be opened"):
        FileSource("http://127.0.0.1:9/nothing.mp4").open()


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("rtsp://me:p@ss@10.0.0.7:554/live?key=abc#x", "rtsp://10.0.0.7:554/live"),
        ("https://host/clip.mp4?token=abc", "https://host/clip.mp4"),
        ("http://me:secret@[::1]:80/@home", "http://[::1]:80/@home"),
        ("rtsp://me:se/cret@host/live", "rtsp://…"),
        ("udp://:1234", "udp://:1234"),
    ],
)
def test_labels_and_errors_show_no_secrets(url: str, label: str) -> None:
    assert FileSource(url).label == label


def test_a_stream_that_does_not_open_shows_no_secrets() -> None:
    with pytest.raises(SourceError) as raised:
        FileSource("http://me:p@ss@127.0.0.1:9/clip.mp4?key=abc").open()
    assert raised.value.what.startswith("http://127.0.0.1:9/clip.mp4 cannot be opened (")
    assert not any(secret in str(raised.value) for secret in ("me:", "ss@", "abc"))


def test_a_colon_in_a_files_name_is_no_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = RecorderSink(Path("10:30.mp4"), 30)
    sink.open()
    for number in range(3):
        deliver(sink, number, number * 3000)
    sink.close()
    source = FileSource("10:30.mp4")
    source.open()
    assert psnr(read(source, 1)[0].image, image(0)) > RECORDED_DB
    source.close()
    assert main(["video", "10:30.mp4", "10:31.mp4", "--engine", "passthrough"]) == 0
    assert len(contents(tmp_path / "10:31.mp4").times) == 3


def test_the_demo_clip_fills_any_size() -> None:
    for size in ((640, 360), (480, 480)):
        source = DemoSource(size)
        source.open()
        first, second = (frame.image for frame in read(source, 2))
        source.close()
        assert first.shape == (size[1], size[0], 3) and first.mean() > 5
        assert first is not second
        if size == (480, 480):
            assert first[:60].max() == 0 and first[240].mean() > 5  # bars, not stretched


def deliver(sink: RecorderSink, number: int, pts: int, size: tuple[int, int] = (320, 180)) -> None:
    frame = Frame(image(number, size), 0.0, pts)
    sink.write(ProcessedFrame(frame, frame, 1))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_a_recording_keeps_the_times_of_the_frames(tmp_path: Path, ending: str) -> None:
    sink = RecorderSink(tmp_path / f"call.{ending}", 30)
    sink.open()
    times = [90_000, 93_000, 96_060, 108_000, 111_000]
    for number, pts in enumerate(times):
        deliver(sink, number, pts)
    deliver(sink, 5, 300)  # the source began anew
    deliver(sink, 6, 3300, size=(180, 320))  # and the camera was turned
    assert not (tmp_path / f"call.{ending}").exists()
    sink.close()
    sink.close()
    found = contents(tmp_path / f"call.{ending}")
    wanted = [Fraction(t - 90_000, 90_000) for t in times] + [Fraction(24, 90), Fraction(27, 90)]
    wanted[-2:] = [wanted[4] + Fraction(1, 30), wanted[4] + Fraction(2, 30)]
    assert [float(t) for t in found.times] == pytest.approx([float(t) for t in wanted], abs=6e-4)
    for number in range(6):
        assert psnr(found.stored[number], image(number)) > RECORDED_DB
    assert found.stored[6][:, :80].max() < 20 < found.stored[6][:, 120:200].mean()
    assert [path.name for path in tmp_path.glob("*.*")] == [f"call.{ending}"]


def test_a_second_recording_does_not_replace_the_first(tmp_path: Path) -> None:
    sink = RecorderSink(tmp_path / "call.mp4", 30)
    for number in (1, 2):
        sink.open()
        deliver(sink, number, 0)
        sink.close()
    assert psnr(contents(tmp_path / "call.mp4").stored[0], image(1)) > RECORDED_DB
    assert psnr(contents(tmp_path / "call-2.mp4").stored[0], image(2)) > RECORDED_DB


def test_recordings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known video ending"):
        RecorderSink(tmp_path / "call.xyz", 30)
    with pytest.raises(SinkError, match="cannot be written"):
        RecorderSink(tmp_path / "nowhere" / "call.mp4", 30).open()
    empty = RecorderSink(tmp_path / "call.mp4", 30)
    empty.open()
    empty.close()
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob(".*.mp4"))


def test_the_unfinished_file_of_another_recording_is_left_alone(tmp_path: Path) -> None:
    leftover = tmp_path / ".call.part.mp4"
    leftover.write_text("a program that died")
    first, second = (RecorderSink(tmp_path / "call.mp4", 30) for _ in range(2))
    for sink in (first, second):
        sink.open()
        sink.open()  # tried out, then opened again by the loop
    for number, sink in enumerate((first, second)):
        deliver(sink, number, 0)
    first.close()
    second.close()
    assert leftover.read_text() == "a program that died"
    assert psnr(contents(tmp_path / "call.mp4").stored[0], image(0)) > RECORDED_DB
    assert psnr(contents(tmp_path / "call-2.mp4").stored[0], image(1)) > RECORDED_DB
    assert len(list(tmp_path.glob(".*part*"))) == 1


def test_a_recording_that_cannot_take_its_name_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    sink = RecorderSink(tmp_path / "call.mp4", 30)
    sink.open()
    deliver(sink, 1, 0)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SinkError, match=r"could not be named .*permission denied\); it is at") as e:
        sink.close()
    kept = Path(e.value.hint.removeprefix("it is at "))
    assert psnr(contents(kept).stored[0], image(1)) > RECORDED_DB


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_is_kept_of_a_program_that_dies_is_recent(tmp_path: Path, ending: str) -> None:
    sink = RecorderSink(tmp_path / f"call.{ending}", 30)
    sink.open()
    for number in range(240):
        deliver(sink, 1, number * 3000)  # one scene: no cut asks for a keyframe
    survived = tmp_path / f"survived.{ending}"
    survived.write_bytes((tmp_path / f".call.part.{ending}").read_bytes())
    sink.close()
    with VideoReader.open(survived) as reader:
        last = [item.seconds for item in reader.items() if isinstance(item, Decoded)][-1]
    assert last >= 239 / 30 - RECORDING_LOST_S


def test_a_disk_without_room_for_the_header_ends_in_one_line(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; from vcam_relight.vcam.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "run", "--source", "demo", "--sink", "none"]
    command += ["--no-browser", "--port", "0", "--seconds", "3", "--engine", "passthrough"]
    command += ["--record", str(tmp_path / "call.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 1, done
    assert "call.mp4 cannot be written (file too large)" in done.stderr.splitlines()[-1]
    assert "recorded" not in done.stderr and "Traceback" not in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_a_full_disk_keeps_what_was_recorded(tmp_path: Path) -> None:
    import resource
    import signal

    sink = RecorderSink(tmp_path / "call.mp4", 30)
    sink.open()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    noise = np.random.default_rng(0)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, old[1]))
        with pytest.raises(SinkError, match="cannot be written"):
            for number in range(600):
                shown = noise.integers(0, 256, (180, 320, 3), dtype=np.uint8)
                frame = Frame(shown, 0.0, number * 3000)
                sink.write(ProcessedFrame(frame, frame, 1))
        with pytest.raises(SinkError, match="cannot be written"):
            sink.close()
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["call.mp4"]
    with VideoReader.open(tmp_path / "call.mp4") as reader:
        assert len(list(reader.items())) > 5


def test_frames_that_were_shown_are_let_go() -> None:
    source = DemoSource((64, 48))
    source.open()
    gc.disable()  # Python looks for cycles rarely: a frame in one stays for minutes
    try:
        before = frames_alive()
        for _ in range(40):
            source.read()
        assert frames_alive() < before + 10
    finally:
        gc.enable()
        source.close()


def frames_alive() -> int:
    """Frames of FFmpeg's that somebody holds."""
    return sum(isinstance(kept, av.VideoFrame) for kept in gc.get_objects())
