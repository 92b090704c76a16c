"""A small internet on 127.0.0.1: names with any addresses, and raw-socket servers that stand behind addresses."""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from noren.fetching.wire import Network

Script = Callable[[socket.socket, bytes], None]
"""What a server does with a connection, given the request."""

PUBLIC = "93.184.216.34"


class Net(Network):
    """`names` lists, for each resolution of a name, its addresses; the last entry stays. `asked` and `connected` tell
    what was tried."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.servers: dict[str, int] = {}
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.requests: list[bytes] = []
        self.listeners: list[socket.socket] = []

    @property
    def is_untouched(self) -> bool:
        return not self.asked and not self.connected

    def resolve(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.names.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        self.connected.append((address, port))
        if address not in self.servers:
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", self.servers[address]), timeout=seconds)

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=authority()[0].public_bytes(serialization.Encoding.PEM).decode())

    def serve(self, script: Script, *, name: str = "shop.example", address: str = PUBLIC, tls: str = "") -> None:
        """Have `name` at `address`, and a server there; `tls` is the name in its certificate."""
        self.names.setdefault(name, [[address]])
        self.servers[address] = self.listen(script, tls)

    def listen(self, script: Script, tls: str = "") -> int:
        """A server's port on 127.0.0.1."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(listener)
        context = server_tls(tls) if tls else None

        def work(plain: socket.socket) -> None:
            with suppress(OSError), plain:
                plain.settimeout(20)
                if context:
                    with context.wrap_socket(plain, server_side=True) as wrapped:
                        answer(wrapped)
                else:
                    answer(plain)

        def answer(sock: socket.socket) -> None:
            head = b""
            while b"\r\n\r\n" not in head and head[:1] != b"\x16":  # a TLS hello to a plain server
                piece = sock.recv(65536)
                if not piece:
                    return
                head += piece
            self.requests.append(head)
            # A server that closes with a part of the request unread resets the connection, and its answer is lost.
            fields, _, body = head.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: (\d+)", fields)
            missing = int(length[1]) - len(body) if length else 0
            while missing > 0 and (piece := sock.recv(missing)):
                head, missing = head + piece, missing - len(piece)
            script(sock, head)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=work, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(listener.getsockname()[1])

    def close(self) -> None:
        for each in self.listeners:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def says(body: bytes = b"hello", *, status: str = "200 OK", **headers: str) -> Script:
    """A script that answers and closes."""
    lines = {"content-length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return lambda sock, _: sock.sendall(head.encode() + b"\r\n" + body)


def leads(location: str, status: str = "302 Found") -> Script:
    """A redirect."""
    return says(b"", status=status, location=location)


@cache
def authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The one certificate authority that this internet trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _certificate("Test authority", key, None), key


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signing = authority()[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if issuer:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    else:
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        builder = builder.add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
    return builder.sign(signing, hashes.SHA256())


@cache
def server_tls(name: str) -> ssl.SSLContext:
    """What a server needs to be `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(name, key, authority()[0])
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        pkcs8, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file.write(key.private_bytes(serialization.Encoding.PEM, pkcs8, none))
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file.name)
    return context
