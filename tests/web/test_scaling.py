"""How many machines a load wants, where sessions go, and a simulated day of them."""

import math
import random
from dataclasses import replace

import pytest

from scripts.simulate_scaling import Simulation, World, most_at_once, people_of_a_day, percentile
from vcam_relight.web.cluster.scaling import (
    Node,
    ScalingPolicy,
    ScalingState,
    ask_again_s,
    decide,
    homeless,
    needed_nodes,
    place,
    to_drain,
    to_keep,
)

POLICY = ScalingPolicy(places=10, floor=2, spare_share=0.3, hold_s=600.0)


@pytest.mark.parametrize("demand", [0, 1, 7, 40, 100, 999])
def test_a_burst_and_a_lost_machine_are_met_by_spare_places(demand: int) -> None:
    count = needed_nodes(POLICY, demand)
    assert count >= POLICY.floor
    nodes = [Node(f"n{i}", POLICY.places) for i in range(count)]
    for _ in range(demand + math.floor(0.3 * demand)):
        chosen = place("spread", nodes)
        assert chosen is not None, "the burst finds places while nothing boots"
        nodes[nodes.index(chosen)] = replace(chosen, sessions=chosen.sessions + 1)
    nodes = [Node(f"n{i}", POLICY.places) for i in range(count)]
    for _ in range(demand):
        chosen = place("pack", nodes)
        assert chosen is not None
        nodes[nodes.index(chosen)] = replace(chosen, sessions=chosen.sessions + 1)
    assert all(homeless(nodes, lost) == 0 for lost in nodes)
    assert homeless([Node("a", 10, 10), Node("b", 10, 7)], Node("a", 10, 10)) == 7


def test_a_load_that_swings_changes_nothing_and_one_that_falls_does_after_the_hold() -> None:
    state, seen = decide(POLICY, ScalingState(2), 100, 0.0), []
    assert state.wanted == 13, "more at once"
    for step in range(100):  # half the load and back, every five minutes
        state = decide(POLICY, state, 50 if step % 20 < 10 else 100, 30.0 * step)
        seen.append(state.wanted)
    assert set(seen) == {13}
    times = {}
    for step in range(100):
        state = decide(POLICY, state, 50 if step < 50 else 0, 3000.0 + 30.0 * step)
        times.setdefault(state.wanted, 30.0 * step)
    assert list(times) == [13, 7, 2] and times[7] == 600.0
    slow = replace(POLICY, out_delay_s=60.0)
    state = decide(slow, ScalingState(2), 100, 0.0)
    assert state.wanted == 2 and decide(slow, state, 100, 60.0).wanted == 13
    assert decide(slow, decide(slow, state, 0, 30.0), 100, 60.0).wanted == 2, "it was for a moment"
    assert decide(replace(POLICY, ceiling=5), ScalingState(2), 1000, 0.0).wanted == 5


def test_a_session_goes_to_the_emptiest_or_the_fullest_that_has_a_place() -> None:
    nodes = [Node("a", 4, 4), Node("b", 4, 1), Node("c", 4, 3), Node("d", 4, 0, draining=True)]
    assert place("spread", nodes) == nodes[1] and place("pack", nodes) == nodes[2]
    assert place("spread", [nodes[0], nodes[3]]) is None


def test_machines_are_emptied_only_where_the_others_have_room() -> None:
    nodes = [Node("a", 4, 3), Node("b", 4, 1), Node("c", 4, 2)]
    assert to_drain(nodes, 2) == [nodes[1]]
    assert to_drain(nodes, 1) == [nodes[1]], "six sessions do not fit on one"
    assert to_drain([Node("a", 4, 4), Node("b", 4, 4)], 1) == []
    draining = [replace(node, draining=True) for node in nodes]
    assert to_keep([*draining[:2], nodes[2]], 2) == [draining[0]], "the one with most sessions"
    assert to_keep(draining[:1], 0) == []


def test_pages_that_were_refused_together_do_not_ask_together() -> None:
    chance = random.Random(0)
    waits = [ask_again_s(0, chance.random()) for _ in range(300)]
    assert min(waits) >= 1.5 and max(waits) <= 4.5
    assert max(sum(at <= w < at + 0.3 for w in waits) for at in (1.5, 2.4, 3.0, 4.2)) < 60
    assert [ask_again_s(n, 0.5) for n in (0, 1, 2, 3, 99)] == [3, 6, 12, 24, 24]


def test_a_simulated_day_is_the_same_each_time_and_spare_places_pay() -> None:
    world = World(peak=150, between_losses_s=40_000.0)
    people = people_of_a_day(world, seed=3)
    assert most_at_once(people) == pytest.approx(150, rel=0.15)
    policy = ScalingPolicy(places=8, spare_share=0.4)
    day = Simulation(world, policy, people, seed=3).run()
    assert day == Simulation(world, policy, people, seed=3).run()
    tight = Simulation(world, replace(policy, spare_share=0.0), people, seed=3).run()
    eager = Simulation(world, replace(policy, hold_s=0.0), people, seed=3).run()
    assert day.gave_up < tight.gave_up and day.node_s > tight.node_s
    assert percentile(day.waits, 0.95) <= percentile(tight.waits, 0.95)
    assert eager.orders > 1.5 * day.orders and eager.moves > day.moves
    # Whoever was cut off is back once their page has noticed, or asks until it gives up.
    assert day.cut > 20 and day.moves > 0
    assert day.cut - 3 <= len(day.gaps) + day.ended <= day.cut
    assert 4.2 <= percentile(day.gaps, 0.5) < 10
