"""`PORT SECONDS CONNECTIONS < request`: sends one request again and again, prints what came.

Raw sockets and one epoll: a client of more comfort costs more than the servers that it measures.
"""

import json
import select
import socket
import sys
import time

_WARM_UP_SECONDS = 0.3


def first_answer(connection: socket.socket, request: bytes) -> tuple[int, int]:
    """Bytes of the whole answer and of its body. Raises `ValueError` where it is no 200."""
    connection.sendall(request)
    received = b""
    while True:
        part = connection.recv(1 << 16)
        received += part
        head, separator, body = received.partition(b"\r\n\r\n")
        if not part or not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"expected 200, got {received[:600]!r}")
        length = head.lower().partition(b"\ncontent-length:")[2].partition(b"\r")[0]
        if separator and len(body) == int(length):
            return len(received), len(body)


class Load:
    """Connections with one request under way each; every answer is as long as the first."""

    def __init__(self, port: int, count: int, request: bytes) -> None:
        self._request = request
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._received: dict[int, int] = {}
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._answer_bytes, self.body_bytes = first_answer(connection, request)
            self._connections[connection.fileno()] = connection
            self._received[connection.fileno()] = 0
            self._poll.register(connection, select.EPOLLIN)
            connection.send(request)

    def ask(self, seconds: float) -> int:
        """Answers within that time; each connection asks again as soon as it is answered."""
        count, buffer, request = 0, bytearray(1 << 16), self._request
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            for number, _ in self._poll.poll(5):
                connection = self._connections[number]
                before = self._received[number]
                after = before + connection.recv_into(buffer)
                wrong = not before and not buffer.startswith(b"HTTP/1.1 200 ")
                if wrong or after == before or after > self._answer_bytes:
                    raise ValueError(f"expected an answer like the first, got {buffer[:600]!r}")
                if after == self._answer_bytes:
                    count, after = count + 1, 0
                    connection.send(request)
                self._received[number] = after
        return count


def main() -> None:
    """Warm up, measure, print."""
    port, seconds, count = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    load = Load(port, count, sys.stdin.buffer.read())
    warm_up = load.ask(_WARM_UP_SECONDS)
    started = time.perf_counter()
    answers = load.ask(seconds)
    measured = {
        "answers": answers,
        "seconds": time.perf_counter() - started,
        "answers_with_warm_up": warm_up + answers + count,
        "body_bytes": load.body_bytes,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
