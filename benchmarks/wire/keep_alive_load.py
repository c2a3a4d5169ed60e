"""`PORT SECONDS CONNECTIONS < request`: sends one request again and again, prints what came.

With `--tasks FILE` the request names the file's first task, and each next one names the next, which
is as long. With `--rate` requests are due at random moments, so many a second on average, whether
or not earlier ones are answered, and how long each took counts from then. Raw sockets and one
epoll: a client of more comfort costs more than the servers that it measures.
"""

import argparse
import gc
import json
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from pathlib import Path

_WARM_UP_SECONDS = 0.3
_PATIENCE_SECONDS = 5
_HEAD_ENDS = b"\r\n\r\n"


def body_length(head: bytes) -> int:
    """Of an answer. Raises `ValueError` where it is no 200, or does not say how long it is."""
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"expected 200, got {head[:600]!r}")
    return int(head.lower().partition(b"\ncontent-length:")[2].partition(b"\r")[0])


def requests_of(request: bytes, tasks: list[bytes]) -> Iterator[bytes]:
    """Without end; with tasks, the request's first one is replaced by each in turn."""
    if not tasks:
        return repeat(request)
    parts = request.split(tasks[0])
    if len(parts) < 2 or {len(task) for task in tasks} != {len(tasks[0])}:
        raise ValueError(f"expected names as long as {tasks[0]!r}, which the request holds")
    return map(_joined(parts), cycle(tasks))


def _joined(parts: list[bytes]) -> Callable[[bytes], bytes]:
    return lambda task: task.join(parts)


class Load:
    """Keep-alive connections with at most one request under way each."""

    def __init__(self, port: int, count: int, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._left: dict[int, int] = {}
        """Bytes that are to come of an answer that has begun."""
        self._begun: dict[int, bytes] = {}
        """Heads that have not ended."""
        self.body_bytes = 0
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = connection.fileno()
            self._connections[number], self._left[number] = connection, 0
            self._send(number)
            while not self._answered(number):
                pass
            connection.settimeout(None)  # with one, Python asks the kernel before every call
            self._poll.register(connection, select.EPOLLIN)
        # Longest idle first: a server may close what it has not heard of for some seconds.
        self._idle = deque(self._connections)

    def ask(self, seconds: float) -> int:
        """Answers within that time; each connection asks again as soon as it is answered."""
        count, deadline = 0, time.perf_counter() + seconds
        while self._idle:
            self._send(self._idle.popleft())
        while time.perf_counter() < deadline:
            for number, _ in self._poll.poll(_PATIENCE_SECONDS):
                if self._answered(number):
                    count += 1
                    self._send(number)
        return count

    def arrive(self, seconds: float, rate: float) -> list[float]:
        """Seconds from when each request was due to the end of its answer.

        Nothing sleeps, since that ends too late. Raises `ValueError` where some stay unanswered.
        """
        latencies: list[float] = []
        waiting: deque[float] = deque()
        due_at: dict[int, float] = {}
        next_due = time.perf_counter()
        ends = next_due + seconds
        while (now := time.perf_counter()) < ends or waiting or due_at:
            if now > ends + _PATIENCE_SECONDS:
                raise ValueError(f"{len(waiting) + len(due_at)} requests without an answer")
            while next_due < min(now, ends):
                waiting.append(next_due)
                next_due += random.expovariate(rate)
            while waiting and self._idle:
                number = self._idle.popleft()
                due_at[number] = waiting.popleft()
                self._send(number)
            for number, _ in self._poll.poll(0):
                if self._answered(number):
                    latencies.append(time.perf_counter() - due_at.pop(number))
                    self._idle.append(number)
        return latencies

    def _send(self, number: int) -> None:
        self._connections[number].sendall(next(self._requests))

    def _answered(self, number: int) -> bool:
        """Take what came on a connection: whether an answer is whole."""
        part = self._connections[number].recv(1 << 16)
        if not part:
            raise ValueError("the server closed a connection")
        left = self._left[number]
        if not left:
            part = self._begun.pop(number, b"") + part
            end = part.find(_HEAD_ENDS)
            if end < 0:
                self._begun[number] = part
                return False
            self.body_bytes = body_length(part[:end])
            left = end + len(_HEAD_ENDS) + self.body_bytes
        self._left[number] = left = left - len(part)
        if left < 0:
            raise ValueError(f"expected the end of an answer, got more: {part[:600]!r}")
        return not left


def main() -> None:
    """Warm up, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("connections", type=int)
    parser.add_argument("--tasks", type=Path, help="names, one a line")
    parser.add_argument("--rate", type=float, help="requests a second")
    parser.add_argument("--warm-up", type=float, default=_WARM_UP_SECONDS, help="seconds")
    told = parser.parse_args()
    tasks = told.tasks.read_bytes().split() if told.tasks else []
    load = Load(told.port, told.connections, requests_of(sys.stdin.buffer.read(), tasks))
    gc.freeze()
    measured: dict[str, object]
    if told.rate:
        load.arrive(told.warm_up, told.rate)
        measured = {"latencies": load.arrive(told.seconds, told.rate)}
    else:
        warm_up = load.ask(told.warm_up)
        started, cpu_before = time.perf_counter(), time.process_time()
        answers = load.ask(told.seconds)
        measured = {
            "answers": answers,
            "seconds": time.perf_counter() - started,
            "client_cpu_seconds": time.process_time() - cpu_before,
            "answers_with_warm_up": warm_up + answers + told.connections,
            "body_bytes": load.body_bytes,
        }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
