"""`make run`: the whole platform on this machine. Starts every part, deploys, seeds, prints where things are.

    python -m local.up [--detach | --stop] [--home DIR]

Foreground until Ctrl-C; `--detach` returns when it is ready, `--stop` ends that run. All that it keeps is in `.noren/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from local import cloud, demo_page, emulator, frontdoor, models, payments, seed

ROOT = emulator.ROOT
FIRST_PORT = 8080
PORTS = 8
"""A run takes this many ports: page, emulator, chat, models (llm, runpod), stripe, demo page, and the last one for a
subscriber of webhooks that a developer starts."""
REAL_SERVICES = {
    "OPENAI_API_KEY": ("openai_api_key", "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    "ANTHROPIC_API_KEY": ("anthropic_api_key", "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "RUNPOD_API_KEY": ("runpod_api_key", "RUNPOD_BASE_URL", "https://api.runpod.ai/v2"),
}
"""Keys in the shell that switch a real service on: the secret's field, the setting of its address, the address."""


def ports_from_environment() -> int:
    """The run's first port: NOREN_PORT, else the first block from 8080 on that is wholly free."""
    given = os.environ.get("NOREN_PORT", "")
    if given:
        if not given.isdigit() or not 1024 <= int(given) <= 65535 - PORTS:
            raise SystemExit(f"NOREN_PORT must be a port between 1024 and {65535 - PORTS}, not {given!r}.")
        if not _all_free(int(given)):
            raise SystemExit(
                f"The ports from {given} to {int(given) + PORTS - 1} are not all free; choose another NOREN_PORT."
            )
        return int(given)
    for first in range(FIRST_PORT, FIRST_PORT + 100 * PORTS, 10):
        if _all_free(first):
            return first
    raise SystemExit("No free ports from 8080 on; set NOREN_PORT.")


def _all_free(first: int) -> bool:
    for port in range(first, first + PORTS):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def model_services(stack: models.ModelStack) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Base URLs and provider keys: the stand-ins', or the real service's for each key that the shell has."""
    env, keys, real = dict(stack.env), dict(stack.secrets), []
    for variable, (field, setting, url) in REAL_SERVICES.items():
        if os.environ.get(variable):
            keys[field] = os.environ[variable]
            env[setting] = os.environ.get(setting, url)
            real.append(variable.removesuffix("_API_KEY").title())
    if os.environ.get("RUNPOD_API_KEY"):
        for setting in ("RUNPOD_PHI3_ENDPOINT", "RUNPOD_MISTRAL_ENDPOINT"):
            if not os.environ.get(setting):
                raise SystemExit(f"RUNPOD_API_KEY is set, so {setting} must name your endpoint too.")
            env[setting] = os.environ[setting]
    return env, keys, real


class Run:
    """One local run: its processes, in the order in which they were started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self.run_file = home / "run.json"
        self.pid_file = home / "up.pid"
        self._stack = contextlib.ExitStack()
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> dict[str, Any]:
        """Start everything; returns what `run.json` holds. Raises if a part does not come up."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.run_file.unlink(missing_ok=True)
        first = ports_from_environment()
        page, emulator_port, chat_port, models_port, stripe_port = first, first + 1, first + 2, first + 3, first + 5
        shop_port, hook_port = first + 6, first + 7
        # Hosts of this machine that the platform may call for its tenants; others are none of the internet's.
        allowed = [f"{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (shop_port, hook_port)]
        base, shop = f"http://localhost:{page}", f"http://localhost:{shop_port}"

        self._say("Starting the embedded cloud …")
        cloud_process = emulator.start(emulator_port, log=self.logs / "cloud.log", state=self.home / "state")
        self._stack.callback(emulator.stop, cloud_process)
        self._children["embedded cloud"] = cloud_process
        endpoint = f"http://127.0.0.1:{emulator_port}"

        self._say("Starting the model stand-ins and RunPod workers …")
        stack = models.start_stack(models_port, self.logs, pace_ms=int(os.environ.get("NOREN_PACE_MS", "15")))
        self._stack.callback(stack.stop)
        self._children |= stack.processes
        model_env, keys, real = model_services(stack)

        webhook_url = f"http://127.0.0.1:{page}/webhook/stripe"
        paying = payments.start(stripe_port, home=self.home, logs=self.logs, webhook_url=webhook_url)
        if paying.process:
            self._stack.callback(emulator.stop, paying.process)
            self._children["stripe"] = paying.process

        self._say("Deploying the CDK app into it (the first time takes about half a minute) …")
        outputs = cloud.deploy(
            endpoint,
            model_env
            | paying.env
            | {"CONSOLE_URL": base, "INFERENCE_URL": base, "MAIL_FROM": "noren@example.com"}
            | {"FETCH_ALLOW": ",".join(allowed)},
            work=self.home / "deploy",
        )

        self._say("Starting chat …")
        os.environ.update(emulator.aws_env(endpoint))
        seed.put_keys(outputs.provider_secret_arn, keys)
        seed.put_keys(outputs.payment_secret_arn, paying.secrets)
        self._start_chat(chat_port, outputs)

        front_config = self.home / "frontdoor.json"
        front_config.write_text(
            json.dumps(
                {
                    "platform": outputs.platform_url,
                    "inference": f"http://127.0.0.1:{chat_port}",
                    "emulator": endpoint,
                    "user_pool_id": outputs.user_pool_id,
                    "client_id": outputs.client_id,
                    "region": emulator.REGION,
                    "mailbox": True,
                }
            )
        )
        front = frontdoor.start(page, config=front_config, log=self.logs / "frontdoor.log")
        self._stack.callback(emulator.stop, front)
        self._children["front door"] = front

        self._say("Seeding demo tenants …")
        demo = seed.demo(base, outputs, self.home / "demo.json", shop)
        sites = {user["plan"]: user["site_id"] for user in demo.users}
        shopping = demo_page.start(shop_port, base=base, sites=sites, log=self.logs / "demo_page.log")
        self._stack.callback(emulator.stop, shopping)
        self._children["demo page"] = shopping

        run = {
            "platform_url": base,
            "inference_url": base,
            "console_url": base,
            "demo_page_url": f"{shop}/",
            "mailbox_url": f"{base}/mailbox",
            "webhook_url": f"http://localhost:{hook_port}/",
            "aws_endpoint_url": endpoint,
            "region": emulator.REGION,
            "user_pool_id": outputs.user_pool_id,
            "client_id": outputs.client_id,
            "token_url": f"{endpoint}/oauth2/token",
            "admin": demo.admin,
            "users": demo.users,
            "site": demo.site,
            "stripe": paying.run,
            "runpod": {"base_url": model_env["RUNPOD_BASE_URL"], "stand_in_url": stack.runpod_url},
            "llm": {"stand_in_url": stack.llm_url, "real": real},
            "logs": str(self.logs),
        }
        scratch = self.run_file.with_suffix(".tmp")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps(run, indent=2) + "\n")
        scratch.rename(self.run_file)
        return run

    def _start_chat(self, port: int, outputs: cloud.Outputs) -> None:
        """The chat app under uvicorn as the Web Adapter would run it, with the deployed function's own role."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "OPENAI_", "ANTHROPIC_", "STRIPE_")) and name != "RUNPOD_API_KEY"
        }
        env |= outputs.chat_environment()
        env |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "layers/noren/python"), str(ROOT / "functions")])}
        command = [sys.executable, "-m", "uvicorn", "chat.main:app", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5"]
        with (self.logs / "chat.log").open("ab") as log:
            chat = subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=emulator.die_with_parent)
        self._stack.callback(emulator.stop, chat)
        self._children["chat"] = chat
        wait_for(f"http://127.0.0.1:{port}/health", chat, self.logs / "chat.log")

    def watch(self) -> None:
        """Block until a signal asks to stop. Raises RuntimeError when a part died by itself."""
        stopping = threading.Event()

        def ask(_signal: int, _frame: FrameType | None) -> None:
            stopping.set()

        signal.signal(signal.SIGINT, ask)
        signal.signal(signal.SIGTERM, ask)
        while not stopping.wait(0.5):
            for name, process in self._children.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended by itself (exit {process.returncode}); logs: {self.logs}")

    def down(self) -> None:
        """Stop everything, the last started first; data is saved."""
        self.run_file.unlink(missing_ok=True)
        self._stack.close()

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Return when `url` answers. Raises RuntimeError, naming the log, if it does not in time."""
    import urllib.error
    import urllib.request

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    what = f"{url} did not answer in {seconds:.0f} s" if process.poll() is None else f"the process behind {url} ended"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise RuntimeError(f"{what}; its log: {log}\n{tail}")


def banner(run: dict[str, Any]) -> str:
    """What a person needs to know to begin."""
    lines = ["", f"  Noren is up:  {run['console_url']}", f"  A shop's page with the widget:  {run['demo_page_url']}"]
    lines += [f"  Mails:        {run['mailbox_url']}", ""]
    lines += [f"  {user['plan']:<11} {user['email']:<28} {user['password']}" for user in run["users"]]
    lines += [
        f"  {'admin':<11} {run['admin']['email']:<28} {run['admin']['password']}   (TOTP secret in run.json)",
        "",
    ]
    real = run["llm"]["real"]
    lines.append(
        f"  Models: {', '.join(real) + ' (real), the rest' if real else 'all'} by the stand-ins on this machine."
    )
    dashboard = run["stripe"]["dashboard_url"]
    lines.append(f"  Payments: {f'by a stand-in, {dashboard}' if dashboard else 'Stripe (real)'}")
    lines.append(f"  Everything a script needs: .noren/run.json   Logs: {run['logs']}")
    return "\n".join(lines)


def foreground(home: Path, *, detached: bool) -> int:
    """Run until told to stop."""
    run = Run(home)
    if _alive(run.pid_file):
        print("A run of this folder is up already (`make stop` ends it).", file=sys.stderr)
        return 1
    home.mkdir(parents=True, exist_ok=True)
    run.pid_file.write_text(str(os.getpid()))
    started = time.monotonic()
    # Stop cleanly, whatever happens while parts are still coming up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(banner(run.up()), flush=True)
        print(
            f"  Ready in {time.monotonic() - started:.0f} s." + ("" if detached else "  Ctrl-C stops it."), flush=True
        )
        run.watch()
    except KeyboardInterrupt:
        pass  # Ctrl-C while parts were coming up: stop like after it
    except Exception as error:
        if not isinstance(error, RuntimeError):
            traceback.print_exc()
        print(f"\n{error}\n`python -m noren.cli doctor` says what may be missing.", file=sys.stderr, flush=True)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("Stopping …", flush=True)
        run.down()
        run.pid_file.unlink(missing_ok=True)
    return 0


def detach(home: Path) -> int:
    """Start a run in the background and return when it is ready."""
    home.mkdir(parents=True, exist_ok=True)
    run_file, log = home / "run.json", home / "up.log"
    if _alive(home / "up.pid") and run_file.exists():
        print("It is up already.")
        return 0
    run_file.unlink(missing_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.up", "--home", str(home), "--detached"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=ROOT,
        )
    while process.poll() is None and not run_file.exists():
        time.sleep(0.2)
    if not run_file.exists():
        print(log.read_text()[-4000:], file=sys.stderr)
        return 1
    print(banner(json.loads(run_file.read_text())))
    return 0


def stop(home: Path) -> int:
    """End a run of this folder, gracefully, and wait until it is gone."""
    pid_file = home / "up.pid"
    pid = _alive(pid_file)
    if not pid:
        return 0
    os.kill(pid, signal.SIGTERM)
    for _ in range(600):
        if not _alive(pid_file):
            return 0
        time.sleep(0.1)
    print(f"The run (process {pid}) did not stop within a minute.", file=sys.stderr)
    return 1


def _alive(pid_file: Path) -> int:
    """The process that the file names if it lives and is ours, else 0."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline")
        return pid if not command.parent.parent.exists() or b"local.up" in command.read_bytes() else 0
    except (OSError, ValueError):
        return 0


def main() -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m local.up", description=__doc__)
    parser.add_argument(
        "--home", type=Path, default=emulator.HOME, help="where the run keeps its data (default .noren)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--detach", action="store_true", help="return when it is ready")
    how.add_argument("--stop", action="store_true", help="end a detached run")
    how.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    home = given.home.resolve()
    if given.stop:
        return stop(home)
    return detach(home) if given.detach else foreground(home, detached=given.detached)


if __name__ == "__main__":
    sys.exit(main())
