"""A candidate's access to language models: an OpenAI-compatible server on its loopback.

The server is a second process in the candidate's sandbox and private network. It only forwards
questions. The node, at the other end of its channel, decides which models may be asked and how
often. A candidate that disrupts the server harms only itself.
"""

import json
import os
import queue
import resource
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Final

from trainer.program.harness.tags import ASKED, QUESTION, REPLIED
from trainer.sandbox.inside.channel import Channel

HOST: Final = "127.0.0.1"
PORT: Final = 8080
URL: Final = f"http://{HOST}:{PORT}/v1"
KEY: Final = "arnode"  # clients require one; it is not secret
MOST_BYTES: Final = 4 << 20  # of a question
# A process's size does not include socket buffers, so the number of sockets is limited.
MOST_DESCRIPTORS: Final = 64


def open_endpoint(channel: Channel, descriptor: int, names: list[str]) -> None:
    """Start the server as a child process, and put its address into the environment.

    `channel` is this process's channel, which the child closes. `descriptor` is the server's socket
    to the node. `names` are the models' names.
    """
    listener = socket.create_server((HOST, PORT), backlog=MOST_DESCRIPTORS)
    if not os.fork():
        try:
            channel.close()
            _Server(listener, Channel(descriptor), names).serve_forever()
        finally:
            os._exit(0)
    listener.close()
    os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_DESCRIPTORS, MOST_DESCRIPTORS))
    address = dict.fromkeys(("OPENAI_BASE_URL", "OPENAI_API_BASE"), URL)
    os.environ.update(address, OPENAI_API_KEY=KEY)


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, channel: Channel, names: list[str]) -> None:
        super().__init__((HOST, PORT), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.names = names
        self._channel = channel
        self._sending = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[tuple[int, bool, bytes]]] = {}
        self._number = 0
        threading.Thread(target=self._hand_back, daemon=True).start()

    def ask(self, body: bytes) -> tuple[int, bool, bytes]:
        """Return a reply's status, True if it is a stream, and its body."""
        answered: queue.SimpleQueue[tuple[int, bool, bytes]] = queue.SimpleQueue()
        with self._sending:
            self._number += 1
            number = self._number
            self._waiting[number] = answered
            self._channel.send(QUESTION, ASKED.pack(number) + body)
        return answered.get()

    def handle_error(self, *_: object) -> None:
        """Ignore clients that have disconnected."""

    def _hand_back(self) -> None:
        """Pass each reply to the thread that waits for it. End when the channel closes."""
        try:
            while True:
                _, payload, _ = self._channel.receive()
                number, status, is_stream = REPLIED.unpack(payload[: REPLIED.size])
                self._waiting.pop(number).put((status, is_stream, payload[REPLIED.size :]))
        finally:
            os._exit(0)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._send(
                413, _error(f"a request needs a Content-Length of at most {MOST_BYTES} bytes")
            )
            return
        body = self.rfile.read(int(length))
        if self.path.partition("?")[0].rstrip("/") != "/v1/chat/completions":
            self._send(404, _error("only /v1/chat/completions and /v1/models exist"))
            return
        status, is_stream, said = self.server.ask(body)
        self._send(status, said, "text/event-stream" if is_stream else "application/json")

    def do_GET(self) -> None:
        if self.path.partition("?")[0].rstrip("/") != "/v1/models":
            self._send(404, _error("only /v1/chat/completions and /v1/models exist"))
            return
        names = self.server.names
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": KEY} for name in names]
        self._send(200, json.dumps({"object": "list", "data": listed}).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing: this output is the candidate's log."""

    def version_string(self) -> str:
        return KEY

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-should-retry", "false")  # stops OpenAI's client from retrying in vain
        self.end_headers()
        self.wfile.write(body)


def _error(detail: str) -> bytes:
    kind = "invalid_request_error"
    error = {"message": detail, "type": kind, "param": None, "code": kind}
    return json.dumps({"error": error}).encode()
