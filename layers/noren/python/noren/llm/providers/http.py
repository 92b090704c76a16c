"""Plain HTTP for providers: pooled connections whose waits a Watch can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noren.llm.providers import watch

if TYPE_CHECKING:
    import requests
    from urllib3 import HTTPConnectionPool, PoolManager


def new_pool(url: str) -> HTTPConnectionPool:
    """Pooled connections to the host of `url`, for calls that are answered whole; a third of a session's work."""
    import certifi
    from urllib3 import PoolManager

    manager = PoolManager(maxsize=64, retries=False, ca_certs=certifi.where())
    manager.pool_classes_by_scheme = _watched()
    return manager.connection_from_url(url)


def new_session() -> requests.Session:
    """A pooled session without retries of its own, for answers that come in pieces."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            manager: PoolManager = self.poolmanager
            manager.pool_classes_by_scheme = _watched()

    session = requests.Session()
    adapter = Adapter(pool_connections=4, pool_maxsize=64, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    # A no-op: without one, a ~/.netrc entry would replace our Authorization header.
    session.auth = lambda request: request
    return session


def _watched() -> dict[str, type[HTTPConnectionPool]]:
    """Pools by scheme whose connections report their sockets to the current Watch."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.response import HTTPResponse

    class WatchedHTTP(HTTPConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            watch.attach(self.sock)
            return super().getresponse()

    class WatchedHTTPS(HTTPSConnection):
        def getresponse(self) -> HTTPResponse:  # type: ignore[override]
            watch.attach(self.sock)
            return super().getresponse()

    class HTTPPool(HTTPConnectionPool):
        ConnectionCls = WatchedHTTP

    class HTTPSPool(HTTPSConnectionPool):
        ConnectionCls = WatchedHTTPS

    return {"http": HTTPPool, "https": HTTPSPool}
