"""Pickle components of LlamaIndex whole, or not at all."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel

__all__ = ["PickledWhole"]


class PickledWhole(BaseModel):
    """A base of components, named before LlamaIndex's own.

    LlamaIndex's `BaseComponent` deletes what cannot be pickled from the pickle and from the object itself. Here, that
    is an error, and the object is not changed.
    """

    def __getstate__(self) -> dict[Any, Any]:
        state = BaseModel.__getstate__(self)
        return {**state, "__dict__": dict(state["__dict__"])}
