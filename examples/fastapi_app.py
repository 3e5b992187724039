"""FastAPI: what is logged during a request carries its id, and a server that stops loses nothing.

uvicorn ends by the signal that stopped it, so no exit hook of Python's runs. What is still pending
must leave in the lifespan, by ``aflush``, which does not block the event loop.

Needs ``fastapi``. The requests below are made in this process; a server would run ``app``.
"""

import asyncio
import json
import logging
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import httpx
from fastapi import FastAPI, HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import kinesink
from kinesink.testing import FakeKinesis

DUMMIES = {
    "AWS_ACCESS_KEY_ID": "dummy",
    "AWS_SECRET_ACCESS_KEY": "dummy",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "NO_PROXY": "127.0.0.1",
}

logger = logging.getLogger("shop")
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestIds:
    """ASGI middleware: each request has an id, its client's or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind the id for whatever handles this request, plain functions in threads as well."""
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"x-request-id")
            request_id.set(given.decode("latin-1") if given else uuid.uuid4().hex)
        await self.app(scope, receive, send)


def add_request_id(record: logging.LogRecord) -> bool:
    """Let a record say which request it belongs to; a filter, and everything passes."""
    current = request_id.get()
    if current is not None:
        record.__dict__["request_id"] = current
    return True


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Ship what the application logs, and deliver all of it before the server is gone."""
    # On AWS: as it is. Here the endpoint comes from KINESINK_ENDPOINT_URL.
    handler = kinesink.KinesisHandler("app-logs")
    handler.addFilter(add_request_id)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.info("ready")
    yield
    logger.info("stopping")
    delivered = await handler.aflush()
    print(f"everything delivered: {delivered}; {handler.statistics()}")


app = FastAPI(lifespan=lifespan)
app.add_middleware(RequestIds)


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    """Return an order, or say that there is none."""
    logger.info("order %d asked for", number, extra={"order": number})
    if number > 100:
        logger.warning("no order %d", number)
        raise HTTPException(404)
    return {"order": number}


@app.get("/report")
def report() -> str:
    """Take long; FastAPI runs a plain function in a thread, and the id is there as well."""
    logger.info("report written")
    return "done"


async def use() -> None:
    """Run the lifespan as a server would, and make requests."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answers = await asyncio.gather(
                client.get("/orders/17", headers={"X-Request-ID": "r-1"}),
                client.get("/orders/404", headers={"X-Request-ID": "r-2"}),
                client.get("/report", headers={"X-Request-ID": "r-3"}),
            )
    assert [answer.status_code for answer in answers] == [200, 404, 200]


fake = FakeKinesis()
fake.create_stream("app-logs", shards=2)
with fake.serve() as server:
    # On AWS: without these two lines.
    os.environ.update(DUMMIES)
    os.environ["KINESINK_ENDPOINT_URL"] = server.endpoint_url
    asyncio.run(use())
    # Nothing else is waited for: the lifespan has seen to it that everything is there.
    events = [json.loads(record.data) for record in fake.user_records("app-logs")]

said = {
    (event["message"], event.get("attributes", {}).get("request_id")): event for event in events
}
for message, asked_by in said:
    print(f"{message} ({asked_by})")
assert set(said) == {
    ("ready", None),
    ("order 17 asked for", "r-1"),
    ("order 404 asked for", "r-2"),
    ("no order 404", "r-2"),
    ("report written", "r-3"),
    ("stopping", None),
}
assert said["order 17 asked for", "r-1"]["attributes"] == {"order": 17, "request_id": "r-1"}
