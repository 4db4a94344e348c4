"""How many machines are wanted, where a session goes, and which machine is emptied.

Pure functions, without a clock and without Ray: `scripts/simulate_scaling.py` plays days through
them, docs/scaling.md says what came out. Times are seconds on any clock that only goes forward.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Placement = Literal["spread", "pack"]
"""Onto the machine with the most free places, or with the fewest that still has one."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that runs sessions."""

    id: str
    places: int
    sessions: int = 0
    draining: bool = False
    """It gets no more sessions, and is given back once it has none."""

    @property
    def free(self) -> int:
        """Places that a new session may have."""
        return 0 if self.draining else max(0, self.places - self.sessions)


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """When machines are added and given back."""

    places: int
    """Of one machine."""
    floor: int = 2
    """Machines that there always are."""
    ceiling: int = 1_000_000
    """Machines that there are at most: a budget."""
    spare_nodes: int = 1
    """Machines whose places are kept free, so that the sessions of as many lost ones fit."""
    spare_share: float = 0.3
    """Places kept free for a burst, of those that are asked for."""
    out_delay_s: float = 0.0
    """For how long more must be wanted before a machine is added."""
    hold_s: float = 1200.0
    """For how long fewer must be wanted before one is emptied."""
    placement: Placement = "spread"

    def __post_init__(self) -> None:
        if self.places < 1 or not 1 <= self.floor <= self.ceiling:
            raise ValueError("a machine has a place, and floor is between 1 and ceiling")
        if min(self.spare_nodes, self.spare_share, self.out_delay_s, self.hold_s) < 0:
            raise ValueError("spares and times are not negative")


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What a policy remembers from one decision to the next."""

    wanted: int
    """Machines."""
    above_since: float | None = None
    """Since when more are needed than are wanted."""
    below_since: float | None = None
    """Since when fewer are."""
    most_below: int = 0
    """The most that were needed since then."""


def needed_nodes(policy: ScalingPolicy, demand: int) -> int:
    """Machines for so many sessions, those who wait for a place included, and the spares."""
    burst = math.ceil(demand * policy.spare_share)
    spare = max(burst, policy.spare_nodes * policy.places)
    nodes = math.ceil((demand + spare) / policy.places)
    return min(max(nodes, policy.floor), policy.ceiling)


def decide(policy: ScalingPolicy, state: ScalingState, demand: int, now: float) -> ScalingState:
    """What is wanted now.

    More at once or after `out_delay_s`; fewer after `hold_s` in which fewer were needed all the
    time, and then no fewer than the most that were: a load that swings within that time changes
    nothing.
    """
    need = needed_nodes(policy, demand)
    if need > state.wanted:
        since = now if state.above_since is None else state.above_since
        if now - since >= policy.out_delay_s:
            return ScalingState(need)
        return ScalingState(state.wanted, above_since=since)
    if need == state.wanted:
        return ScalingState(need)
    if state.below_since is None:
        return ScalingState(state.wanted, below_since=now, most_below=need)
    most = max(state.most_below, need)
    if now - state.below_since >= policy.hold_s:
        return ScalingState(most, below_since=now if need < most else None, most_below=need)
    return ScalingState(state.wanted, below_since=state.below_since, most_below=most)


def place(placement: Placement, nodes: Sequence[Node]) -> Node | None:
    """Where a new session goes; None where no place is free. Ties go to the first."""
    free = [node for node in nodes if node.free]
    if not free:
        return None
    if placement == "pack":
        return min(free, key=lambda node: node.free)
    return max(free, key=lambda node: node.free)


def to_drain(nodes: Sequence[Node], wanted: int) -> list[Node]:
    """Machines that are to be emptied now, those with the fewest sessions first.

    Never more than leaves the others room for their sessions.
    """
    live = [node for node in nodes if not node.draining]
    room = sum(node.free for node in live)
    chosen: list[Node] = []
    for node in sorted(live, key=lambda node: node.sessions)[: max(0, len(live) - wanted)]:
        room -= node.free + node.sessions
        if room < 0:
            break
        chosen.append(node)
    return chosen


def to_keep(nodes: Sequence[Node], wanted: int) -> list[Node]:
    """Draining machines that are wanted again, the fullest first: they need not boot."""
    live = sum(not node.draining for node in nodes)
    draining = sorted((n for n in nodes if n.draining), key=lambda n: n.sessions, reverse=True)
    return draining[: max(0, wanted - live)]


def homeless(nodes: Sequence[Node], lost: Node) -> int:
    """Of a lost machine's sessions, those that find no free place on the others."""
    return max(0, lost.sessions - sum(node.free for node in nodes if node.id != lost.id))


def ask_again_s(attempt: int, chance: float, least_s: float = 3.0, most_s: float = 24.0) -> float:
    """Seconds after which a refused page asks again: doubling, and spread so that it asks alone.

    Args:
        attempt: how often it was refused before, from 0.
        chance: even between 0 and 1, each time another.
        least_s: the first wait, on average.
        most_s: the longest, on average.

    Returns:
        Half to one and a half times the wait (AWS Architecture Blog, "Exponential Backoff And
        Jitter", 2015, has the reasons).
    """
    return min(least_s * 2.0 ** min(attempt, 16), most_s) * (0.5 + chance)
