"""Plain HTTP for providers: one pooled session each, whose waits a Watch can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noren.llm.providers import watch

if TYPE_CHECKING:
    import requests


def new_session() -> requests.Session:
    """A pooled session without retries of its own. Its connections report their sockets to the current Watch."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
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

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            manager: PoolManager = self.poolmanager
            manager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}

    session = requests.Session()
    adapter = Adapter(pool_connections=4, pool_maxsize=64, max_retries=0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    # A no-op: without one, a ~/.netrc entry would replace our Authorization header.
    session.auth = lambda request: request
    return session
