"""The server of live pages: it answers its own page, and refuses anything else."""

import contextlib
import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest
from cases import ROOT

from minidl._page import server
from minidl._page.server import PageServer


def answer(question):
    if question == "fail":
        raise RuntimeError("a bug")
    if question == "refuse":
        raise ValueError("η must be ≥ 0")
    return {"heard": question}


@contextlib.contextmanager
def served(page="<p>η</p>", answers=None):
    """A server in a thread."""
    with PageServer("race", page, answers or {"ask": answer}) as own:
        thread = threading.Thread(target=own.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield own
        finally:
            own.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def shared():
    with served() as own:
        yield own


def request(own, method="GET", path="", body=None, **headers):
    """(status, headers, text) of a request for a path below the page's."""
    connection = http.client.HTTPConnection(server.HOST, own.server_port, timeout=10)
    with contextlib.closing(connection):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{own.token}/{path}", body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def asked(own, body, **headers):
    status, _, text = request(own, "POST", "ask", body, **headers)
    return status, json.loads(text)


def test_the_page_is_at_its_address(shared):
    status, headers, text = request(shared)
    assert (status, text) == (200, "<p>η</p>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert shared.url == f"http://127.0.0.1:{shared.server_port}/{shared.token}/"
    assert shared.server_address[0] == "127.0.0.1"


def test_a_question_and_its_answer_are_json(shared):
    assert asked(shared, '["η", 1.5, null]'.encode()) == (200, {"heard": ["η", 1.5, None]})


def test_an_answer_does_not_wait_for_an_acknowledgement(monkeypatch):
    connections = []

    def sends_at_once(question):
        return bool(connections[-1].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    with served(answers={"ask": sends_at_once}) as own:
        finish = own.finish_request

        def watched(connection, address):
            connections.append(connection)
            finish(connection, address)

        monkeypatch.setattr(own, "finish_request", watched)
        assert asked(own, "1") == (200, True)


def test_an_error_of_the_question_is_told(shared):
    assert asked(shared, '"refuse"') == (400, {"error": "η must be ≥ 0"})


def test_an_error_of_the_server_is_printed_but_not_sent(shared, capfd):
    status, found = asked(shared, '"fail"')
    assert (status, "a bug" in found["error"]) == (500, False)
    assert "RuntimeError: a bug" in capfd.readouterr().err
    assert asked(shared, "1")[0] == 200


def test_a_browser_that_goes_away_is_no_error(capfd):
    reset = struct.pack("ii", 1, 0)  # close at once, whatever was not read
    with served("x" * 10**7) as own:
        with socket.create_connection((server.HOST, own.server_port), timeout=10) as browser:
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            host = f"127.0.0.1:{own.server_port}"
            browser.sendall(f"GET /{own.token}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            browser.recv(100)
        assert request(own)[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", ["other", "ask", "../", "?x=1/ask"])
def test_there_is_nothing_else_to_get(shared, path):
    status, _, text = request(shared, "GET", path)
    assert (status, "error" in text) == ((200, False) if path == "?x=1/ask" else (404, True))


@pytest.mark.parametrize("path", ["/", "/wrong/", "/{token}", "/{token}x/", "/é/"])
def test_without_the_token_there_is_no_page(shared, path):
    path = path.format(token=shared.token)
    with socket.create_connection((server.HOST, shared.server_port), timeout=10) as own:
        own.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{shared.server_port}\r\n\r\n".encode())
        assert own.makefile("rb").readline() == b"HTTP/1.1 404 Not Found\r\n"


def test_each_server_has_a_token_of_its_own(shared):
    with PageServer("race", "", {}) as other:
        assert other.token != shared.token
        assert len(other.token) >= 22  # 128 bits


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # whose name points to 127.0.0.1
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_another_site_gets_no_answer(shared, headers):
    assert asked(shared, "1", **headers)[0] == 404
    assert request(shared, **headers)[0] == 404


def test_the_page_itself_gets_an_answer(shared):
    for host in ("127.0.0.1", "localhost"):
        own = f"{host}:{shared.server_port}"
        assert asked(shared, "1", Host=own, Origin=f"http://{own}")[0] == 200


def test_a_question_is_bounded(shared):
    longest = json.dumps("x" * (server.MAX_BODY - 2))
    assert asked(shared, longest)[0] == 200
    assert asked(shared, f"{longest} ")[0] == 413
    assert asked(shared, "1", Content_Length="9" * 5000)[0] == 413


@pytest.mark.parametrize("length", ["", "-1", "1.5", "²", "ten"])
def test_a_question_has_a_length(shared, length):
    with socket.create_connection((server.HOST, shared.server_port), timeout=10) as own:
        own.sendall(
            f"POST /{shared.token}/ask HTTP/1.1\r\nHost: 127.0.0.1:{shared.server_port}\r\n"
            f"Content-Length: {length}\r\n\r\n".encode("latin-1", "replace")
        )
        assert own.makefile("rb").readline() == b"HTTP/1.1 411 Length Required\r\n"


@pytest.mark.parametrize("body", ["", "{", "NaN", "[Infinity]", b"\xff", "[" * 30_000])
def test_a_question_that_is_not_json_is_an_error(shared, body):
    status, found = asked(shared, body, Content_Length=str(len(body)))
    assert (status, "is not JSON" in found["error"]) == (400, True)


def test_the_page_can_load_nothing_from_elsewhere(shared):
    policy = request(shared)[1]["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy


def test_answers_are_computed_one_at_a_time():
    inside, seen = [], []

    def slow(question):
        inside.append(question)
        seen.append(len(inside))
        inside.remove(question)

    with served(answers={"ask": slow}) as own:
        threads = [threading.Thread(target=asked, args=(own, str(k))) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [1] * 8


def test_a_port_that_is_taken_is_an_error_that_says_what_to_do(shared):
    port = shared.server_port
    with pytest.raises(OSError, match=rf"race: can't serve on port {port} .*another port, or none"):
        PageServer("race", "", {}, port)


@pytest.mark.parametrize(
    ("port", "error"), [(-1, ValueError), (65_536, ValueError), ("80", TypeError), (1.5, TypeError)]
)
def test_a_port_is_a_whole_number_up_to_65535(port, error):
    with pytest.raises(error, match="race: port must be"):
        PageServer("race", "", {}, port)


def test_it_ends_with_ctrl_c():
    code = (
        "from minidl._page.server import PageServer; PageServer('race', '', {}).run(browser=False)"
    )
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout.readline().startswith(b"race: http://127.0.0.1:")
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=30)
    assert (run.returncode, out, err) == (0, b"\n", b"")


def test_an_address_for_once_leads_to_the_page_once(shared):
    ticket = shared.url_for_once().split("/")[3]
    path = f"/{ticket}/"
    assert ticket != shared.token
    assert status_at(shared, path, Host="example.com:80") == (404, None)
    assert status_at(shared, path, method="POST") == (404, None)
    assert status_at(shared, path) == (303, shared.url)
    assert status_at(shared, path) == (404, None)
    assert status_at(shared, "//") == (404, None)


def status_at(own, path, method="GET", **headers):
    """(status, Location) of a request for a path."""
    connection = http.client.HTTPConnection(server.HOST, own.server_port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers["Location"]


def test_the_browser_is_opened_at_an_address_for_once(monkeypatch, capsys):
    opened = threading.Event()
    addresses = []
    monkeypatch.setattr(
        server.webbrowser, "open", lambda url: [addresses.append(url), opened.set()]
    )
    with PageServer("race", "", {}) as own:
        monkeypatch.setattr(own, "serve_forever", opened.wait)
        own.run()
    (address,) = addresses
    assert address.removeprefix(own.url.removesuffix(f"{own.token}/")).strip("/") in own.tickets
    assert own.url in capsys.readouterr().out
