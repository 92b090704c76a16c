"""The chat function: `chat.main:app` under uvicorn, on AWS behind the Lambda Web Adapter."""

from __future__ import annotations

from chat.asgi import Application
from noren import wiring
from noren.edge import log
from noren.settings import Settings

settings = Settings.from_env()
log.configure(settings.stage)

app = Application(wiring.build(settings))
