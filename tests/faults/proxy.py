"""A network that goes away: a proxy that passes bytes on and breaks every connection at the n-th of them."""

import socket
import threading


class FailingNetwork:
    """Passes bytes on to a port of this machine, in both directions.

        with FailingNetwork(hub.port, drop_at=1000) as network:
            os.environ["HF_ENDPOINT"] = network.url

    After `drop_at` bytes, counted over all connections and both directions, every connection breaks; the next one works
    again, unless `for_good`. `carried` counts the bytes that came through.
    """

    def __init__(self, port: int, drop_at: int | None = None, for_good: bool = False):
        self._port, self._left, self._for_good = port, drop_at, for_good
        self.dropped, self.carried = 0, 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __enter__(self) -> "FailingNetwork":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._listener.close()
        self._break_all()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def mend(self) -> None:
        """From now on nothing is dropped."""
        with self._lock:
            self._left = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self._left == 0:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while block := source.recv(16 * 1024):
                allowed, breaks = self._take(len(block))
                target.sendall(block[:allowed])
                if breaks:
                    self._break_all()
                    return
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(source, target)

    def _take(self, count: int) -> tuple[int, bool]:
        """How many of the next bytes come through, and whether the network goes away after them."""
        with self._lock:
            breaks = self._left is not None and count >= self._left
            allowed = min(count, self._left) if breaks else count
            self.carried += allowed
            self.dropped += breaks
            if breaks:
                self._left = 0 if self._for_good else None
            elif self._left is not None:
                self._left -= count
            return allowed, breaks

    def _break_all(self) -> None:
        with self._lock:
            broken, self._open = list(self._open), set()
        self._close(*broken)

    def _close(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with self._lock:
                self._open.discard(each)
            try:
                each.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it; closing alone does not
            except OSError:
                pass  # not connected any more
            each.close()
