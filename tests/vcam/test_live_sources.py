"""Live files and addresses: covers, pixels that are not square, pipes, slow cameras, silence."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from conftest import ROOT

from support.clips import contents, ffmpeg, image, make_clip, psnr
from vcam_relight.vcam.core.errors import SourceError, SourceLost
from vcam_relight.vcam.core.frame import Frame, VideoMode
from vcam_relight.vcam.sources import playback
from vcam_relight.vcam.sources.file import FileSource
from vcam_relight.vcam.sources.registry import open_source

SLOW_FPS = 2.5


def first(source: FileSource, count: int) -> list[Frame]:
    source.open()
    frames = [source.read() for _ in range(count)]
    source.close()
    return [frame for frame in frames if frame is not None]


def test_the_film_is_shown_and_not_its_cover(tmp_path: Path) -> None:
    make_clip(tmp_path / "film.mp4", audio=None)
    cv2.imwrite(str(tmp_path / "cover.jpg"), np.zeros((300, 300, 3), np.uint8))
    words = "-i cover.jpg -i film.mp4 -map 0 -map 1 -c copy -disposition:v:0 attached_pic both.mp4"
    ffmpeg(*words.split(), folder=tmp_path)
    frames = first(FileSource(str(tmp_path / "both.mp4")), 3)
    assert psnr(frames[0].image, image(0)) > 30
    assert frames[2].seconds == pytest.approx(2 / 30, abs=0.001)


def test_people_are_as_wide_as_they_were(tmp_path: Path) -> None:
    shown = image(0, (180, 144))
    make_clip(tmp_path / "pal.mp4", images=[shown] * 3, aspect=Fraction(64, 45), audio=None)
    (frame,) = first(FileSource(str(tmp_path / "pal.mp4")), 1)
    assert frame.image.shape == (144, 256, 3)
    assert psnr(frame.image, np.asarray(cv2.resize(shown, (256, 144)), np.uint8)) > 30


@pytest.fixture
def server() -> Iterator[str]:
    """A camera that sends images slowly, and one that makes one when it is asked."""

    class SnapshotHandler(http.server.BaseHTTPRequestHandler):
        asked: ClassVar[list[float]] = []

        def do_GET(self) -> None:
            jpeg = cv2.imencode(".jpg", image(len(self.asked)))[1].tobytes()
            self.send_response(200)
            if self.path == "/snapshot":
                self.asked.append(time.monotonic())
                self.send_header("Content-Type", "image/jpeg")
                self.end_headers()
                self.wfile.write(jpeg)
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
            try:
                while True:
                    self.wfile.write(part % (len(jpeg), jpeg))
                    time.sleep(1 / SLOW_FPS)
            except OSError:  # nobody reads any more
                return

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SnapshotHandler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_slow_cameras_frames_have_the_time_of_their_arrival(server: str) -> None:
    frames = first(FileSource(f"{server}/camera"), 8)  # FFmpeg says 25 a second
    steps = np.diff([frame.seconds for frame in frames][3:])  # after those it had waited for
    assert steps == pytest.approx(np.full(4, 1 / SLOW_FPS), abs=0.15)


def test_a_snapshot_is_asked_for_once_a_period(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "SNAPSHOT_PERIOD_S", 0.3)
    source = FileSource(f"{server}/snapshot")
    begin = time.monotonic()
    frames = first(source, 4)
    assert 0.85 < time.monotonic() - begin < 3
    assert np.diff([frame.seconds for frame in frames]) == pytest.approx(np.full(3, 0.3), abs=0.15)
    assert psnr(frames[0].image, frames[3].image) < 30  # anew each time


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playback, "OPEN_TIMEOUT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = FileSource(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        begin = time.monotonic()
        with pytest.raises(SourceError, match="did not answer within 1 s"):
            source.open()
        assert time.monotonic() - begin < 3


def test_close_does_not_wait_for_the_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"

        def serve() -> None:  # some images, then silence
            connection, _ = listener.accept()
            jpeg = cv2.imencode(".jpg", image(1))[1].tobytes()
            connection.sendall(
                b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
            )
            for _ in range(5):
                connection.sendall(
                    b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                    % (len(jpeg), jpeg)
                )
            time.sleep(20)

        threading.Thread(target=serve, daemon=True).start()
        source = FileSource(url)
        source.open()
        answers: list[Frame | None] = []

        def read_on() -> None:
            while not answers or answers[-1] is not None:
                answers.append(source.read())

        reader = threading.Thread(target=read_on, daemon=True)
        reader.start()
        time.sleep(1)
        begin = time.monotonic()
        source.close()
        assert time.monotonic() - begin < 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_ends_with_its_writer_and_obeys(tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.ts", audio=None)
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as file:
            file.write((tmp_path / "clip.ts").read_bytes())

    threading.Thread(target=write, daemon=True).start()
    source = FileSource(str(pipe))
    source.open()
    frames = 0
    with pytest.raises(SourceLost, match="ended"):
        while source.read() is not None:
            frames += 1
    source.close()
    assert frames == 15
    command = [
        sys.executable,
        "run_vcam.py",
        "--source",
        str(pipe),
        "--sink",
        "none",
        "--port",
        "0",
    ]
    command += ["--no-browser", "--engine", "passthrough", "--record", str(tmp_path / "r.mp4")]
    threading.Thread(target=write, daemon=True).start()
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        while "ended" not in (line := running.stderr.readline()):
            assert line, "it stopped before the pipe ended"
        running.send_signal(signal.SIGHUP)
        _, said = running.communicate(timeout=15)
    assert "recorded" in said and "Traceback" not in said
    assert len(contents(tmp_path / "r.mp4").times) > 7  # a busy machine drops some


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_nobody_writes_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playback, "OPEN_TIMEOUT_S", 0.5)
    os.mkfifo(tmp_path / "pipe.ts")
    with pytest.raises(SourceError, match=r"nothing is written to .*pipe\.ts"):
        FileSource(str(tmp_path / "pipe.ts")).open()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_file(device: str) -> None:
    if not Path(device).exists():
        pytest.skip("no such device here")
    with pytest.raises(SourceError, match="is a device, not a file"):
        open_source(device, VideoMode((640, 360), 30))


def test_a_picture_whose_name_does_not_say_so_is_a_still(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), image(4))
    (tmp_path / "photo.png").rename(tmp_path / "photo")
    frames = first(FileSource(str(tmp_path / "photo"), fps=50), 3)
    assert [frame.pts for frame in frames] == [0, 1800, 3600]
    assert np.array_equal(frames[0].image, image(4))
