"""What Prometheus asks at `/metrics`: each session's numbers, and the program's.

A session's series end with it, and no label holds what people send: their number is bounded by that
of the places. Machines are told apart by Prometheus's own label `instance`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vcam_relight.vcam.core.stats import LatencyDistribution
from vcam_relight.vcam.stream.capacity import usable_cores
from vcam_relight.vcam.stream.session import SessionManager

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class PeerCounts:
    """What has happened to browsers since the program began."""

    refused: int = 0
    """Offers that found no place."""
    moved: int = 0
    """Sessions that went on over a new connection, whose page named the one before."""
    lost: int = 0
    """Connections that ended without a goodbye: a network, or a page that fell silent."""


class Metrics(Collector):
    """Numbers of all sessions, as they are when somebody asks; pixels are not among them."""

    def __init__(
        self,
        sessions: SessionManager,
        counts: PeerCounts,
        lag: LatencyDistribution,
        waiting: Callable[[], int] | None = None,
    ) -> None:
        """Takes what is counted.

        Args:
            sessions: of the program.
            counts: of its browsers.
            lag: how late the event loop runs its timers, ms.
            waiting: how many browsers wait for a place, where any may.
        """
        self._sessions, self._counts, self._lag = sessions, counts, lag
        self._waiting = waiting
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # processor time, memory, descriptors

    async def answer(self, request: web.Request) -> web.Response:
        """Answers `GET /metrics`."""
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": _CONTENT_TYPE}
        )

    def collect(self) -> Iterator[Metric]:
        """As `prometheus_client` wants it."""
        yield _gauge("vcam_sessions", "Streams that run.", [((), len(self._sessions))])
        places = self._sessions.max_sessions
        yield _gauge("vcam_places", "Streams that there may be at once.", [((), places)])
        if self._waiting is not None:
            yield _gauge("vcam_waiting", "Browsers in line for a place.", [((), self._waiting())])
        counts = self._counts
        yield CounterMetricFamily("vcam_refused", "Offers that found no place.", counts.refused)
        words = "Sessions that went on over a new connection."
        yield CounterMetricFamily("vcam_moved", words, counts.moved)
        words = "Connections that ended without a goodbye."
        yield CounterMetricFamily("vcam_lost", words, counts.lost)
        yield _gauge("vcam_cores", "That the program may use.", [((), usable_cores())])
        lag = [((name[1:],), ms / 1e3) for name, ms in self._lag.summary().items()]
        yield _gauge("vcam_lag_seconds", "Of the event loop's timers.", lag, "percentile")
        yield from self._of_sessions()

    def _of_sessions(self) -> Iterator[Metric]:
        known = [(session.id, session.loop.status()) for session in self._sessions]
        fps, ages, stages, drops = [], [], [], []
        for session, status in known:
            stats = status.stats
            fps += [((session, way), stats[f"fps_{way}"]) for way in ("in", "out")]
            latency = stats["latency_ms"]
            ages += [((session, name[1:]), ms / 1e3) for name, ms in latency.items()]
            for stage, ms in stats["stages_ms"].items():
                stages += [((session, stage, name[1:]), one / 1e3) for name, one in ms.items()]
            drops += [((session, where), count) for where, count in stats["drops"].items()]
        yield _gauge("vcam_session_fps", "Frames a second.", fps, "session", "way")
        yield _gauge(
            "vcam_session_age_seconds", "From a frame's capture to its sinks.", ages,
            "session", "percentile",
        )  # fmt: skip
        yield _gauge(
            "vcam_session_stage_seconds", "What a stage of a frame takes.", stages,
            "session", "stage", "percentile",
        )  # fmt: skip
        dropped = CounterMetricFamily(
            "vcam_session_dropped", "Frames that a newer one displaced.",
            labels=["session", "before"],
        )  # fmt: skip
        for labels, count in drops:
            dropped.add_metric(labels, count)
        yield dropped
        well = [((session,), float(status.state != "degraded")) for session, status in known]
        yield _gauge("vcam_session_well", "1; 0 where frames pass through.", well, "session")


def _gauge(
    name: str, words: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str
) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family
