"""Try a call to a server again, after waits that grow, while trying again may help."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Retries"]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Retries:
    """How often and how long a call is tried. The call must be idempotent: a failed try may have been applied.

    Attributes:
        tries: The number of tries, at most.
        seconds: No try begins later than this after the first.
        first_wait: Seconds before the second try; twice as long before each further one, less up to a half at random,
            so that clients that failed together do not come back together.
        max_wait: Seconds of one wait, at most, unless the server asks for a longer one.
    """

    tries: int = 5
    seconds: float = 60.0
    first_wait: float = 0.25
    max_wait: float = 8.0

    def call(self, function: Callable[[], _Result], wait_after: Callable[[Exception], float | None]) -> _Result:
        """Return what the function returns; raise the error of the last try.

        Args:
            function: What is tried.
            wait_after: Returns the seconds that the server asks to wait after an error, 0 if it does not say, or None
                if trying again does not help.
        """
        end = time.monotonic() + self.seconds
        for number in range(1, self.tries + 1):
            try:
                return function()
            except Exception as error:
                asked = wait_after(error)
                if asked is None or number == self.tries:
                    raise
                wait = max(asked, self._wait(number))
                if time.monotonic() + wait > end:
                    raise
            time.sleep(wait)
        raise ValueError(f"tries must be at least 1, got {self.tries}.")

    def _wait(self, number: int) -> float:
        wait = min(self.max_wait, self.first_wait * 2.0 ** (number - 1))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  # not for secrets
