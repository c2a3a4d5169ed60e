"""The gRPC server, on the event loop that the HTTP server runs on."""

import grpc

from service.grpc_face.boundary import Boundary
from service.grpc_face.messages import MESSAGES, PACKAGE
from service.grpc_face.methods import Methods
from service.settings import Settings

_SERVICE = f"{PACKAGE}.GRPCInferenceService"


class GrpcServer:
    """Serves from `start` to `stop`; knows no encryption, as HTTP does not here."""

    def __init__(self, methods: Methods, boundary: Boundary, settings: Settings) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._address = f"{host}:{settings.grpc_port}"
        self._options = (
            # Of a message as it is once it is decompressed.
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            # An index of very many tasks is long.
            ("grpc.max_send_message_length", -1),
            # A port that another process serves is an error, not a half of its requests.
            ("grpc.so_reuseport", 0),
        )
        self._handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                boundary.around(f"/{_SERVICE}/{name}", answer),
                MESSAGES[f"{name}Request"].FromString,
                MESSAGES[f"{name}Response"].SerializeToString,
            )
            for name, answer in methods.by_name().items()
        }
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises `OSError` where the port cannot be had."""
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(_SERVICE, self._handlers),)
        )
        try:
            server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"grpc_port: cannot listen on {self._address}: {error}") from None
        await server.start()
        self._server = server

    async def stop(self, grace_seconds: float) -> None:
        """Take in no more calls; those under way may take so long to finish."""
        if self._server is not None:
            await self._server.stop(grace_seconds)
