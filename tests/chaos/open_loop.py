"""`PORT SECONDS RATE CONNECTIONS EXPECTED < request`: sends whether or not answers come.

Without a rate (0) each connection asks again as soon as it is answered. Prints what came, by
status, with how long each answer took from when its request was sent; a 503 without `Retry-After`,
an answer other than the expected body, and what never came are counted apart.
"""

import argparse
import json
import select
import socket
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

PATIENCE_SECONDS = 10


class Connection:
    """One request under way at most."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._came = b""

    def send(self, request: bytes) -> None:
        self._came, self.sent_at = b"", time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> tuple[bytes, bytes] | None:
        """Head and body, once they are whole."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionError("the service closed a connection")
        self._came += part
        head, ended, body = self._came.partition(b"\r\n\r\n")
        if not ended:
            return None
        length = int(head.lower().partition(b"\ncontent-length:")[2].partition(b"\r")[0])
        return (head.lower(), body) if len(body) >= length else None


class OpenLoop:
    """Sends when a request is due and a connection is free."""

    def __init__(self, port: int, connections: int, request: bytes, expected: bytes) -> None:
        self._request = request
        self._expected = np.frombuffer(expected, np.float32)
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        for _ in range(connections):
            made = Connection(port)
            self._connections[made.socket.fileno()] = made
            self._poll.register(made.socket, select.EPOLLIN)
        self._idle = list(self._connections)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.without_retry_after = self.wrong = self.sent = self.answered_meanwhile = 0

    def run(self, seconds: float, rate: float) -> None:
        started = now = time.perf_counter()
        while now < started + seconds or len(self._idle) < len(self._connections):
            if now > started + seconds + PATIENCE_SECONDS:
                return
            due = (now - started) * rate if rate else float("inf")
            while self._idle and self.sent < due and now < started + seconds:
                self._connections[self._idle.pop()].send(self._request)
                self.sent += 1
            for number, _ in self._poll.poll(0.001):
                self._take(number)
            now = time.perf_counter()
            if now < started + seconds:
                self.answered_meanwhile = len(self.seconds["200"])

    def _take(self, number: int) -> None:
        connection = self._connections[number]
        answer = connection.answer()
        if answer is None:
            return
        head, body = answer
        status = head[9:12].decode()
        self.seconds[status].append(time.perf_counter() - connection.sent_at)
        self._idle.append(number)
        if status == "503" and b"\nretry-after:" not in head:
            self.without_retry_after += 1
        if status == "200":
            found = np.frombuffer(body, np.float32)
            same = found.shape == self._expected.shape
            if not same or not np.allclose(found, self._expected, rtol=1e-5, atol=1e-5):
                self.wrong += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("rate", type=float)
    parser.add_argument("connections", type=int)
    parser.add_argument("expected", type=Path, help="the right answer, raw float32")
    told = parser.parse_args()
    request = sys.stdin.buffer.read()
    load = OpenLoop(told.port, told.connections, request, told.expected.read_bytes())
    load.run(told.seconds, told.rate)
    answered = sum(map(len, load.seconds.values()))
    said = {
        "sent": load.sent,
        "unanswered": load.sent - answered,
        "answered_meanwhile": load.answered_meanwhile,
        "wrong": load.wrong,
        "without_retry_after": load.without_retry_after,
        "seconds": load.seconds,
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
