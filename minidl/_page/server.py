"""Serve a live page to the browser on this machine: its HTML, and answers to its questions.

For pages that compute while they are open. Only this machine can connect, and only with the
address, which holds a random token.
"""

from __future__ import annotations

import errno
import http.server
import json
import os
import secrets
import sys
import threading
import traceback
import webbrowser
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from minidl import _checks
from minidl._format import printable

HOST = "127.0.0.1"
MAX_BODY = 64_000  # bytes of a question
MAX_PORT = 65_535
HEADERS = {
    # The page may use what is in it, and ask this server; it loads nothing else.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Answer = Callable[[Any], Any]  # from the JSON value of a question to that of the answer


def check_port(owner: str, name: str, port: Any) -> int:
    """A port, 0 for any, as an int; TypeError or ValueError if there is no such port."""
    if (checked := _checks.count(owner, name, port, 0)) > MAX_PORT:
        raise ValueError(f"{owner}: {name} must be at most {MAX_PORT}, got {port}")
    return checked


class PageServer(http.server.ThreadingHTTPServer):
    """A page at `url`, and answers to what it asks by POST to `url` + a name, both as JSON.

    owner    for messages, such as "race"
    page     the page's HTML
    answers  the function for each name. It runs in a thread, one at a time. A ValueError or
             TypeError is answered by {"error": its message} and the status 400
    port     0 for a free one

    OSError if the port can't be used, ValueError or TypeError if it is no port.
    """

    daemon_threads = True
    request_queue_size = 128  # connections that wait; a browser opens several for each tab
    allow_reuse_address = os.name != "nt"  # on Windows two servers could share the port

    def __init__(self, owner: str, page: str, answers: Mapping[str, Answer], port: int = 0) -> None:
        self.owner, self.page, self.answers = owner, page, answers
        self.token, self.lock = secrets.token_urlsafe(16), threading.Lock()
        self.tickets: set[str] = set()
        try:
            super().__init__((HOST, check_port(owner, "port", port)), _Handler)
        except OSError as error:
            reason = {
                errno.EADDRINUSE: "another program uses it",
                errno.EACCES: "it is reserved for the system",
            }.get(error.errno or 0, str(error))
            raise OSError(
                f"{owner}: can't serve on port {port} of {HOST}: {reason}. Give another port, or "
                "none to take a free one."
            ) from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return self._at(self.token)

    def _at(self, token: str) -> str:
        return f"http://{HOST}:{self.server_port}/{token}/"

    def url_for_once(self) -> str:
        """An address that leads to the page's own once.

        For the command line of a browser, which the other users of the machine can read.
        """
        self.tickets.add(ticket := secrets.token_urlsafe(16))
        return self._at(ticket)

    def redeem(self, ticket: str) -> bool:
        """Whether a ticket is good; afterwards it isn't."""
        try:
            self.tickets.remove(ticket)
        except KeyError:
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, unless the browser has only closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def run(self, *, browser: bool = True) -> None:
        """Print the address, open it in a browser, and serve until Ctrl-C."""
        try:
            print(printable(f"{self.owner}: {self.url}  (Ctrl-C to end)"), flush=True)
            if browser:  # in a thread, as a browser in the terminal returns when it ends
                url = self.url_for_once()
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            self.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "minidl", ""
    timeout = 30  # seconds for a request to arrive
    disable_nagle_algorithm = True  # else a body waits 40 ms for the headers' ACK

    def do_GET(self) -> None:
        """The page, or for a ticket its address."""
        if self._is_local() and self._name() == "" and self.server.redeem(self._token()):
            self._send(HTTPStatus.SEE_OTHER, "", "text/html", Location=self.server.url)
        elif self._allowed() and self._name() == "":
            self._send(HTTPStatus.OK, self.server.page, "text/html")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """An answer."""
        name = self._name()
        if not self._allowed() or name is None or name not in self.server.answers:
            return self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length must be given")
        if len(length) > 9 or int(length) > MAX_BODY:
            message = f"a question has at most {MAX_BODY:,} bytes"
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        try:
            question = json.loads(self.rfile.read(int(length)), parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"the question is not JSON: {error}")
        try:
            with self.server.lock:
                answer = self.server.answers[name](question)
        except (ValueError, TypeError) as error:
            return self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Exception:
            traceback.print_exc()
            message = "the server failed; its terminal shows the error"
            return self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": message})
        return self._send_json(HTTPStatus.OK, answer)

    def _allowed(self) -> bool:
        """Whether a request has the token, and comes from this page or from an address bar."""
        equal = secrets.compare_digest(self._token().encode(), self.server.token.encode())
        return equal and self._is_local()

    def _is_local(self) -> bool:
        """Whether a request comes from this page or from an address bar."""
        port = self.server.server_port
        hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        return host in hosts and origin in (None, f"http://{host}")

    def _token(self) -> str:
        return self.path[1:].partition("/")[0]

    def _name(self) -> str | None:
        """What follows the token and a slash in the path."""
        _, slash, name = self.path[1:].partition("?")[0].partition("/")
        return name if slash else None

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value, ensure_ascii=False), "application/json")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer without having read the request's body, so the connection ends."""
        self.close_connection = True
        self._send_json(status, {"error": message})

    def _send(self, status: HTTPStatus, text: str, kind: str, **headers: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing for each request."""


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")
