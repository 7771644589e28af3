"""The receiver over real connections that fail in real ways: each is told apart, none tells the key."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from topology.errors import Misconfigured, ReceiverError, ReceiverUnavailable
from topology.receiver import Connection, Receiver
from topology.records import Record

KEY = "s3cr3t-key"
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
Serve = Callable[[socket.socket], object]


@contextmanager
def serving(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve every connection on a thread of its own; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    def handle(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) if context else connection as wrapped:
                serve(wrapped)
        except OSError:
            return

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def read_request(connection: socket.socket) -> bytes:
    """One request, whole; nothing when the connection is closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(headers.get(b"content-length", 0))
    while len(body) < length:
        body += connection.recv(65536)
    return head


def answering(*answers: bytes) -> tuple[Serve, list[bytes]]:
    """Answers requests of any connection in turn, the last answer for ever; and what was asked."""
    waiting, asked = list(answers), []

    def serve(connection: socket.socket) -> None:
        while head := read_request(connection):
            asked.append(head)
            connection.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return serve, asked


def receiver(port: int, scheme: str = "http", remaining: float = 900, **options: object) -> Receiver:
    connection = Connection(f"{scheme}://localhost:{port}", **options)  # type: ignore[arg-type]
    return Receiver(connection, KEY, "host", lambda: remaining, lambda _: None)


def failure(one: Receiver) -> ReceiverError:
    with pytest.raises(ReceiverError) as raised:
        one.post(Record("aws", "1", "s", start=True))
    assert KEY not in repr(raised.value)
    return raised.value


def test_one_connection_serves_many_posts() -> None:
    connections: list[socket.socket] = []
    serve, asked = answering(OK)

    def counted(connection: socket.socket) -> None:
        connections.append(connection)
        serve(connection)

    with serving(counted) as port:
        one = receiver(port)
        for _ in range(3):
            one.post(Record("aws", "1", "s", start=True))

    assert (len(connections), len(asked)) == (1, 3)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (lambda connection: connection.recv(10), "connection reset"),
        (lambda connection: connection.close(), "connection reset"),
        (lambda connection: (read_request(connection), connection.sendall(OK[:8])), "connection reset"),
        (lambda connection: (read_request(connection), connection.sendall(b"hello\r\n\r\n")), "connection reset"),
        (lambda _: time.sleep(30), "no answer in time"),
    ],
    ids=["half-read", "closed", "cut off", "no HTTP", "silent"],
)
def test_a_connection_that_breaks_is_tried_again(
    serve: Serve, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("topology.receiver.READ_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("topology.receiver.SHORTEST_POST_SECONDS", 0.1)
    with serving(serve) as port:
        error = failure(receiver(port))

    assert type(error) is ReceiverUnavailable
    assert words in str(error)
    assert KEY not in caplog.text


def test_a_receiver_that_recovers_is_not_noticed() -> None:
    attempts = []
    serve, asked = answering(OK)

    def unsteady(connection: socket.socket) -> None:
        attempts.append(1)
        if len(attempts) < 4:
            connection.recv(10)
        else:
            serve(connection)

    with serving(unsteady) as port:
        receiver(port).post(Record("aws", "1", "s", start=True))
    assert len(asked) == 1


def test_an_answer_in_drops_counts_by_its_first_line_and_does_not_hold_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topology.receiver.READ_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr("topology.receiver.SHORTEST_POST_SECONDS", 0.1)

    def drops(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            time.sleep(0.05)
            connection.sendall(b".")

    began = time.monotonic()
    with serving(drops) as port:
        receiver(port).post(Record("aws", "1", "s", start=True))
    assert time.monotonic() - began < 5


def test_what_nobody_listens_to_and_what_has_no_address_are_told_apart() -> None:
    with serving(lambda _: None) as port:
        pass
    assert "connection refused" in str(failure(receiver(port)))

    nowhere = Receiver(Connection("https://receiver.invalid"), KEY, "host", sleep=lambda _: None)
    assert "DNS: " in str(failure(nowhere))


# ------------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody signed, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    (folder / "certificate.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem"


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


def test_a_certificate_that_is_not_trusted_says_what_to_do(tls: ssl.SSLContext) -> None:
    with serving(answering(OK)[0], tls) as port:
        error = failure(receiver(port, "https"))

    assert type(error) is Misconfigured
    assert "not trusted: self" in str(error)
    assert "STACKSTATE_CA_BUNDLE" in str(error)


@pytest.mark.parametrize("form", ["path", "text", "text with blanks for line ends"])
def test_a_certificate_of_ones_own_is_trusted_when_it_is_given(
    tls: ssl.SSLContext, certificate: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    text = certificate.read_text()
    bundle = {"path": str(certificate), "text": text}.get(form, text.replace("\n", " "))
    serve, asked = answering(OK)

    with serving(serve, tls) as port:
        receiver(port, "https", ca_bundle=bundle).post(Record("aws", "1", "s", start=True))
    assert len(asked) == 1


def test_verification_is_off_only_where_it_is_asked_for(tls: ssl.SSLContext) -> None:
    serve, asked = answering(OK)

    with serving(serve, tls) as port:
        receiver(port, "https", verify=False).post(Record("aws", "1", "s", start=True))
    assert len(asked) == 1


def test_a_server_without_tls_is_told_from_one_whose_handshake_fails() -> None:
    with serving(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)) as port:
        error = failure(receiver(port, "https"))
    assert type(error) is Misconfigured
    assert "does not speak TLS" in str(error)

    with serving(lambda connection: connection.recv(10)) as port:
        error = failure(receiver(port, "https"))
    assert type(error) is ReceiverUnavailable


# ----------------------------------------------------------------------------------------------------------- proxies


def test_the_usual_variables_name_a_proxy_and_what_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    serve, asked = answering(OK)
    with serving(serve) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://localhost:{port}")
        Receiver(Connection("http://stackstate.invalid"), KEY, "host").post(Record("aws", "1", "s", start=True))
        monkeypatch.setenv("NO_PROXY", "localhost")
        receiver(port).post(Record("aws", "1", "s", start=True))

    assert asked[0].startswith(b"POST http://stackstate.invalid/stsAgent/intake/")
    assert asked[1].startswith(b"POST /stsAgent/intake/")


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    serve, _ = answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    with serving(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")
        error = failure(Receiver(Connection("https://stackstate.invalid"), KEY, "host", sleep=lambda _: None))

    assert type(error) is Misconfigured
    assert "proxy: " in str(error)
    assert "407" in str(error)
