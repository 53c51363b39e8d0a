"""Faults between the real client and the server, scripted by request, and a record of all requests.

    faults = Faults()
    with serve(folder, faults=faults) as served:
        faults.on("upsert", answer(503), nth=3)                 # the third upsert from now on
        faults.on("upsert", answer(500, applied=0.5))           # half of a batch is written, then an error
        faults.on("query_points", hang(5, applied=1), times=2)  # the client's time-out comes first
        ...
        faults.operations()                                     # ["create_collection", "upsert", ...]

Operations have the names of the client's methods. HTTP requests go through a proxy; gRPC requests through an
interceptor of the server, where a connection that is closed or refused is the status UNAVAILABLE, which is what the
client makes of it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    applied: float = 0.0
    """The share of the request that the engine carries out: 0, 1, or a part of the points of a batch."""
    status: int | None = None
    """The HTTP status of the answer in place of the engine's; its counterpart in gRPC."""
    retry_after: int | None = None
    seconds: float = 0.0
    """How long the answer takes longer."""
    closes: str | None = None
    """"sending": the connection is closed while the client sends; "waiting": while it waits for the answer."""
    down_seconds: float = 0.0
    """How long new connections are refused from then on."""

    def message(self) -> str:
        """Return the text of the error."""
        return _MESSAGES.get(self.status, "Service internal error: a fault")


_MESSAGES = {
    429: "Rate limiting exceeded: Write rate limit exceeded, retry later",
    503: "Shard temporarily unavailable: a fault",
}


def answer(status: int, *, retry_after: int | None = None, applied: float = 0.0) -> Fault:
    """Answer with an error of the server, such as 429, 500, 502 or 503."""
    return Fault(status=status, retry_after=retry_after, applied=applied)


def close(*, applied: float = 0.0) -> Fault:
    """Close the connection without an answer, after the request was carried out or not."""
    return Fault(closes="waiting", applied=applied)


def cut() -> Fault:
    """Close the connection while the client sends the request."""
    return Fault(closes="sending")


def delay(seconds: float) -> Fault:
    """Give the right answer late."""
    return Fault(applied=1.0, seconds=seconds)


def hang(seconds: float, *, applied: float) -> Fault:
    """Give no answer for so long, then close the connection: for the client's time-out."""
    return Fault(applied=applied, seconds=seconds, closes="waiting")


def refuse(seconds: float) -> Fault:
    """Close the connection, and refuse new ones for so long, as a server that restarts."""
    return Fault(closes="waiting", down_seconds=seconds)


class Seen(NamedTuple):
    """A request as it arrived."""

    operation: str
    request: Any
    """The body as JSON has it, or the gRPC message; None without a body, or if the client could not send it."""
    size: int
    """Bytes on the wire, without headers."""
    fault: Fault | None


@dataclass
class _Rule:
    operation: str | None
    fault: Fault
    nth: int
    times: int
    count: int = 0

    def applies(self, operation: str) -> bool:
        if self.operation not in (None, operation):
            return False
        self.count += 1
        return self.nth <= self.count < self.nth + self.times


@dataclass
class Faults:
    """The script and the record; any thread may call."""

    seen: list[Seen] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when the server ends, so that nothing sleeps on."""
    _rules: list[_Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, operation: str | None, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Let `times` requests fail from the `nth` one on that arrives from now; None means every operation."""
        with self._lock:
            self._rules.append(_Rule(operation, fault, nth, times))

    def clear(self) -> None:
        """Forget the script and the record."""
        with self._lock:
            self._rules.clear()
            self.seen.clear()

    def operations(self) -> list[str]:
        """Return the names of the requests that arrived, in their order."""
        with self._lock:
            return [each.operation for each in self.seen]

    def next_fault(self, operation: str) -> Fault | None:
        """Return what is to happen to a request that begins to arrive."""
        with self._lock:
            matching = [rule.fault for rule in self._rules if rule.applies(operation)]
            return matching[0] if matching else None

    def record(self, seen: Seen) -> None:
        """Keep a request that arrived, whole or not."""
        with self._lock:
            self.seen.append(seen)


def part_of(items: list, share: float) -> list:
    """Return the first items, at least one of several."""
    return items[: max(1, int(len(items) * share))]
