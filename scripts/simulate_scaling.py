"""A day of many sessions through the policy of `web/cluster/scaling.py`, by discrete events.

    python -m scripts.simulate_scaling --peak 10000 --picture docs/pictures/scaling.svg

Prints the table of docs/scaling.md, which says where the numbers come from. The same seed gives the
same day to every policy, and the same result every time.
"""

import argparse
import heapq
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from vcam_relight.web.cluster.scaling import (
    Node,
    ScalingPolicy,
    ScalingState,
    ask_again_s,
    decide,
    place,
    to_drain,
    to_keep,
)

HOUR, DAY = 3600.0, 86400.0
_OPEN = (
    2, 1, 1, 1, 1, 2, 5, 20, 62, 95, 100, 92, 65, 78, 94, 98, 84, 52, 28, 20, 16, 12, 8, 4,
)  # fmt: skip
"""How busy each hour of the day is, percent of the busiest."""


@dataclass(frozen=True, slots=True)
class World:
    """What no policy can choose; docs/scaling.md has the source of each."""

    peak: int = 10_000
    """Sessions at once in the busiest minute, were there places for all."""
    on_the_hour: float = 0.4
    """Share of an hour's arrivals around its beginning; half as many around its middle."""
    burst_s: float = 90.0
    """Their standard deviation."""
    boot_s: tuple[float, float] = (120.0, 210.0)
    """From the order of a machine to its first place."""
    between_losses_s: float = 30 * DAY
    """Mean of a machine's life until it is lost without a word."""
    patience_s: float = 120.0
    """For which somebody asks for a place before they give up."""
    notice_s: tuple[float, float] = (4.2, 4.5)
    """Until a page knows that its machine is lost."""
    drain_s: float = 600.0
    """For which a draining machine's sessions may end by themselves before they are moved."""
    tick_s: float = 15.0
    """How often the policy decides."""


@dataclass(slots=True)
class Person:
    """Somebody who wants a session, or has one."""

    number: int
    length: float
    """Seconds that are left of it."""
    asked: float
    """Since when they ask for a place."""
    attempt: int = 0
    begun: float = 0.0
    gap: float = 0.0
    """Seconds without a picture before they asked, where their machine was lost."""
    resumed: bool = False
    over: bool = False
    """Cut off, and going on as another."""


@dataclass(slots=True)
class Outcome:
    """A day's figures."""

    arrived: int = 0
    gave_up: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds until a place, of all who arrived and got one."""
    node_s: float = 0.0
    session_s: float = 0.0
    crowded_s: float = 0.0
    """Of `session_s`, on machines with more than nine in ten places taken."""
    most_nodes: int = 0
    losses: int = 0
    moves: int = 0
    cut: int = 0
    """Sessions whose machine was lost."""
    gaps: list[float] = field(default_factory=list)
    """Seconds without a picture, of those."""
    ended: int = 0
    """Sessions that were lost with their machine and never found a place again."""
    orders: int = 0
    """Machines that were ordered."""
    curve: list[tuple[float, int, int, int]] = field(default_factory=list)
    """When, sessions, places, people who wait; each five minutes."""


def people_of_a_day(world: World, seed: int) -> list[tuple[float, float]]:
    """When each comes and for how long, seconds; in order, at most about `world.peak` at once."""
    trial = _people(world, 20.0 * world.peak, seed)
    return _people(world, 20.0 * world.peak * world.peak / most_at_once(trial), seed)


def most_at_once(people: list[tuple[float, float]]) -> int:
    """Sessions, were there places for all."""
    steps = sorted([(at, 1) for at, _ in people] + [(at + length, -1) for at, length in people])
    return max(itertools.accumulate(step for _, step in steps))


def _people(world: World, count: float, seed: int) -> list[tuple[float, float]]:
    chance = random.Random(seed)
    found = []
    for hour, share in enumerate(_OPEN):
        for _ in range(round(count * share / sum(_OPEN))):
            kind = chance.random()
            if kind < world.on_the_hour:
                at = hour * HOUR + chance.gauss(0.0, world.burst_s)
            elif kind < 1.5 * world.on_the_hour:
                at = (hour + 0.5) * HOUR + chance.gauss(0.0, world.burst_s)
            else:
                at = (hour + chance.random()) * HOUR
            kind = chance.random()
            if kind < 0.3:
                minutes = chance.gauss(28.0, 4.0)
            elif kind < 0.6:
                minutes = chance.gauss(55.0, 6.0)
            else:
                minutes = chance.lognormvariate(math.log(10.0), 0.9)
            if 0.0 <= at < DAY:
                found.append((at, 60.0 * min(max(minutes, 0.5), 240.0)))
    return sorted(found)


class Simulation:
    """One day under one policy."""

    def __init__(
        self,
        world: World,
        policy: ScalingPolicy,
        people: list[tuple[float, float]],
        seed: int,
        schedule: tuple[tuple[float, float, int], ...] = (),
    ) -> None:
        """Begins with the floor running.

        Args:
            world: what happens.
            policy: what is done.
            people: as of `people_of_a_day`.
            seed: of losses, boots and jitter.
            schedule: from, until, and the floor meanwhile.
        """
        self._world, self._policy, self._schedule = world, policy, schedule
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order, self._names = itertools.count(), itertools.count(1)
        self._now = 0.0
        self.nodes: dict[str, Node] = {}
        self._on: dict[str, dict[int, Person]] = defaultdict(dict)
        self._where: dict[int, str] = {}
        self._booting: dict[str, bool] = {}
        """Name -> whether it is still wanted."""
        self._waiting: dict[int, Person] = {}
        self.outcome = Outcome(arrived=len(people))
        self._state = ScalingState(self._floor(0.0))
        for _ in range(self._state.wanted):
            self._add(self._new_name())
        for number, (at, length) in enumerate(people):
            self._at(at, partial(self._ask, Person(number, length, at)))
        self._at(0.0, self._tick)
        self._at(0.0, self._draw)

    def run(self) -> Outcome:
        """All events until midnight."""
        while self._events:
            at, _, event = heapq.heappop(self._events)
            if at >= DAY:
                break
            self._pass(at)
            event()
        self._pass(DAY)
        return self.outcome

    def _pass(self, at: float) -> None:
        out, spent = self.outcome, at - self._now
        out.node_s += spent * (len(self.nodes) + len(self._booting))  # paid from the order on
        self._now = at

    def _at(self, at: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    def _floor(self, now: float) -> int:
        return max([self._policy.floor, *(n for a, b, n in self._schedule if a <= now < b)])

    # People

    def _ask(self, person: Person) -> None:
        node = place(self._policy.placement, list(self.nodes.values()))
        if node is not None:
            self._waiting.pop(person.number, None)
            wait = self._now - person.asked
            if person.resumed:
                self.outcome.gaps.append(person.gap + wait)
            else:
                self.outcome.waits.append(wait)
            person.begun = self._now
            self._seat(person, node)
            self._at(self._now + person.length, partial(self._end, person))
            return
        pause = ask_again_s(person.attempt, self._chance.random())
        if self._now + pause - person.asked > self._world.patience_s:
            self._waiting.pop(person.number, None)
            if person.resumed:
                self.outcome.ended += 1
            else:
                self.outcome.gave_up += 1
            return
        person.attempt += 1
        self._waiting[person.number] = person
        self._at(self._now + pause, partial(self._ask, person))

    def _seat(self, person: Person, node: Node) -> None:
        self._on[node.id][person.number] = person
        self._where[person.number] = node.id
        self.nodes[node.id] = Node(node.id, node.places, node.sessions + 1, node.draining)

    def _leave(self, person: Person) -> None:
        name = self._where.pop(person.number)
        node = self.nodes[name]
        del self._on[name][person.number]
        self.nodes[name] = Node(name, node.places, node.sessions - 1, node.draining)

    def _end(self, person: Person) -> None:
        if not person.over:
            self.outcome.session_s += person.length
            self._leave(person)

    # Machines

    def _new_name(self) -> str:
        return f"n{next(self._names):05}"

    def _add(self, name: str) -> None:
        self.nodes[name] = Node(name, self._policy.places)
        self.outcome.most_nodes = max(self.outcome.most_nodes, len(self.nodes))
        life = self._chance.expovariate(1 / self._world.between_losses_s)
        self._at(self._now + life, partial(self._lose, name))

    def _booted(self, name: str) -> None:
        if self._booting.pop(name):
            self._add(name)

    def _lose(self, name: str) -> None:
        node = self.nodes.pop(name, None)
        if node is None:  # it was given back
            return
        self.outcome.losses += 1
        for person in self._on.pop(name, {}).values():
            del self._where[person.number]
            self.outcome.cut += 1
            used = self._now - person.begun
            self.outcome.session_s += used
            person.gap = self._chance.uniform(*self._world.notice_s)
            back = self._now + person.gap
            rest = Person(
                person.number, max(1.0, person.length - used), back, gap=person.gap, resumed=True
            )
            person.over = True
            self._at(back, partial(self._ask, rest))

    def _tick(self) -> None:
        policy = replace(self._policy, floor=self._floor(self._now))
        demand = len(self._where) + len(self._waiting)
        self._state = decide(policy, self._state, demand, self._now)
        self._resize(self._state.wanted)
        nodes = self.nodes.values()
        crowded = sum(n.sessions for n in nodes if n.sessions > 0.9 * n.places)
        self.outcome.crowded_s += crowded * self._world.tick_s
        self._at(self._now + self._world.tick_s, self._tick)

    def _resize(self, wanted: int) -> None:
        for node in to_keep(list(self.nodes.values()), wanted):
            self.nodes[node.id] = replace(node, draining=False)
        live = sum(not node.draining for node in self.nodes.values())
        coming = sum(self._booting.values())
        for _ in range(wanted - live - coming):
            name = self._new_name()
            self._booting[name] = True
            self.outcome.orders += 1
            boot = self._chance.uniform(*self._world.boot_s)
            self._at(self._now + boot, partial(self._booted, name))
        for node in to_drain(list(self.nodes.values()), wanted):
            self.nodes[node.id] = replace(node, draining=True)
            patience = self._now + self._world.drain_s
            self._at(patience, partial(self._empty, node.id))
        for node in [n for n in self.nodes.values() if n.draining and not n.sessions]:
            del self.nodes[node.id]

    def _empty(self, name: str) -> None:
        """Moves what is left on a draining machine, each before its old connection ends."""
        if name not in self.nodes or not self.nodes[name].draining:
            return
        for person in list(self._on[name].values()):
            target = place(self._policy.placement, list(self.nodes.values()))
            if target is None:  # full: they stay until there is room
                self._at(self._now + self._world.tick_s, partial(self._empty, name))
                return
            self._leave(person)
            self._seat(person, target)
            self.outcome.moves += 1

    def _draw(self) -> None:
        places = sum(node.places for node in self.nodes.values())
        self.outcome.curve.append((self._now, len(self._where), places, len(self._waiting)))
        self._at(self._now + 300.0, self._draw)


def percentile(values: list[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def policies(places: int, peak: int) -> dict[str, tuple[ScalingPolicy, tuple[int, int] | None]]:
    """What is compared: a name, the policy, and percent of the peak that places are kept for,
    6:45 to 8:45 and 8:45 to 17:30.

    Args:
        places: of one machine.
        peak: sessions at once.
    """
    usual = ScalingPolicy(places)
    always = math.ceil(1.1 * peak / places)
    return {
        "fixed, 110% of the peak": (replace(usual, floor=always, ceiling=always), None),
        "one spare machine": (replace(usual, spare_share=0.0), None),
        "10% spare": (replace(usual, spare_share=0.1), None),
        "30% spare": (usual, None),
        "30% spare, packed": (replace(usual, placement="pack"), None),
        "30% spare, no hold": (replace(usual, hold_s=0.0), None),
        "50% spare": (replace(usual, spare_share=0.5), None),
        "10% spare, working hours": (replace(usual, spare_share=0.1), (45, 90)),
        "30% spare, working hours": (usual, (60, 110)),
    }


def table(
    world: World, places: int, cores: int, seed: int, named: list[str] | None = None
) -> tuple[str, dict[str, Outcome]]:
    """The policies' figures as Markdown, and each outcome."""
    people = people_of_a_day(world, seed)
    rows, found = [], {}
    for name, (policy, hours) in policies(places, world.peak).items():
        if named and name not in named:
            continue
        schedule: tuple[tuple[float, float, int], ...] = ()
        if hours is not None:
            early, work = (math.ceil(percent / 100 * world.peak / places) for percent in hours)
            schedule = ((6.75 * HOUR, 8.75 * HOUR, early), (8.75 * HOUR, 17.5 * HOUR, work))
        out = found[name] = Simulation(world, policy, people, seed, schedule).run()
        waited = sum(wait > 0.0 for wait in out.waits) / out.arrived
        rows.append(
            f"| {name} | {out.gave_up / out.arrived:.2%} | {waited:.1%} "
            f"| {percentile(out.waits, 0.99):.0f} s | {out.node_s / HOUR:.0f} "
            f"| {cores * out.node_s / HOUR:,.0f} | {out.session_s / places / out.node_s:.0%} "
            f"| {out.crowded_s / out.session_s:.0%} | {out.orders} | {out.moves} "
            f"| {out.losses}: {out.cut} | {percentile(out.gaps, 0.5):.1f} / "
            f"{percentile(out.gaps, 0.99):.1f} s, {out.ended} |"
        )
    head = (
        "| policy | gave up | waited | wait, p99 | machine hours | core hours | places used "
        "| on full machines | ordered | moves | lost: cut off | gap p50 / p99, never back |"
    )
    return "\n".join([head, "|---" * 12 + "|", *rows]), found


def picture(outcomes: dict[str, Outcome], peak: int) -> str:
    """Sessions and places over the day, one panel a policy, as SVG."""
    width, height, left = 640, 150, 50
    parts = []
    for index, (name, out) in enumerate(outcomes.items()):
        top = 24 + index * (height + 34)
        most = 1.6 * peak

        def line(values: list[tuple[float, int]], top: int = top, most: float = most) -> str:
            return " ".join(
                f"{left + at / DAY * (width - left - 10):.0f},"
                f"{top + height - min(value / most, 1.0) * height:.1f}"
                for at, value in values
            )

        waiting = max(point[3] for point in out.curve)
        parts.append(f'<text x="{left}" y="{top - 6}">{name} (at most {waiting:,} wait)</text>')
        for share in (0, 0.5, 1.0, 1.5):
            y = top + height - share * peak / most * height
            parts.append(f'<path d="M{left} {y:.1f}H{width - 10}" stroke="#ccc"/>')
            parts.append(f'<text x="4" y="{y + 4:.1f}">{share * peak:,.0f}</text>')
        for hour in range(0, 25, 6):
            x = left + hour / 24 * (width - left - 10)
            parts.append(f'<text x="{x - 8:.0f}" y="{top + height + 14}">{hour}h</text>')
        curves = (
            ("#d97706", [(at, places) for at, _, places, _ in out.curve]),
            ("#2563eb", [(at, sessions) for at, sessions, _, _ in out.curve]),
        )
        for colour, values in curves:
            points = line(values)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    bottom = 24 + len(outcomes) * (height + 34)
    parts.append(f'<text x="{left}" y="{bottom}" fill="#2563eb">sessions</text>')
    parts.append(f'<text x="{left + 80}" y="{bottom}" fill="#d97706">places</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 10}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def main() -> None:
    """Prints the table, and draws the picture where one is asked for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--peak", type=int, default=10_000, help="sessions at once")
    parser.add_argument("--cores", type=int, default=32, help="of a machine")
    parser.add_argument("--session-cores", type=float, default=0.68, help="what a session takes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", action="append", help="only this one; repeatable")
    parser.add_argument("--picture", type=Path, help="an SVG to write")
    args = parser.parse_args()
    places = int(args.cores * 0.8 / args.session_cores)
    world = World(peak=args.peak)
    rows, outcomes = table(world, places, args.cores, args.seed, args.policy)
    people = next(iter(outcomes.values())).arrived
    print(f"{people:,} people, {places} places a machine of {args.cores} cores\n\n{rows}")
    if args.picture is not None:
        drawn = ("one spare machine", "30% spare", "30% spare, working hours")
        chosen = {name: outcomes[name] for name in drawn if name in outcomes}
        args.picture.write_text(picture(chosen, args.peak), "utf-8")


if __name__ == "__main__":
    main()
