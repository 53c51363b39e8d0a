"""Waits between tries that take no time."""

from __future__ import annotations

import time


class Clock:
    """In place of `time` in `late_interaction.engines.remote.retries`: sleeping moves the hands on.

    Attributes:
        waits: The seconds of every wait so far.
        speed: How many times faster than real time it sleeps; None not to sleep at all.
    """

    def __init__(self, speed=None):
        self.waits = []
        self.speed = speed

    def sleep(self, seconds):
        self.waits.append(seconds)
        if self.speed is not None:
            time.sleep(seconds / self.speed)

    def monotonic(self):
        return time.monotonic() + sum(self.waits) * (1 if self.speed is None else 1 - 1 / self.speed)
