"""`noren worker deploy` against a small REST API with RunPod's quirks: suffixed names, bound templates not listed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local.emulator import ROOT
from noren.cli.worker_deploy import DeployError, deploy, load

CONFIG = ROOT / "workers" / "runpod" / "endpoints.toml"
KEY = "rpa_test_key"


class Rest:
    """What is stored, and every call that was made."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[str, dict[str, Any]]] = {"templates": {}, "endpoints": {}}
        self.calls: list[tuple[str, str, Any]] = []
        self.refuse = 0
        rest = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                status, answer = rest.answer(self.command, self.path, self.headers.get("authorization", ""), body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = _serve

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, method: str, path: str, authorization: str, body: Any) -> tuple[int, Any]:
        self.calls.append((method, path, body))
        if authorization != f"Bearer {KEY}":
            return 401, {"error": f"bad key {authorization}"}
        if self.refuse:
            return self.refuse, {"error": "no such GPU"}
        kind, _, id = path.removeprefix("/v1/").partition("?")[0].partition("/")
        table = self.stored[kind]
        match method:
            case "GET":
                hidden = kind == "templates" and "includeEndpointBoundTemplates=true" not in path
                return 200, [] if hidden else list(table.values())
            case "POST":
                id = f"{kind}-{len(table)}"
                table[id] = {"id": id, **body}
            case "PATCH":
                table[id] |= body
        if table[id].pop("flashboot", False):
            table[id]["name"] = table[id]["name"].removesuffix(" -fb") + " -fb"
        return 200, table[id]

    def changes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.calls if method != "GET"]


@pytest.fixture
def rest() -> Iterator[Rest]:
    made = Rest()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def run(rest: Rest, *, image: str = "registry/noren-worker:1", dry_run: bool = False, key: str = KEY) -> list[str]:
    done = deploy(key, load(CONFIG), stage="prod", image=image, base_url=rest.url, dry_run=dry_run)
    return [f"{each.name} {each.endpoint_id}: {each.template} {each.endpoint}" for each in done]


def test_it_creates_what_the_configuration_says(rest: Rest) -> None:
    assert run(rest) == [
        "noren-prod-phi-3-mini endpoints-0: created created",
        "noren-prod-mistral-7b endpoints-1: created created",
    ]
    template = rest.stored["templates"]["templates-0"]
    assert template["imageName"] == "registry/noren-worker:1"
    assert template["isServerless"] is True
    assert template["env"]["VLLM_MODEL"] == "microsoft/Phi-3-mini-4k-instruct"
    endpoint = rest.stored["endpoints"]["endpoints-1"]
    assert (endpoint["templateId"], endpoint["workersMin"], endpoint["workersMax"]) == ("templates-1", 0, 5)
    assert endpoint["name"] == "noren-prod-mistral-7b -fb"
    assert not any("key" in name.lower() for template in rest.stored["templates"].values() for name in template["env"])


def test_again_it_changes_nothing(rest: Rest) -> None:
    run(rest)
    rest.calls.clear()
    assert all(line.endswith("unchanged unchanged") for line in run(rest))
    assert rest.changes() == []


def test_it_sends_only_what_differs(rest: Rest) -> None:
    run(rest)
    rest.stored["endpoints"]["endpoints-0"]["workersMax"] = 99
    rest.calls.clear()
    assert run(rest, image="registry/noren-worker:2")[0].endswith("updated updated")
    assert rest.calls[2:4] == [
        ("PATCH", "/v1/templates/templates-0", {"imageName": "registry/noren-worker:2"}),
        ("PATCH", "/v1/endpoints/endpoints-0", {"workersMax": 3}),
    ]


def test_a_dry_run_only_looks(rest: Rest) -> None:
    assert run(rest, dry_run=True)[0] == "noren-prod-phi-3-mini : created created"
    assert rest.changes() == []
    run(rest)
    rest.calls.clear()
    assert run(rest, image="other", dry_run=True)[0].endswith("updated unchanged")
    assert rest.changes() == []


def test_refusals_are_told_without_the_key(rest: Rest) -> None:
    with pytest.raises(DeployError, match="401") as refused:
        run(rest, key="rpa_wrong")
    assert "rpa_wrong" not in str(refused.value)
    rest.refuse = 400
    with pytest.raises(DeployError, match="no such GPU"):
        run(rest)


def test_the_key_goes_nowhere_without_tls() -> None:
    with pytest.raises(DeployError, match="https"):
        deploy(KEY, load(CONFIG), stage="x", image="i", base_url="http://rest.runpod.io/v1")


@pytest.mark.parametrize("bad", ["", "[endpoints.x]\nmodel = 'm'\n", "[endpoints.x]\nmodle = 'm'\n"])
def test_a_faulty_configuration_is_refused(tmp_path: Any, bad: str) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(bad)
    with pytest.raises(ValueError, match="endpoints"):
        load(path)
