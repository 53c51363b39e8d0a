"""Both frameworks' classes behind one face, so that each test runs over both."""

from __future__ import annotations


class LangChain:
    """LangChain's classes; what they find is told as (id, text) pairs."""

    def __init__(self, index, **settings):
        from late_interaction.langchain import LateInteractionRetriever

        self.retriever = LateInteractionRetriever(index=index, k=3, **settings)

    def retrieve(self, query):
        return self.retriever.invoke(query)

    async def aretrieve(self, query):
        return await self.retriever.ainvoke(query)

    def rerank(self, found, query, **source):
        from late_interaction.langchain import LateInteractionReranker

        return LateInteractionReranker(**source).compress_documents(found, query)

    def ids(self, found):
        return [document.id for document in found]


class LlamaIndex:
    """LlamaIndex's classes, in the same way."""

    def __init__(self, index, **settings):
        from late_interaction.llama_index import LateInteractionRetriever

        self.retriever = LateInteractionRetriever(index=index, similarity_top_k=3, **settings)

    def retrieve(self, query):
        return self.retriever.retrieve(query)

    async def aretrieve(self, query):
        return await self.retriever.aretrieve(query)

    def rerank(self, found, query, **source):
        from late_interaction.llama_index import LateInteractionRerank

        return LateInteractionRerank(**source).postprocess_nodes(found, query_str=query)

    def ids(self, found):
        return [scored.node.node_id for scored in found]


FRAMEWORKS = [LangChain, LlamaIndex]
