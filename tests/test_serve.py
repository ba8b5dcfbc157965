"""`python -m gatgnn_jax.serve`: what it reads and what it refuses, and the command."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_prep.errors import UserError
from gatgnn_jax.jobs.serve import check_host, open_server
from gatgnn_jax.serve import main
from gatgnn_jax.serving import server as serving
from gatgnn_jax.serving.answers import Models
from gatgnn_jax.serving.examples import EXAMPLES
from gatgnn_jax.serving.server import Handler
from tests.commands import error_of, untrained_run
from tests.crystals import NACL


def cell_of(atoms: int) -> str:
    """A POSCAR of so many atoms in a row."""
    rows = "".join(f"{atom / atoms} 0 0\n" for atom in range(atoms))
    return f"row\n1\n{3 * atoms} 0 0\n0 3 0\n0 0 3\nCu\n{atoms}\nDirect\n{rows}"


@pytest.fixture(scope="module")
def server():
    """It reads crystals, and has no models to ask."""
    with open_server(Models({}), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(server, method="POST", path="/predict?name=x.cif", body=b"", **headers):
    """Status and what was said, of a request as no browser would send it."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    named = {name.replace("_", "-").title(): own for name, own in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, json.loads(text) if text.startswith("{") else text


def test_what_is_no_crystal_gets_a_reason(server):
    for body, reason in [
        (b"not a crystal", "no CIF, no POSCAR"),
        (b"", "empty"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"a": 1}', "no structure"),
        (json.dumps([{}] * 21).encode(), "21 crystals are more than the 20"),
        (EXAMPLES["Silicon"].replace("\n2\n", "\n501\n").encode(), "cut off"),
        (cell_of(501).encode(), "501 atoms are more than the 500"),
    ]:
        status, said = request(server, body=body)
        reasons = [own for _, own in said.get("skipped", [])] or [said["error"]]
        assert status == (422 if "error" in said else 200)
        assert len(reasons) == 1
        assert reason in reasons[0]


def test_a_hundred_megabytes_are_refused_unread(server):
    status, said = request(server, body=b"x" * 100_000_000)
    assert (status, said) == (413, {"error": "the file is larger than 10 MB: is it a structure?"})
    assert request(server, "GET", "/")[0] == 200


def test_other_pages_cannot_ask(server):
    """Nor through a name of theirs that stands for this machine."""
    port = server.server_address[1]
    good = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
    for headers, status in [
        (good, 422),  # an empty file
        (good | {"origin": "https://example.org"}, 403),
        (good | {"origin": "null"}, 403),
        (good | {"host": f"example.org:{port}"}, 403),
        ({"host": f"127.0.0.1.example.org:{port}"}, 403),
        ({"host": ""}, 403),
        ({"host": "["}, 400),
    ]:
        assert request(server, **headers)[0] == status
    assert request(server, "GET", "/", host=f"example.org:{port}")[0] == 403


def test_odd_requests(server):
    for arguments, status in [
        (("GET", "/../serve.py"), 404),
        (("GET", "/page.js"), 200),
        (("POST", "/"), 404),
        (("POST", "/predict?model=none"), 422),
        (("POST", "/predict?" + "model=x&" * 101), 400),
        (("PUT", "/"), 501),
        (("GET", "x://["), 400),
        (("POST", "x://["), 400),
    ]:
        assert request(server, *arguments)[0] == status
    assert request(server, body=NACL.encode(), content_length="-1")[0] == 411
    assert request(server, body=iter([NACL.encode()]), transfer_encoding="chunked")[0] == 411


def test_a_fault_is_told_and_the_server_goes_on(server, monkeypatch):
    for found, reason in [
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda *_: {"x": 1e999}, "JSON"),
    ]:
        monkeypatch.setattr(server, "answer", found)
        status, said = request(server, body=b"x")
        assert status == 500
        assert reason in said["error"]
    assert request(server, "GET", "/")[0] == 200


def test_a_slow_sender_is_not_waited_for(server, monkeypatch, capfd):
    monkeypatch.setattr(Handler, "timeout", 0.2)
    with socket.create_connection(server.server_address, timeout=60) as connection:
        head = "POST /predict HTTP/1.0", "Host: localhost", "Content-Length: 9", "", "x"
        connection.sendall("\r\n".join(head).encode())
        said = connection.makefile("rb").read()
    assert b" 408 " in said.splitlines()[0]
    assert b"did not come whole" in said
    assert request(server, "GET", "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_sender_drop_by_drop_is_cut_off(server, monkeypatch):
    """Who sends a byte now and then is no slower than `PATIENCE`, and never ends."""
    monkeypatch.setattr(serving, "LONGEST", 0.3)
    connection = socket.create_connection(server.server_address, timeout=60)
    with connection, pytest.raises(OSError):
        while True:
            connection.sendall(b"GET")
            time.sleep(0.05)
    assert request(server, "GET", "/")[0] == 200


def test_no_more_connections_than_there_is_room_for(server, monkeypatch):
    monkeypatch.setattr(serving, "MAX_THREADS", 0)
    with pytest.raises(OSError):
        request(server, "GET", "/")
    monkeypatch.undo()
    assert request(server, "GET", "/")[0] == 200


def test_nothing_of_a_page_comes_from_elsewhere(server):
    connection = http.client.HTTPConnection(*server.server_address)
    connection.request("GET", "/")
    response = connection.getresponse()
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = response.read().decode()
    assert "<style" not in text
    assert " on" + "click" not in text


# ---- the command -------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(tmp_path):
    run = untrained_run(tmp_path / "run")
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "import sys; from gatgnn_jax.serve import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(run), "--port", "0", "--quiet"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        killer = threading.Timer(120, process.kill)  # rather than wait without end
        killer.start()
        port = int(process.stdout.readline().decode().split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/predict?name=a", EXAMPLES["Cementite"].encode())
        said = json.load(connection.getresponse())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        killer.cancel()
    assert said["crystals"][0]["formula"] == "Fe3C"
    assert [own["model"] for own in said["crystals"][0]["values"]] == ["run"]
    assert process.returncode == 0
    assert errors == b""


def test_others_are_let_in_only_when_asked(server, capsys):
    taken = server.server_address[1]
    for arguments, words in [
        (["--host", "0.0.0.0"], "add --allow-network"),
        (["--host", "example.org"], "add --allow-network"),
        (["nowhere"], "is no run"),
    ]:
        assert words in error_of(main, arguments, capsys)
    with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1, port {taken}"):
        open_server(Models({}), "127.0.0.1", taken)
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        check_host(host, allow_network=False)
    check_host("0.0.0.0", allow_network=True)
