"""The service's methods: each from its request to its response, and what does it."""

import asyncio
from typing import Any

from model_store.errors import UnknownTask
from service.engine.engine import Engine
from service.engine.registry.entries import Terms
from service.errors import InvalidInput
from service.grpc_face.boundary import Answer
from service.grpc_face.infer_answer import infer_answer
from service.grpc_face.infer_request import infer_call
from service.grpc_face.messages import MESSAGES
from service.open_inference.questions import question_of
from service.open_inference.repository import AUTO, ModelRepository, check_no_version
from service.readiness import Readiness, why_unready
from service.settings import Settings


class Methods:
    """On the engine and the models that every face of the service has."""

    def __init__(
        self, engine: Engine, models: ModelRepository, readiness: Readiness, settings: Settings
    ) -> None:
        self._engine = engine
        self._models = models
        self._readiness = readiness
        self._row_length = engine.network.manifest.preprocessing.row_length
        self._max_rows = settings.max_request_rows

    def by_name(self) -> dict[str, Answer]:
        """Under the name that clients call each by; its messages are called after it."""
        return {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._repository_model_load,
            "RepositoryModelUnload": self._repository_model_unload,
        }

    async def _server_live(self, request: Any, terms: Terms) -> Any:
        return MESSAGES["ServerLiveResponse"](live=True)

    async def _server_ready(self, request: Any, terms: Terms) -> Any:
        unready = why_unready(self._readiness, self._engine.follower)
        return MESSAGES["ServerReadyResponse"](ready=unready is None)

    async def _server_metadata(self, request: Any, terms: Terms) -> Any:
        return MESSAGES["ServerMetadataResponse"](**self._models.server_metadata())

    async def _model_ready(self, request: Any, terms: Terms) -> Any:
        try:
            await self._models.check_ready(request.name, request.version, terms.tenant)
        except UnknownTask:
            # By HTTP a status code says it; here the answer has a field for it.
            return MESSAGES["ModelReadyResponse"](ready=False)
        return MESSAGES["ModelReadyResponse"](ready=True)

    async def _model_metadata(self, request: Any, terms: Terms) -> Any:
        metadata = await self._models.metadata(request.name, request.version, terms.tenant)
        return MESSAGES["ModelMetadataResponse"](**metadata)

    async def _model_infer(self, request: Any, terms: Terms) -> Any:
        call = infer_call(request, self._row_length, self._max_rows)
        if call.timeout_ms is not None:
            terms = terms.within(call.timeout_ms)
        task, predictor = request.model_name, self._engine.predictor
        version = request.model_version or None
        if task == AUTO:
            check_no_version(version)
            prediction = await predictor.infer(call.rows, question_of(call.asked), terms)
        else:
            prediction = await predictor.predict(task, call.rows, terms, version)
        return infer_answer(task, call, prediction)

    async def _repository_index(self, request: Any, terms: Terms) -> Any:
        index = self._models.index(request.ready, terms.tenant)

        def response() -> Any:
            answer = MESSAGES["RepositoryIndexResponse"]()
            for model in index:
                answer.models.add(**model._asdict())
            return answer

        return await asyncio.to_thread(response)

    async def _repository_model_load(self, request: Any, terms: Terms) -> Any:
        if request.parameters:
            raise InvalidInput(
                "parameters: expected none, a task's configuration and content are its artifact; "
                f"got {', '.join(sorted(request.parameters))[:200]}"
            )
        await self._models.load(request.model_name, terms.tenant)
        return MESSAGES["RepositoryModelLoadResponse"]()

    async def _repository_model_unload(self, request: Any, terms: Terms) -> Any:
        self._models.unload(request.model_name, terms.tenant)
        return MESSAGES["RepositoryModelUnloadResponse"]()
