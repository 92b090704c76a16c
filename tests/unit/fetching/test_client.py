"""The guarded client against a hostile internet: refused before a connection, or ended within its limits."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import brotli
import pytest

from noren.fetching.client import Fetcher, Limits
from noren.fetching.errors import FetchFailed
from tests.unit.fetching.net import PUBLIC, Net, Script, leads, says

URL = "http://shop.example/"
SMALL = Limits(seconds=30, header_bytes=4_000, raw_bytes=20_000, bytes=50_000, redirects=3)


def reason(call: Callable[[], Any]) -> str:
    with pytest.raises(FetchFailed) as failed:
        call()
    return failed.value.reason


# What is fetched


def test_a_page_is_fetched(net: Net) -> None:
    net.serve(says(b"<p>hi</p>", content_type="text/html", Set_Cookie="a=1"))
    got = Fetcher(network=net).get("http://Shop.example/a?b", headers={"If-None-Match": '"1"'})
    assert (got.status, got.body, got.url) == (200, b"<p>hi</p>", "http://shop.example/a?b")
    assert got.headers["content-type"] == "text/html"
    (sent,) = net.requests
    lines = sent.decode().lower().split("\r\n")
    assert lines[0] == "get /a?b http/1.1"
    assert {"host: shop.example", "accept-encoding: gzip, br", 'if-none-match: "1"', "connection: close"} <= set(lines)
    assert net.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("br", brotli.compress),
        ("deflate", zlib.compress),
        ("", bytes),
        ("identity", bytes),
    ],
)
def test_bodies_are_unpacked(net: Net, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    net.serve(says(pack(b"x" * 40_000), content_encoding=encoding))
    limits = Limits(raw_bytes=40_000, bytes=40_000)
    assert Fetcher(network=net).get(URL, limits=limits).body == b"x" * 40_000


def chunked(sock: socket.socket, _: bytes) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for piece in (b"4\r\nabcd\r\n", b"2;x=y\r\nef\r\n", b"0\r\nTrailer: x\r\n\r\n"):
        sock.sendall(piece)


def test_chunked_and_unmeasured_bodies_are_read(net: Net) -> None:
    net.serve(chunked)
    assert Fetcher(network=net).get(URL).body == b"abcdef"
    net.serve(says(b"until the end", content_length=""))
    assert Fetcher(network=net).get(URL).body == b"until the end"


def test_headers_sent_twice_are_joined(net: Net) -> None:
    def twice(sock: socket.socket, _: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n")

    net.serve(twice)
    assert Fetcher(network=net).get(URL).headers["x-a"] == "1, 2"


def test_a_redirect_that_is_not_to_be_followed_is_the_answer(net: Net) -> None:
    net.serve(leads("/next?a=é"))
    got = Fetcher(network=net).get(URL, follows=lambda url: "next" not in url)
    assert (got.url, got.status, got.body) == (URL, 302, b"")
    assert got.headers["location"].startswith("http://shop.example/next?a=%")
    assert len(net.requests) == 1


def test_tls_is_checked_for_the_name(net: Net) -> None:
    net.serve(says(b"safe"), tls="shop.example")
    assert Fetcher(network=net).get("https://shop.example/").body == b"safe"
    net.names["other.example"] = [[PUBLIC]]
    assert reason(lambda: Fetcher(network=net).get("https://other.example/")) == "tls_failed"
    assert reason(lambda: Fetcher(network=net).get(f"https://{PUBLIC}/")) == "tls_failed"
    net.serve(says(b"plain"), name="plain.example", address="8.8.8.8")
    assert reason(lambda: Fetcher(network=net).get("https://plain.example/")) in ("tls_failed", "unreachable")


def test_a_second_address_is_tried_when_the_first_is_dead(net: Net) -> None:
    net.serve(says(), address="8.8.8.8")
    net.names["shop.example"] = [["1.1.1.1", "8.8.8.8"]]
    assert Fetcher(network=net).get(URL).status == 200
    net.names["shop.example"] = [[f"1.1.1.{n}" for n in range(9)]]
    net.connected.clear()
    assert reason(lambda: Fetcher(network=net).get(URL)) == "unreachable"
    assert len(net.connected) == 3


# What is never connected to

LITERALS = {
    "loopback": "http://127.0.0.1/ http://127.8.9.1/ http://[::1]/",
    "private": "http://10.0.0.1/ http://172.16.0.1/ http://192.168.1.1/ http://[fd12:3456::1]/",
    "link-local": "http://169.254.1.1/ http://[fe80::1]/",
    "metadata": "http://169.254.169.254/ http://[fd00:ec2::254]/ http://168.63.129.16/ http://100.100.100.200/",
    "carrier": "http://100.64.0.1/",
    "multicast": "http://224.0.0.1/ http://[ff02::1]/",
    "unspecified": "http://0.0.0.0/ http://[::]/",
    "broadcast": "http://255.255.255.255/",
    "mapped": "http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[::ffff:8.8.8.8]/",
    "compatible": "http://[::127.0.0.1]/",
    "NAT64": "http://[64:ff9b::7f00:1]/ http://[64:ff9b:1::a00:1]/",
    "6to4": "http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/",
    "Teredo": "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "own names": "http://localhost/ http://metadata/ http://a.localhost/ http://metadata.google.internal/ http://nas.local/",
}


@pytest.mark.parametrize("what", LITERALS)
def test_addresses_and_names_of_our_own_are_blocked_before_dns(net: Net, what: str) -> None:
    for url in LITERALS[what].split():
        assert reason(partial(Fetcher(network=net).get, url)) == "blocked_address", url
    assert net.is_untouched


@pytest.mark.parametrize("port", [1, 22, 25, 81, 3306, 6379, 8000, 9200, 11211, 65535])
def test_odd_ports_are_blocked_before_dns(net: Net, port: int) -> None:
    assert reason(lambda: Fetcher(network=net).get(f"http://shop.example:{port}/")) == "blocked_port"
    assert net.is_untouched


ANSWERS = {
    "private": ["10.0.0.1"],
    "loopback": ["127.0.0.1"],
    "metadata": ["169.254.169.254"],
    "six": ["::1"],
    "mapped": ["::ffff:10.0.0.1"],
    "with a zone": ["fe80::1%eth0"],
    "mixed, the good one first": [PUBLIC, "10.0.0.1"],
    "mixed, the good one last": ["10.0.0.1", PUBLIC],
    "mixed with six": [PUBLIC, "fd00:ec2::254"],
    "beyond those that are tried": [PUBLIC, "1.1.1.1", "8.8.8.8", "9.9.9.9", "192.168.0.1"],
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_name_with_an_address_of_ours_is_blocked_before_a_connection(net: Net, what: str) -> None:
    net.serve(says())
    net.names["shop.example"] = [ANSWERS[what]]
    assert reason(lambda: Fetcher(network=net).get(URL)) == "blocked_address"
    assert net.connected == []


def test_an_answer_that_changes_is_not_asked_for_again(net: Net) -> None:
    """DNS rebinding: whoever vets one answer and connects by another lands on this machine."""
    net.serve(says(b"vetted"))
    net.names["shop.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert Fetcher(network=net).get(URL).body == b"vetted"
    assert (net.asked, net.connected) == (["shop.example"], [(PUBLIC, 80)])


def test_an_answer_that_changes_between_two_hops_is_vetted_again(net: Net) -> None:
    net.serve(leads("/again"))
    net.names["shop.example"] = [[PUBLIC], ["127.0.0.1"]]
    assert reason(lambda: Fetcher(network=net).get(URL)) == "blocked_address"
    assert net.connected == [(PUBLIC, 80)]


# Redirects

AWAY = {
    "http://10.0.0.1/": "blocked_address",
    "//169.254.169.254/latest/meta-data/": "blocked_address",
    "http://[::ffff:127.0.0.1]/": "blocked_address",
    "http://inner.example/": "blocked_address",
    "http://mixed.example/": "blocked_address",
    "http://localhost/": "blocked_address",
    "http://2130706433/": "invalid_url",
    "http://0x7f.1/": "invalid_url",
    "http://user@shop.example/": "invalid_url",
    "http://shop.example:25/": "blocked_port",
    "file:///etc/passwd": "blocked_scheme",
    "ftp://shop.example/": "blocked_scheme",
    "http://nowhere.example/": "unreachable",
}


@pytest.mark.parametrize("hop", [0, 1, 2])
@pytest.mark.parametrize("away", AWAY)
def test_each_hop_is_vetted(net: Net, hop: int, away: str) -> None:
    net.names |= {"inner.example": [["192.168.0.1"]], "mixed.example": [[PUBLIC, "127.0.0.1"]]}

    def next_hop(sock: socket.socket, head: bytes) -> None:
        number = int(head.split(b" ")[1].strip(b"/") or 0)
        leads(away if number == hop else f"/{number + 1}")(sock, head)

    net.serve(next_hop)
    assert reason(lambda: Fetcher(network=net).get(URL, limits=SMALL)) == AWAY[away]
    assert len(net.requests) == hop + 1
    assert {address for address, _ in net.connected} == {PUBLIC}


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 For Good"])
def test_redirects_are_followed(net: Net, status: str) -> None:
    net.serve(leads("https://other.example/x", status))
    net.serve(says(b"there"), name="other.example", address="8.8.8.8", tls="other.example")
    got = Fetcher(network=net).get(URL)
    assert (got.url, got.body) == ("https://other.example/x", b"there")


def test_redirects_end_somewhere(net: Net) -> None:
    net.serve(leads("/"))
    assert reason(lambda: Fetcher(network=net).get(URL, limits=SMALL)) == "too_many_redirects"
    assert len(net.requests) == SMALL.redirects + 1


def test_no_redirect_leads_out_of_tls(net: Net) -> None:
    net.serve(leads("http://shop.example/"), tls="shop.example")
    assert reason(lambda: Fetcher(network=net).get("https://shop.example/")) == "blocked_redirect"
    assert len(net.connected) == 1


@pytest.mark.parametrize("away", ["http://other.example/", "http://shop.example:8080/", "https://shop.example/"])
def test_headers_of_the_caller_stay_with_the_origin(net: Net, away: str) -> None:
    """Another host, port or scheme doesn't get them, nor does the first one when it is led back to."""
    net.serve(leads(away))
    net.names["other.example"] = [["8.8.8.8"]]
    if away.startswith("https"):
        net.names["shop.example"] = [[PUBLIC], ["9.9.9.9"]]
        net.servers["9.9.9.9"] = net.listen(says(), "shop.example")
    elif "8080" in away:
        net.names["shop.example"] = [[PUBLIC], ["9.9.9.9"]]
        net.servers["9.9.9.9"] = net.listen(leads("http://other.example/"))
    net.servers["8.8.8.8"] = net.listen(says())
    Fetcher(network=net).get(URL, headers={"authorization": "Bearer s3cret"})
    first, *others = net.requests
    assert b"s3cret" in first
    assert others
    assert not any(b"s3cret" in each for each in others)


def test_headers_go_along_on_the_same_origin(net: Net) -> None:
    net.serve(lambda sock, head: (says() if b"GET /2" in head else leads("/2"))(sock, head))
    Fetcher(network=net).get(URL, headers={"if-none-match": "e"})
    assert [b"if-none-match: e" in each for each in net.requests] == [True, True]


# Limits of size


def endless(piece: bytes, head: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Script:
    """Sends until the other side has had enough. It may have to wait for that: the socket's buffers hold some."""

    def script(sock: socket.socket, _: bytes) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(piece)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b"\0" * 50_000_000, 9)
TOO_MUCH: dict[str, Script] = {
    "an endless body": endless(b"x" * 10_000),
    "endless chunks": endless(b"1\r\nx\r\n" * 1_000, HEAD + b"transfer-encoding: chunked\r\n\r\n"),
    "an endless trailer": endless(b"a: b\r\n" * 1_000, HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n"),
    "endless headers": endless(b"a: b\r\n", HEAD),
    "one endless header": endless(b"x" * 1_000, HEAD + b"a: "),
    "an endless status line": endless(b"x" * 1_000, b"HTTP/1.1 200 "),
    "endless interim answers": endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, b""),
    "a long body that says so": says(b"", content_length="20001"),
    "a body just too long": says(b"x" * 20_001, content_length=""),
    "a bomb of brotli": says(brotli.compress(b"\0" * 50_000_000), content_encoding="br"),
    "a bomb": says(BOMB[:19_000], content_encoding="gzip"),
    "an endless bomb": endless(BOMB, HEAD + b"content-encoding: gzip\r\n\r\n"),
    "a deflate bomb": says(zlib.compress(b"\0" * 10_000_000)[:15_000], content_encoding="deflate"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_much_is_refused_in_little_memory(net: Net, what: str) -> None:
    net.serve(TOO_MUCH[what])
    fetcher = Fetcher(network=net)
    tracemalloc.start()
    try:
        refused = reason(lambda: fetcher.get(URL, limits=SMALL))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused == ("bad_response" if what == "endless headers" else "too_large")  # a hundred are enough for anybody
    assert peak < 2_000_000


BROKEN: dict[str, Script] = {
    "nothing": lambda sock, _: None,
    "no HTTP": lambda sock, _: sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP 0.9": lambda sock, _: sock.sendall(b"hello"),
    "a status that is none": lambda sock, _: sock.sendall(b"HTTP/1.1 abc\r\n\r\n"),
    "a length that is not kept": says(b"short", content_length="100"),
    "a chunk that is not kept": lambda sock, _: sock.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\nx"),
    "a chunk of no size": lambda sock, _: sock.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nx"),
    "no gzip": says(b"plain", content_encoding="gzip"),
    "no brotli": says(b"plain", content_encoding="br"),
    "half of a brotli": says(brotli.compress(b"x" * 100)[:-3], content_encoding="br"),
    "half of a gzip": says(gzip.compress(b"x" * 100)[:-9], content_encoding="gzip"),
    "two encodings": says(b"x", content_encoding="gzip, gzip"),
    "an encoding that nobody asked for": says(b"x", content_encoding="br"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_proper_answer_is_refused(net: Net, what: str) -> None:
    net.serve(BROKEN[what])
    assert reason(lambda: Fetcher(network=net).get(URL, limits=SMALL)) == "bad_response"


# Limits of time: a clock that each byte moves on


class Slow:
    """A clock that only moves when the server has sent something, and a script that sends little by little."""

    def __init__(self, head: bytes, drip: bytes) -> None:
        self.now, self.sent = 0.0, 0
        self._head, self._drip = head, drip
        self._turn = threading.Semaphore(0)

    def clock(self) -> float:
        self._turn.release()  # the client looks at its watch before each read
        return self.now

    def script(self, sock: socket.socket, _: bytes) -> None:
        sock.sendall(self._head)
        while self._turn.acquire(timeout=20):
            self.now += 1
            self.sent += 1
            sock.sendall(self._drip)


SLOW = {
    "a body": (HEAD + b"content-length: 1000\r\n\r\n", b"x"),
    "headers": (HEAD, b"a"),
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("what", SLOW)
def test_drops_don_t_move_the_deadline(net: Net, what: str) -> None:
    slow = Slow(*SLOW[what])
    net.serve(slow.script)
    limits = Limits(seconds=10, header_bytes=4_000)
    assert reason(lambda: Fetcher(network=net, clock=slow.clock).get(URL, limits=limits)) == "timed_out"
    assert 9 <= slow.sent < 100


def silent(sock: socket.socket, _: bytes) -> None:
    sock.recv(1)  # until the other side gives up


SHORT = Limits(seconds=0.2)


def test_silence_is_waited_for_until_the_deadline(net: Net) -> None:
    net.serve(silent)
    assert reason(lambda: Fetcher(network=net).get(URL, limits=SHORT)) == "timed_out"


def test_so_is_a_handshake(net: Net) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    net.listeners.append(listener)
    net.names["shop.example"] = [[PUBLIC]]
    net.servers[PUBLIC] = listener.getsockname()[1]
    assert reason(lambda: Fetcher(network=net).get("https://shop.example/", limits=SHORT)) == "timed_out"


def test_so_is_a_resolver(net: Net) -> None:
    over = threading.Event()

    class Stuck(Net):
        def resolve(self, host: str, port: int) -> list[str]:
            over.wait(20)
            return []

    assert reason(lambda: Fetcher(network=Stuck()).get(URL, limits=SHORT)) == "timed_out"
    over.set()


def test_redirects_share_one_deadline(net: Net) -> None:
    now = [0.0]

    def late(sock: socket.socket, head: bytes) -> None:
        now[0] += 4
        leads("/")(sock, head)

    net.serve(late)
    fetcher = Fetcher(network=net, clock=lambda: now[0])
    assert reason(lambda: fetcher.get(URL, limits=Limits(seconds=10, redirects=9))) == "timed_out"
    assert len(net.requests) == 3


# Posts


def test_a_post_goes_out_as_it_is(net: Net) -> None:
    got: list[bytes] = []

    def take(sock: socket.socket, request: bytes) -> None:
        got.append(request.partition(b"\r\n\r\n")[2])
        says(b"ignored", status="201 Created")(sock, request)

    net.serve(take, tls="shop.example")
    status = Fetcher(network=net).post("https://shop.example/hook", b'{"a": 1}', headers={"webhook-id": "evt_1"})
    assert (status, got) == (201, [b'{"a": 1}'])


def test_a_post_follows_nothing_and_reads_nothing(net: Net) -> None:
    net.serve(leads("http://10.0.0.1/"), tls="shop.example")
    assert Fetcher(network=net).post("https://shop.example/", b"{}", headers={}) == 302
    net.serve(endless(b"x" * 1_000), tls="shop.example")
    assert Fetcher(network=net).post("https://shop.example/", b"{}", headers={}, limits=SMALL) == 200
    assert len(net.connected) == 2


def test_posts_are_for_tls_alone(net: Net) -> None:
    fetcher = Fetcher(network=net)
    assert reason(lambda: fetcher.post(URL, b"{}", headers={})) == "blocked_scheme"
    assert reason(lambda: fetcher.check_https(URL)) == "blocked_scheme"
    assert net.is_untouched


def test_a_check_asks_but_does_not_connect(net: Net) -> None:
    net.names |= {"shop.example": [[PUBLIC]], "inner.example": [["10.0.0.1"]]}
    fetcher = Fetcher(network=net)
    fetcher.check_https("https://shop.example/hook")
    assert reason(lambda: fetcher.check_https("https://inner.example/")) == "blocked_address"
    assert reason(lambda: fetcher.check_https("https://nowhere.example/")) == "unreachable"
    assert reason(lambda: fetcher.check_https("https://127.0.0.1/")) == "blocked_address"
    assert reason(lambda: fetcher.check_https("https://shop.example:22/")) == "blocked_port"
    assert net.connected == []


@pytest.mark.parametrize("header", [{"a": "b\r\nc: d"}, {"a\r\nb": "c"}])
def test_no_header_can_be_smuggled_in(net: Net, header: dict[str, str]) -> None:
    net.serve(says())
    with pytest.raises(ValueError):
        Fetcher(network=net).get(URL, headers=header)
    assert net.requests == []


# This machine, where a run allows it


def test_what_is_allowed_of_this_machine_is_that_alone(net: Net) -> None:
    net.names["localhost"] = [["127.0.0.1"]]
    net.servers["127.0.0.1"] = net.listen(says(b"local"))
    fetcher = Fetcher(network=net, allow=frozenset({("localhost", 8086), ("127.0.0.1", 8086)}))
    assert fetcher.get("http://localhost:8086/").body == b"local"
    assert fetcher.post("http://127.0.0.1:8086/hook", b"{}", headers={}) == 200
    assert reason(lambda: fetcher.get("http://localhost:8087/")) == "blocked_port"
    assert reason(lambda: fetcher.get("http://127.0.0.1:8080/")) == "blocked_address"
    net.names["localhost"] = [["10.0.0.1"]]
    assert reason(lambda: fetcher.get("http://localhost:8086/")) == "blocked_address"
    assert reason(lambda: Fetcher(network=net).get("http://localhost:8080/")) == "blocked_address"


# What is told


def test_a_blocked_address_looks_like_one_where_nobody_answers(net: Net) -> None:
    net.names |= {"inner.example": [["10.0.0.1"]], "dead.example": [["8.8.8.8"]]}
    told = []
    for url in ("http://inner.example/", "http://dead.example/", "http://nowhere.example/", "http://10.0.0.1/"):
        with pytest.raises(FetchFailed) as failed:
            Fetcher(network=net).get(url)
        told.append((failed.value.code, failed.value.detail, failed.value.extra))
    assert len(set(map(str, told))) == 1
    assert told[0][0] == "unreachable"
