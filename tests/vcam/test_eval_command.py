"""`vcam eval`: tables, JSON, contact contact_sheets, and its errors."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from support.clips import make_clip
from support.demo import demo_frames
from support.relit_demo import relit_demo
from vcam_relight.pipeline.evaluate import ground_truth
from vcam_relight.pipeline.evaluate.dpr import WEIGHTS, DprNetwork
from vcam_relight.pipeline.evaluate.report import COLUMNS
from vcam_relight.vcam.cli.main import main

QUICK = ["eval", "--subset", "quick", "--engine", "geometry"]


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own folders of weights and media are not looked at."""
    monkeypatch.delenv("VCAM_DPR", raising=False)
    monkeypatch.delenv("VCAM_MEDIA", raising=False)


@pytest.fixture
def two_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small subjects of two skin tones in the place of the project's."""
    subjects = [relit_demo(), relit_demo("darker", -20.0, 0.4)]
    monkeypatch.setattr(ground_truth, "load_subjects", lambda folder: subjects)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder laid out as `--media` asks for."""
    folder = tmp_path / "media"
    for name in ("webcam", "portraits"):
        (folder / name).mkdir(parents=True)
    images = [cv2.resize(frame, (320, 180)) for frame in demo_frames(4)]
    make_clip(folder / "webcam" / "talk.mp4", images=images, audio=None)
    cv2.imwrite(str(folder / "portraits" / "someone.png"), demo_frames(1)[0])
    return folder


def tables(text: str) -> list[list[dict[str, str]]]:
    """Every table of a Markdown text, as rows by heading."""
    found: list[list[dict[str, str]]] = []
    head: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            head = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if head is None:
            head = cells
            found.append([])
        elif set(line) - set("|-"):
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


@pytest.mark.usefixtures("two_subjects")
def test_report_contact_sheets_and_tables_agree(
    tmp_path: Path, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    torch.manual_seed(0)
    torch.save(DprNetwork().state_dict(), tmp_path / WEIGHTS)
    out, quality = tmp_path / "out", tmp_path / "quality.md"
    options = ["--dpr", str(tmp_path), "--media", str(media), "--out", str(out)]
    assert main([*QUICK, *options, "--markdown", str(quality), "--json"]) == 0
    printed = capsys.readouterr().out
    report: dict[str, Any] = json.loads(printed)
    text = quality.read_text(encoding="utf-8")
    assert (out / "report.json").read_text(encoding="utf-8") == printed
    assert (out / "report.md").read_text(encoding="utf-8") == text

    rendered, tones, portraits, rooms, _, presets, still, clips = tables(text)
    rows = report["renderers"]["shading"]
    assert (
        list(rows)
        == report["contestants"]
        == ["truth", "best gain", "copy-input", "dpr", "geometry"]
    )
    assert [row[""] for row in rendered] == list(rows)
    keys = {column.heading: key for key, column in COLUMNS.items()}
    checked = 0
    for row in rendered:
        for heading in row.keys() - {""}:
            key = keys[heading]
            assert row[heading] == COLUMNS[key].print(rows[row[""]].get(key))
            checked += row[heading] != "–"
    assert checked > 40
    assert {row["skin tone"] for row in tones} == set(report["tones"]) == {"intermediate", "brown"}
    assert [row[""] for row in portraits] == ["copy-input", "dpr", "geometry"]
    in_rooms = {(row["room"], row[""]): row for row in rooms}
    assert in_rooms["dark", "copy-input"]["luminance"] == "0.10"
    assert float(in_rooms["dark", "geometry, auto"]["luminance"]) > 0.5
    assert ("window", "geometry") in {(row["preset"], row[""]) for row in presets}
    assert {row["room"] for row in still} == {"clean", "dark"}
    assert {row["clip"] for row in clips} == set(report["clips"]) == {"talk"}
    assert rows["truth"]["psnr_db"] > rows["geometry"]["psnr_db"] > rows["best gain"]["psnr_db"]
    assert rows["best gain"]["psnr_as_is_db"] >= rows["copy-input"]["psnr_as_is_db"]

    # No path of this machine in what is written down.
    assert str(tmp_path) not in text and "vcam eval --subset quick" in text
    contact_sheet = cv2.imread(str(out / "shading.jpg"))
    assert contact_sheet.shape[1] == 6 * 256 and contact_sheet.shape[0] > 2 * 256
    assert (out / "portraits.jpg").is_file()


@pytest.mark.usefixtures("two_subjects")
def test_without_weights_and_media_it_says_so_and_repeats_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(QUICK) == 0
    first = capsys.readouterr().out
    assert "DPR was not measured" in first and "demo clip" in first and "| dpr |" not in first
    assert main(QUICK) == 0
    assert capsys.readouterr().out == first


def test_the_projects_own_ground_truth_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["subjects"]) == {"mitsuba", "cycles"}
    for rows in report["renderers"].values():
        assert rows["truth"]["psnr_db"] > rows["best gain"]["psnr_db"]
        assert rows["best gain"]["psnr_as_is_db"] >= rows["copy-input"]["psnr_as_is_db"]
        assert rows["truth"]["light_deg"] < rows["copy-input"]["light_deg"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--truth", "nowhere"], 1, "--truth: nowhere is not a folder"),
        (["--truth", "."], 1, "rendered ground truth"),
        (["--dpr", "."], 1, WEIGHTS),
        (["--media", "nowhere"], 1, "--media: nowhere is not a folder"),
        (["--markdown", "nowhere/quality.md"], 1, "the folder nowhere does not exist"),
        (["--engine", "magic"], 2, "magic"),
        (["--subset", "huge"], 2, "huge"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    options: list[str],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "--subset", "quick", *options]) == status
    captured = capsys.readouterr()
    assert said in captured.err and not captured.out
    if status == 1:
        assert captured.err.startswith("vcam: ") and captured.err.count("\n") == 1
