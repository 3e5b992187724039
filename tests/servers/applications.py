"""The applications that servers under test run, as the text of a module."""

from __future__ import annotations

LOGS = """
import atexit, logging.config, os
logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"kinesis": {"class": "kinesink.KinesisHandler", "stream_name": "app"}},
    "loggers": {"shop": {"handlers": ["kinesis"], "level": "INFO"}},
})
logger = logging.getLogger("shop")
"""

#: Logs each request, and one line where a process ends with its exit hooks.
WSGI = f"""{LOGS}
atexit.register(logger.info, "bye")

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/hang":
        import time
        time.sleep(60)
    logger.info(path)
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

print("imported", flush=True)
"""

#: The same, with one more line when the module is imported.
WSGI_LOADED = f"""{WSGI}
logger.info("loaded")
"""

_ASGI = f"""{LOGS}
import kinesink

async def serve(scope, receive, send):
    logger.info(scope["path"])
    body = b"%d" % os.getpid()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": body}})

async def live(receive, send):
    await receive()
    await send({{"type": "lifespan.startup.complete"}})
    print("started", flush=True)
    await receive()
    logger.info("bye")
"""
#: With a lifespan that delivers.
ASGI_WITH_LIFESPAN = f"""{_ASGI}
async def application(scope, receive, send):
    if scope["type"] != "lifespan":
        await serve(scope, receive, send)
        return
    async with kinesink.lifespan():
        await live(receive, send)
    await send({{"type": "lifespan.shutdown.complete"}})
"""
#: With one that does not.
ASGI = ASGI_WITH_LIFESPAN.replace("async with kinesink.lifespan():", "if True:")
ASGI_WITH_SIGNAL_HANDLERS = f"{ASGI}\nkinesink.install_signal_handlers()\n"

#: Tasks of celery, over files in the folder `broker`.
CELERY = f"""{LOGS}
import sys
import celery

app = celery.Celery("shop")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={{
        "data_folder_in": "broker", "data_folder_out": "broker", "control_folder": "control",
    }},
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)

@app.task
def order(number):
    logger.info("/order-%d", number)
    print(f"done {{number}} by {{os.getpid()}}", flush=True)

if "worker" in sys.argv:
    logger.info("loaded")
    atexit.register(logger.info, "bye")
"""
#: Sends some of them.
CELERY_CLIENT = """
import shop

for number in range(6):
    shop.order.delay(number)
"""
