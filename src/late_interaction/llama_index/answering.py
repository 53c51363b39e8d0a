"""LlamaIndex's query and chat engines over an index: which argument is whose, and whether pages are shown as images."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from llama_index.core import chat_engine as core_chat_engines
from llama_index.core.chat_engine import CondensePlusContextChatEngine, CondenseQuestionChatEngine, SimpleChatEngine
from llama_index.core.chat_engine.context import ContextChatEngine
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms.utils import resolve_llm
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.settings import Settings

from late_interaction.adapters.arguments import takes_images
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index.retrievers import RETRIEVER_SETTINGS, check_settings
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.chat_engine.types import BaseChatEngine
    from llama_index.core.llms import LLM
    from llama_index.core.llms.utils import LLMType

    from late_interaction.llama_index.indices import LateInteractionIndex

__all__ = ["chat_engine", "query_engine"]

_CHAT_MODES = {
    "context": ContextChatEngine,
    "condense_plus_context": CondensePlusContextChatEngine,
    "best": CondensePlusContextChatEngine,
    "condense_question": CondenseQuestionChatEngine,
    "simple": SimpleChatEngine,
}
_WITH_IMAGES = {
    ContextChatEngine: "MultiModalContextChatEngine",
    CondensePlusContextChatEngine: "MultiModalCondensePlusContextChatEngine",
}
_SHOWN_ARGUMENTS = {"text_qa_template": "chat_content_qa_template", "refine_template": "chat_content_refine_template"}
_FIRST_WITH_IMAGES = "0.14.23"  # where all of LlamaIndex's engines can show images


def query_engine(
    index: LateInteractionIndex, llm: LLMType | None, multimodal: bool | None, given: dict[str, Any]
) -> BaseQueryEngine:
    """Return the query engine that `LateInteractionIndex.as_query_engine` describes."""
    model = _model(index, llm)
    make = RetrieverQueryEngine.from_args
    of_engine = _names_of(make) - {"retriever", "llm", "multimodal"}
    check_settings(given, {*RETRIEVER_SETTINGS, *of_engine, "multimodal"}, "as_query_engine")
    settings = _only(given, of_engine)
    shows = multimodal if "response_synthesizer" in settings else _shows_images(index, model, multimodal)
    if shows:
        _refuse_text_templates(settings)
        if "multimodal" not in _names_of(make):
            raise _too_old()
        settings["multimodal"] = True
    return make(index.as_retriever(**_only(given, RETRIEVER_SETTINGS)), llm=model, **settings)


def chat_engine(
    index: LateInteractionIndex, mode: str, llm: LLMType | None, multimodal: bool | None, given: dict[str, Any]
) -> BaseChatEngine:
    """Return the chat engine that `LateInteractionIndex.as_chat_engine` describes."""
    mode = mode.value if isinstance(mode, ChatMode) else mode
    if mode not in _CHAT_MODES:
        hint = did_you_mean(mode, _CHAT_MODES)
        raise InvalidRequestError(f"Unknown chat_mode {mode!r}.{hint} Allowed: {', '.join(_CHAT_MODES)}.")
    kind: Any = _CHAT_MODES[mode]
    model = _model(index, llm)
    method = f"as_chat_engine(chat_mode={mode!r})"
    if kind is SimpleChatEngine:
        check_settings(given, _names_of(kind.from_defaults), method)
        return SimpleChatEngine.from_defaults(llm=model, **given)
    if kind is CondenseQuestionChatEngine:
        of_chat = _names_of(kind.from_defaults) - {"query_engine", "llm"}
        of_engine = _names_of(RetrieverQueryEngine.from_args) - {"retriever", "llm", "multimodal"}
        check_settings(given, {*RETRIEVER_SETTINGS, *of_chat, *of_engine, "multimodal"}, method)
        engine = query_engine(index, model, multimodal, _only(given, {*RETRIEVER_SETTINGS, *of_engine}))
        return CondenseQuestionChatEngine.from_defaults(query_engine=engine, llm=model, **_only(given, of_chat))
    return _context_chat_engine(index, kind, model, _shows_images(index, model, multimodal), given, method)


def _context_chat_engine(
    index: LateInteractionIndex, kind: Any, model: LLM, shows: bool, given: dict[str, Any], method: str
) -> BaseChatEngine:
    """Return a chat engine that puts what is found into the context of the model.

    Args:
        index: The index.
        kind: The class of LlamaIndex for texts.
        model: The model.
        shows: Use the class for images in its place.
        given: The arguments.
        method: The name of the method, for errors.
    """
    of_text = _names_of(kind.from_defaults)
    if shows:
        kind = getattr(core_chat_engines, _WITH_IMAGES[kind], None)
        if kind is None:
            raise _too_old()
    of_chat = _names_of(kind.from_defaults) - {"retriever", "llm", "multi_modal_llm"}
    for name in given:
        if name in of_text and name not in of_chat:
            raise InvalidRequestError(f"{name}= has no effect where pages are shown as images. Pass multimodal=False.")
    check_settings(given, {*RETRIEVER_SETTINGS, *of_chat, "multimodal"}, method)
    settings = {"multi_modal_llm" if shows else "llm": model, **_only(given, of_chat)}
    retriever = index.as_retriever(**_only(given, RETRIEVER_SETTINGS))
    made: BaseChatEngine = kind.from_defaults(retriever=retriever, **settings)
    return made


def _model(index: LateInteractionIndex, llm: LLMType | None) -> LLM:
    return resolve_llm(llm, callback_manager=index._callback_manager) if llm else Settings.llm


def _shows_images(index: LateInteractionIndex, model: LLM, multimodal: bool | None) -> bool:
    if multimodal is not None:
        return multimodal
    return takes_images(index.index) and model.metadata.is_chat_model


def _refuse_text_templates(settings: dict[str, Any]) -> None:
    for name, instead in _SHOWN_ARGUMENTS.items():
        if settings.get(name) is not None:
            raise InvalidRequestError(
                f"{name}= formats text alone, and pages are shown as images. Use {instead}=, or pass multimodal=False."
            )


def _too_old() -> InvalidRequestError:
    return InvalidRequestError(
        f"llama-index-core {version('llama-index-core')} cannot show images to a model through this engine. Install "
        f"{_FIRST_WITH_IMAGES} or later, or pass multimodal=False to give it the text on the pages."
    )


def _names_of(function: Callable[..., Any]) -> set[str]:
    """Return the names of the arguments of a function."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}


def _only(given: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: given[name] for name in given if name in names}
