# SPDX-FileCopyrightText: 2026 health_orthanc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collector of syslog messages on loopback."""

import queue
import socket
import ssl
import threading

__all__ = ['Collector', 'split_frames']


def split_frames(data: bytes) -> list[bytes]:
    """Return the messages in a stream with octet counting."""
    found = []
    while data:
        length, _, data = data.partition(b' ')
        found.append(data[:int(length)])
        assert len(found[-1]) == int(length)
        data = data[int(length):]
    return found


class Collector:
    """A server that reads each connection to its end.

    Attributes
    ----------
    connections
        A queue with the bytes of each connection.
    """

    def __init__(
            self, context: ssl.SSLContext | None = None, port: int = 0,
            cut: int | None = None):
        self.connections: queue.Queue[bytes] = queue.Queue()
        self._context = context
        # After so many bytes a connection is reset
        self._cut = cut
        self._socket = socket.create_server(('127.0.0.1', port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> 'Collector':
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        # Wakes up the thread that accepts
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            with plain:
                try:
                    self._read(plain)
                except OSError:
                    # The client does not trust the certificate
                    pass

    def _read(self, plain: socket.socket) -> None:
        connection = self._context.wrap_socket(
            plain, server_side=True) if self._context else plain
        with connection:
            data = b''
            while chunk := connection.recv(2**16):
                data += chunk
                if self._cut is not None and len(data) > self._cut:
                    # A reset, not an end
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER,
                        b'\1\0\0\0\0\0\0\0')
                    return
            self.connections.put(data)

    def messages(self) -> list[bytes]:
        """Return the messages of the next connection."""
        return split_frames(self.connections.get(timeout=30))
