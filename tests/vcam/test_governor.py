"""What frames are worth while the machine is busy; time is made up."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from vcam_relight.pipeline.effort import EFFORTS
from vcam_relight.vcam.stream.governor import Governor
from vcam_relight.vcam.stream.strain import MachineStrain

FPS = 30


def levels(
    governor: Governor, seconds: int, load: Callable[[int], float], begin: float = 0.0
) -> list[int]:
    """The level after each second of frames that take `load(level)` of their time."""
    seen = []
    for second in range(seconds):
        for frame in range(FPS):
            start = begin + second + frame / FPS
            governor.frame(start, start + load(governor.level) / FPS, 0)
        seen.append(governor.level)
    return seen


def test_too_much_work_lowers_effort_step_by_step_and_says_why() -> None:
    governor = Governor()
    seen = levels(governor, 20, lambda level: 0.99)
    assert seen[-1] == len(EFFORTS) - 1
    assert all(0 <= after - before <= 1 for before, after in pairwise(seen))
    assert governor.reason == "the machine is busy"


def test_dropped_frames_count_as_too_much_however_short_the_work() -> None:
    governor = Governor()
    for frame in range(5 * FPS):
        governor.frame(frame / FPS, frame / FPS + 0.01, frame // 10)
    assert governor.level > 0


def test_effort_comes_back_slowly_when_there_is_room_again() -> None:
    governor = Governor()
    levels(governor, 20, lambda level: 0.99)
    seen = levels(governor, 60, lambda level: 0.4, begin=20.0)
    assert seen[5] == len(EFFORTS) - 1, "not at once"
    assert seen[-1] == 0 and governor.reason == ""


def test_a_machine_that_is_just_too_slow_does_not_go_to_and_fro() -> None:
    governor = Governor()
    seen = levels(governor, 1200, lambda level: 0.97 if level == 0 else 0.6)
    tries = sum(before == 1 and after == 0 for before, after in pairwise(seen))
    assert 1 <= tries <= 10, "it tries, ever more rarely"
    assert sum(level == 0 for level in seen) < 0.05 * len(seen)


def test_between_busy_and_relaxed_nothing_changes() -> None:
    assert set(levels(Governor(), 300, lambda level: 0.8)) == {0}


def test_on_battery_effort_stays_below_the_highest() -> None:
    reasons = ["on battery"]
    governor = Governor(lambda: reasons[-1])
    assert levels(governor, 60, lambda level: 0.4)[-1] == 1
    assert governor.reason == "on battery"
    reasons.append("")
    assert levels(governor, 30, lambda level: 0.4, begin=60.0)[-1] == 0


def test_loading_and_resting_tell_nothing_of_the_machine() -> None:
    governor = Governor()
    for second in range(30):
        governor.frame(second, second + 0.99, 0)
        governor.rest()
    assert governor.level == 0


def test_what_linux_says_of_battery_and_heat(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")

    throttled = "devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    assert MachineStrain(tmp_path)() == ""
    write("class/power_supply/BAT0/type", "Battery")
    write("class/power_supply/BAT0/status", "Discharging")
    write("class/power_supply/AC/type", "Mains")
    write("class/power_supply/AC/online", "0")
    assert MachineStrain(tmp_path)() == "on battery"
    write("class/power_supply/AC/online", "1")
    assert MachineStrain(tmp_path)() == ""
    write("class/power_supply/AC/online", "0")
    write("class/power_supply/BAT0/scope", "Device")
    assert MachineStrain(tmp_path)() == "", "a mouse's battery"
    write(throttled, "5")
    times = [0.0]
    strain = MachineStrain(tmp_path, every_s=5.0, clock=lambda: times[-1])
    assert strain() == ""
    write(throttled, "9")
    assert strain() == "", "it was asked a moment ago"
    times.append(6.0)
    assert strain() == "the processor is hot"
    times.append(50.0)
    assert strain() == "the processor is hot"
    times.append(70.0)
    assert strain() == ""
