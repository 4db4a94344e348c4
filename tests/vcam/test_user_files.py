"""What users leave lying about: files of every kind are a line, and nothing else is lost."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

from vcam_relight.pipeline.core import resources
from vcam_relight.pipeline.core.resources import CHECKPOINTS, read_checked
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.atomic_file import replacing
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings import persistence
from vcam_relight.vcam.settings.store import Settings, SettingsStore

GOOD = '[good]\ntitle = "Good"\n[[good.light]]\nintensity = 1.0\n'
ESCAPE = "\x1b[31m"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with a preset that works."""
    monkeypatch.setattr(persistence, "config_folder", lambda: tmp_path)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "good.toml").write_text(GOOD)
    return tmp_path / "presets"


def litter(folder: Path) -> list[str]:
    """Makes files that are no presets, and returns their names."""
    (folder / "keys.toml").write_text("".join(f"k{n} = 1\n" for n in range(300_000)))
    (folder / "deep.toml").write_text("x = " + "[" * 500 + "]" * 500)
    (folder / "tables.toml").write_text("[" + ".".join("a" * 500) + "]\nb = 1\n")
    (folder / "number.toml").write_text(f"[n]\n[[n.light]]\nintensity = 0x{'f' * 9999}\n")
    (folder / "folder.toml").mkdir()
    (folder / "bytes.toml").write_bytes(bytes(range(128, 256)))
    names = ["keys", "deep", "tables", "number", "folder", "bytes"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.toml")
        (folder / "zero.toml").symlink_to("/dev/zero")
        (folder / "gone.toml").symlink_to("/nowhere/at/all")
        names += ["pipe", "zero", "gone"]
    return names


def test_presets_of_any_kind_are_one_line_each(folder: Path) -> None:
    names = litter(folder)
    presets, problems = load_presets(folder)
    assert "good" in presets and "soft-front" in presets
    assert len(problems) == len(names)
    for name in names:
        (line,) = (line for line in problems if f"{name}.toml" in line)
        assert "\n" not in line and len(line) < 600, name


def test_a_byte_order_mark_is_no_part_of_a_preset(folder: Path) -> None:
    (folder / "bom.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("good", "marked").encode())
    (folder / "wide.toml").write_text(GOOD.replace("good", "wide"), encoding="utf-16")
    presets, problems = load_presets(folder)
    assert {"marked", "wide"} <= set(presets) and not problems


def test_names_cannot_command_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "escape.toml").write_text(
        GOOD.replace("good]", '"\\u001b[31mred"]').replace("good.light", '"\\u001b[31mred".light')
    )
    (folder / f"{ESCAPE}name.toml").write_text("x = ")
    (folder / "long.toml").write_text(GOOD.replace("good", "long").replace("Good", "W" * 9999))
    assert main(["presets"]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err and r"\x1b[31mred" in said.out
    assert r"\x1b[31mname.toml" in said.err
    assert max(map(len, said.out.splitlines())) < 200
    assert main(["presets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["presets"]
    assert all(len(preset["title"]) <= 60 for preset in listed)
    assert main(["image", f"{ESCAPE}in.png", "out.png"]) == 1
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[" * 60_000, "{", "\ufeff{}", " " * 99_999, "[1]"])
def test_saved_settings_of_any_kind_are_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    persistence.settings_file().write_text(content, encoding="utf-8")
    store = SettingsStore(load_presets()[0], Settings("soft-front"))
    assert persistence.restore(store) == {}
    assert len(caplog.records) == (0 if content.startswith("\ufeff") else 1)


def test_an_output_that_is_an_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 32), "red").save(tmp_path / "in.png")
    Image.new("RGB", (64, 32), "blue").save(tmp_path / "sky.png")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "sky.png")
    before = (tmp_path / "sky.png").read_bytes()
    for option in ("--hdri", "--like"):
        for target in ("sky.png", "hard.png"):
            words = ["image", str(tmp_path / "in.png"), str(tmp_path / target)]
            assert main([*words, option, str(tmp_path / "sky.png")]) == 1
            assert "OUT is the input" in capsys.readouterr().err
    assert (tmp_path / "sky.png").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_a_private_output_stays_private(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "in.png")
    target = tmp_path / "out.png"
    target.touch(mode=0o600)
    assert main(["image", str(tmp_path / "in.png"), str(target), "--preset", "off"]) == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600 and target.stat().st_size
    with replacing(target) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_text("x")
    with pytest.raises(InputError, match="cannot be written"), replacing(Path("/dev/zero")):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="terminals do not hang up there")
def test_a_terminal_that_closes_ends_the_program_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "run_vcam.py", "--source", "demo", "--sink", "none", "--port", "0"]
    command += ["--no-browser", "--engine", "passthrough", "--record", str(tmp_path / "r.mp4")]
    environment = os.environ | {"XDG_CONFIG_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None and running.stdout.readline().startswith("panel:")
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=1.5)
        running.send_signal(signal.SIGHUP)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 0 and "recorded" in said
    assert (tmp_path / "r.mp4").exists()


def test_shipped_weights_are_those_that_were_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vcam_relight.pipeline.engines.triplane.network import checkpoint

    shipped = CHECKPOINTS / "triplane.safetensors"
    assert read_checked(shipped) == shipped.read_bytes()
    changed = bytearray(shipped.read_bytes())
    changed[-5] ^= 1  # a weight: the file still loads
    (tmp_path / shipped.name).write_bytes(changed)
    (tmp_path / "SHA256SUMS").write_bytes((CHECKPOINTS / "SHA256SUMS").read_bytes())
    checkpoint.load_network(tmp_path / shipped.name)  # a file that the user names is the user's
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / shipped.name)
    with pytest.raises(RuntimeError, match="not the file that was tested"):
        checkpoint.load_network(tmp_path / shipped.name)
    sums = resources.stated_sums(CHECKPOINTS)
    assert sums.keys() == {shipped.name, "light_level.safetensors", "refiner.safetensors"}


def test_a_compressed_or_nested_checkpoint_is_one_line(tmp_path: Path) -> None:
    import zipfile

    from vcam_relight.pipeline.engines.paper.weights import CheckpointError, load_network
    from vcam_relight.pipeline.engines.triplane.network import checkpoint

    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    nested = tmp_path / "nested.pth"
    nested.write_bytes(b"\x80\x02" + b"(" * 100_000 + b".")
    for path in (bomb, nested):
        with pytest.raises(CheckpointError, match=path.name):
            load_network(path)
    sizes = json.dumps({"stem": 10**9})
    header = json.dumps({"__metadata__": {"sizes": sizes}}).encode()
    for name, content in (
        ("huge.safetensors", len(header).to_bytes(8, "little") + header),
        ("long.safetensors", (1 << 62).to_bytes(8, "little") + b"{"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RuntimeError, match=name):
            checkpoint.load_network(tmp_path / name)
