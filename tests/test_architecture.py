"""The rules of the house (docs/design): who may import whom, who may touch storage, vendors and the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOREN = ROOT / "layers" / "noren" / "python" / "noren"
FUNCTIONS = ROOT / "functions"
STACKS = ROOT / "stacks"
VENDORS = {"openai", "anthropic", "stripe", "requests", "httpx", "httpx2", "runpod"}
MAX_LINES = 450
DOMAINS = {
    "chat": {"ledger", "llm", "knowledge", "sites", "tenants", "plans", "usage"},
    "tenants": {"plans", "ledger", "sites"},
    "ledger": {"usage", "plans", "tenants"},
    "usage": set(),
    "plans": {"tenants"},
    "llm": {"plans", "usage"},
    "sites": {"tenants", "plans", "fetching"},
    "insight": {"tenants", "ledger", "sites", "plans", "usage", "billing"},
    "billing": {"tenants", "plans", "ledger"},
    "fetching": set(),
    "knowledge": {"tenants", "sites", "plans", "ledger", "llm", "usage", "fetching"},
    "webhooks": {"insight", "fetching"},
}
"""What each domain package may import of its sisters."""


def sources(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module name, with its line; imports under TYPE_CHECKING count too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_noren_never_imports_functions_stacks_or_local() -> None:
    outside = {folder.name for folder in FUNCTIONS.iterdir() if folder.is_dir()} | {
        "functions",
        "stacks",
        "local",
        "config",
    }
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(NOREN)
        for name, line in imports(path)
        if name.split(".")[0] in outside and not (path.parent.name == "cli" or path.name == "openapi.py")
    ]
    assert not bad, "\n".join(bad)


def test_a_function_never_imports_another() -> None:
    names = {folder.name for folder in FUNCTIONS.iterdir() if folder.is_dir()}
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(FUNCTIONS)
        for name, line in imports(path)
        if name.split(".")[0] in names - {path.relative_to(FUNCTIONS).parts[0]}
    ]
    assert not bad, "\n".join(bad)


def test_stacks_import_neither_functions_nor_noren() -> None:
    forbidden = {folder.name for folder in FUNCTIONS.iterdir() if folder.is_dir()} | {"functions", "noren"}
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for path in [*sources(STACKS), ROOT / "app.py"]
        for name, line in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("domain", sorted(DOMAINS))
def test_domains_import_only_what_they_may(domain: str) -> None:
    packages = {folder.name for folder in NOREN.iterdir() if folder.is_dir() and (folder / "__init__.py").exists()}
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(NOREN / domain)
        for name, line in imports(path)
        if name.startswith("noren.")
        and (sister := name.split(".")[1]) in packages - {domain}
        and sister not in DOMAINS[domain]
    ]
    assert not bad, "\n".join(bad)


def test_every_domain_package_has_its_rule() -> None:
    infrastructure = {"edge", "cli", "runtime"}
    packages = {folder.name for folder in NOREN.iterdir() if folder.is_dir() and (folder / "__init__.py").exists()}
    assert packages - infrastructure == set(DOMAINS)


def test_domain_code_never_sees_http_or_lambda() -> None:
    transports = {"starlette", "uvicorn", "aiohttp", "noren.edge"}
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for path in sources(NOREN)
        if path.relative_to(NOREN).parts[0] not in ("edge", "cli")
        for name, line in imports(path)
        if name.split(".")[0] in transports or name.startswith("noren.edge")
        if path.name != "wiring.py"
    ]
    assert not bad, "\n".join(bad)


def test_only_tables_and_stores_touch_dynamodb() -> None:
    calls = re.compile(
        r"\b(put_item|get_item|update_item|delete_item|transact_write_items|batch_get_item|batch_write_item)\("
    )
    bad = [
        f"{relative(path)}:{number}"
        for root in (NOREN, FUNCTIONS)
        for path in sources(root)
        if path.name != "tables.py" and not path.name.endswith("store.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if calls.search(line)
    ]
    assert not bad, "\n".join(bad)


def test_no_scan_but_off_the_request_path() -> None:
    allowed = {"layers/noren/python/noren/ledger/store.py": 1}
    found: dict[str, int] = {}
    for root in (NOREN, FUNCTIONS):
        for path in sources(root):
            count = len(re.findall(r"\.scan\(|[\"']scan[\"']", path.read_text()))
            if count:
                found[relative(path)] = count
    assert found == allowed or found == {}, found


def test_only_providers_and_settled_places_call_vendors() -> None:
    allowed = re.compile(r"noren/(llm/providers/|billing/stripe|edge/jwks|edge/authenticate|cli/)")
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for root in (NOREN, FUNCTIONS)
        for path in sources(root)
        if not allowed.search(relative(path))
        for name, line in imports(path)
        if name.split(".")[0] in VENDORS
    ]
    assert not bad, "\n".join(bad)


def test_only_the_guarded_client_and_vendors_open_connections() -> None:
    """What a customer names is fetched by noren.fetching; other ways out lead to services that we chose ourselves."""
    ways_out = {"socket", "ssl", "http.client", "urllib.request", "urllib3", "aiohttp", "ftplib", "smtplib"}
    allowed = re.compile(r"noren/(fetching/|llm/providers/|edge/jwks|cli/)")
    bad = [
        f"{relative(path)}:{line} imports {name}"
        for root in (NOREN, FUNCTIONS)
        for path in sources(root)
        if not allowed.search(relative(path))
        for name, line in imports(path)
        if name in ways_out
    ]
    assert not bad, "\n".join(bad)


def test_only_settings_reads_the_environment() -> None:
    bad = [
        f"{relative(path)}:{number}"
        for root in (NOREN, FUNCTIONS)
        for path in sources(root)
        if path.name != "settings.py" and path.parent.name != "cli"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\bos\.(environ|getenv)\b", line)
    ]
    assert not bad, "\n".join(bad)


def test_keys_are_built_by_the_helper() -> None:
    """A partition key written by hand could forget the tenant."""
    by_hand = re.compile(r"f[\"'](TEN|USR|ACC|USE|SES|IDEM|RATE|KEY)#")
    bad = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in sources(NOREN)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if by_hand.search(line) and re.search(r"\bpk\b", line)
    ]
    assert not bad, "\n".join(bad)


def test_files_stay_small() -> None:
    roots = (NOREN, FUNCTIONS, STACKS, ROOT / "local", ROOT / "config")
    bad = [
        f"{relative(path)}: {count} lines"
        for root in roots
        for path in sources(root)
        if (count := len(path.read_text().splitlines())) > MAX_LINES
    ]
    assert not bad, "\n".join(bad)


def test_public_services_are_documented() -> None:
    bad = []
    for path in sources(NOREN):
        if path.name == "__init__.py" or "cli" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        if not ast.get_docstring(tree):
            bad.append(f"{relative(path)}: module")
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for item in node.body:
                    if (
                        isinstance(item, ast.FunctionDef)
                        and not item.name.startswith("_")
                        and path.name in ("service.py", "router.py", "money.py")
                        and not ast.get_docstring(item)
                    ):
                        bad.append(f"{relative(path)}:{item.lineno} {node.name}.{item.name}")
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                bad.append(f"{relative(path)}:{node.lineno} {node.name}")
    assert not bad, "\n".join(bad)
