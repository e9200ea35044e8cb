"""A TCP proxy between the platform and a service. Its connections can be cut and slowed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Proxy:
    """Listens on 127.0.0.1:`port` and forwards to `upstream`, which may move while it runs."""

    def __init__(self, upstream: int, *, port: int = 0) -> None:
        self.upstream = upstream
        self.delay_s = 0.0
        self._cut = False
        self._down_until = 0.0
        self._pairs: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones until `restore`."""
        self._cut = True
        self.reset()

    def cut_for(self, seconds: float) -> None:
        """Reset every connection and refuse new ones for `seconds`. `restore` does not end it."""
        self._down_until = time.monotonic() + seconds
        self.reset()

    @property
    def down_s(self) -> float:
        """How many seconds are left of `cut_for`."""
        return max(0.0, self._down_until - time.monotonic())

    def reset(self) -> None:
        """Reset every connection; accept new ones."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for each in pairs:
            _close(each, hard=True)

    def restore(self) -> None:
        """Forward again, and without delay."""
        self._cut, self.delay_s = False, 0.0

    def close(self) -> None:
        self._listener.close()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut or self.down_s:
                _close(near, hard=True)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.upstream), timeout=2)
            except OSError:
                _close(near, hard=True)
                continue
            far.settimeout(None)
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                sink.sendall(data)
        for each in (source, sink):
            _close(each)
        with self._lock:
            self._pairs -= {source, sink}


def _close(connection: socket.socket, *, hard: bool = False) -> None:
    with contextlib.suppress(OSError):
        if hard:
            # Linger 0: what the peer still sends is answered by a reset, as when a machine dies.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        # close() alone does not wake a thread that reads from the socket.
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
