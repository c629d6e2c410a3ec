"""A line to an API server on which every message takes its time, as between continents."""

import socket
import threading
import time


class SlowLine:
    """Forwards TCP to `port` of this machine; what is sent arrives `delay` seconds later, in order."""

    def __init__(self, port, delay):
        self.target, self.delay = port, delay
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for source, sink, delay in ((near, far, self.delay), (far, near, 0)):
                threading.Thread(target=self._forward, args=(source, sink, delay), daemon=True).start()

    @staticmethod
    def _forward(source, sink, delay):
        try:
            while data := source.recv(1 << 16):
                time.sleep(delay)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
