"""What a function's cold start costs: CPU seconds of its imports, beside a bare `import boto3` in the same run.

    python -m bench.coldstart [--runs 15] [--modules 12]

The layers are bundled as `stacks/bundling.py` makes them for this machine (bytecode with unchecked hashes), the
function's own folder as it is deployed. Each import runs in a fresh interpreter that sees nothing but the function, its
layers, and what Lambda's runtime brings. Configurations take turns, so that a busy machine is unfair to all alike.
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from pathlib import Path

import config
from bench.tables import print_table
from stacks import bundling

TARGET = 0.35
"""CPU seconds that importing the chat function may take."""
BROUGHT_BY_LAMBDA = ("boto3", "botocore", "s3transfer", "dateutil", "jmespath", "urllib3")

MEASURE = """
import sys, time
paths, statements = sys.argv[1].split(":"), sys.argv[2]
sys.path[:] = [*paths[:-1], *sys.path, paths[-1]]
began = time.process_time()
exec(statements)
print(time.process_time() - began)
"""
CASES = {
    "boto3 alone": ("", "import boto3"),
    "boto3 and a DynamoDB client": ("", "import boto3; boto3.client('dynamodb')"),
    "chat": ("chat", "import chat.main"),
    "chat under uvicorn": ("chat", "import uvicorn, chat.main; uvicorn.Config(chat.main.app).load()"),
    "platform_api": ("platform_api", "import platform_api.main"),
    "scheduler": ("scheduler", "import scheduler.main"),
}
ENVIRONMENT = {
    "STAGE": "prod",
    "AWS_REGION": "ap-northeast-1",
    "AWS_DEFAULT_REGION": "ap-northeast-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_EC2_METADATA_DISABLED": "true",
    "TENANTS_TABLE": "tenants",
    "QUOTAS_TABLE": "quotas",
    "CREDITS_TABLE": "credits",
    "USAGE_TABLE": "usage",
    "SITES_TABLE": "sites",
    "EVENTS_TABLE": "events",
    "RUNTIME_TABLE": "runtime",
    "KNOWLEDGE_TABLE": "knowledge",
    "KNOWLEDGE_BUCKET": "knowledge",
    "MAIL_QUEUE_URL": "https://sqs.ap-northeast-1.amazonaws.com/000000000000/mail",
    "SUMMARY_QUEUE_URL": "https://sqs.ap-northeast-1.amazonaws.com/000000000000/summary",
    "USER_POOL_ID": "ap-northeast-1_bench",
    "CLIENT_ID": "bench",
    "PROVIDER_SECRET_ARN": "arn:aws:secretsmanager:ap-northeast-1:000000000000:secret:provider",
    "SIGNING_SECRET_ARN": "arn:aws:secretsmanager:ap-northeast-1:000000000000:secret:signing",
    "CONSOLE_URL": "https://console.example",
    "CHAT_SECONDS": "120",
}


def bundle(into: Path) -> dict[str, list[Path]]:
    """Build the layers and functions; returns the search path of each function ("" is the runtime alone)."""
    stage = config.load("local")
    bundling.build_dependencies(stage, into / "deps")
    bundling.build_domain(stage, into / "domain")
    runtime = into / "runtime"
    runtime.mkdir()
    site = Path(sysconfig.get_path("purelib"))
    for name in BROUGHT_BY_LAMBDA:
        shutil.copytree(site / name, runtime / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
        if (site / name / "data").exists():
            (runtime / name / "data").symlink_to(site / name / "data")
    shutil.copy(site / "six.py", runtime)
    compileall.compile_dir(runtime, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    paths = {"": [runtime]}
    for name in {name for name, _ in CASES.values() if name}:
        shutil.copytree(
            bundling.ROOT / "functions" / name, into / name / name, ignore=shutil.ignore_patterns("__pycache__")
        )
        paths[name] = [into / name, into / "deps" / "python", into / "domain" / "python", runtime]
    return paths


def python(paths: list[Path], statements: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run statements in a fresh interpreter that sees these folders and the standard library alone."""
    command = [sys.executable, "-I", "-S", "-B", *options, "-c", MEASURE, ":".join(map(str, paths)), statements]
    return subprocess.run(command, env={"PATH": os.environ["PATH"]} | ENVIRONMENT, capture_output=True, text=True)


def measure(paths: list[Path], statements: str) -> float:
    """CPU seconds of the statements."""
    done = python(paths, statements)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def modules(paths: list[Path], statements: str) -> dict[str, tuple[float, float]]:
    """Wall time of each module's import, alone and with what it imports first, in ms: the best of five looks."""
    best: dict[str, tuple[float, float]] = {}
    for _ in range(5):
        for line in python(paths, statements, "-X", "importtime").stderr.splitlines():
            own, total, name = line.removeprefix("import time:").split("|")
            if own.strip().isdigit():
                a, b = best.get(name.strip(), (1e9, 1e9))
                best[name.strip()] = min(a, int(own) / 1000), min(b, int(total) / 1000)
    return best


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--modules", type=int, default=12)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = bundle(Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in CASES}
        for number in range(given.runs + 1):
            for name, (function, statements) in CASES.items():
                taken = measure(paths[function], statements)
                if number:  # the first round fills the disk's cache
                    seconds[name].append(taken)
        rows = [
            [name, f"{statistics.median(each):.3f}", f"{min(each):.3f}", f"{max(each):.3f}"]
            for name, each in seconds.items()
        ]
        print(f"CPU seconds of imports, {given.runs} fresh processes each, Python {sys.version.split()[0]}\n")
        print_table(["", "median", "least", "most"], rows)
        found = modules(paths["chat"], CASES["chat"][1])
    packages: defaultdict[str, float] = defaultdict(float)
    for name, (own, _) in found.items():
        packages[name.partition(".")[0]] += own
    most = sorted(packages.items(), key=lambda row: -row[1])[: given.modules]
    print("\nchat by package, ms of wall time\n")
    print_table(["package", "own"], [[name, f"{ms:.1f}"] for name, ms in most])
    print("\nchat, the modules that take longest, ms of wall time\n")
    worst = sorted(found.items(), key=lambda row: -row[1][0])[: given.modules]
    print_table(["module", "own", "with imports"], [[name, f"{own:.1f}", f"{all_:.1f}"] for name, (own, all_) in worst])
    chat = statistics.median(seconds["chat"])
    print(f"\nchat: {chat:.3f} s, target {TARGET} s: {'met' if chat <= TARGET else 'MISSED'}")
    return 0 if chat <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
