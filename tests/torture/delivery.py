"""Raises KeyboardInterrupt where CPython delivers signals, at a chosen one of these points.

CPython looks for signals when it enters a Python function or goes on with a generator, and when a C function has
returned to Python code. `sys.setprofile` is called at the same points ("call" and "c_return") and may raise there.
"""

from __future__ import annotations

import gc
import inspect
import opcode
import sys

_RESUME = opcode.opmap.get("RESUME")


class Delivery:
    """Counts the delivery points of what runs in its block, and interrupts at one of them.

    Args:
        point: Number of the point to interrupt at, from 0; None to count alone.
        outside: Code in these files has no points: it is the harness.

    Attributes:
        count: Points seen so far.
        place: Where the interrupt was raised, or None.
    """

    def __init__(self, point=None, outside=()):
        self.count = 0
        self.place = None
        self._point = point
        self._outside = {__file__, *outside}
        self._throwing = False

    def __enter__(self):
        gc.disable()  # when finalizers run must not change from trial to trial
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        gc.enable()

    def _on_event(self, frame, event, argument):
        throwing, self._throwing = self._throwing, False
        if event == "c_call":
            self._throwing = getattr(argument, "__name__", "") in ("throw", "close")
            return
        if event not in ("call", "c_return") or frame.f_code.co_filename in self._outside:
            return
        if event == "call" and (throwing or not _looks_for_signals(frame)):
            return
        if self.place is None and self.count == self._point:
            what = f"return of {argument.__qualname__} in" if event == "c_return" else "entry of"
            code = frame.f_code
            self.place = f"{what} {getattr(code, 'co_qualname', code.co_name)} ({code.co_filename}:{frame.f_lineno})"
            raise KeyboardInterrupt
        self.count += 1


def _looks_for_signals(frame):
    """Whether a signal can be delivered where the frame is entered.

    None is where an exception is thrown into a generator, nor where one goes on inside a "yield from" or an "await".
    """
    if _RESUME is None or not frame.f_code.co_flags & inspect.CO_GENERATOR or frame.f_lasti < 0:
        return True
    code, argument = frame.f_code.co_code[frame.f_lasti : frame.f_lasti + 2]
    return code == _RESUME and argument & 3 < 2
