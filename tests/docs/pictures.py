"""Draw what terminals show of kinesink, from its real output: `python tests/docs/pictures.py`.

The pictures are in docs/pictures/, as vectors and without anything to fetch.
"""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

import kinesink
from kinesink.testing import FakeKinesis

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
COLUMNS: Final = 120

#: As rich's own, but with fonts that readers have.
_SVG: Final = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown_by(
    *arguments: str, variables: Mapping[str, str] | None = None, terminal: bool = True
) -> str:
    """Return what a command of kinesink writes, to a terminal or to a pipe."""
    command = [sys.executable, "-m", "kinesink.cli", *arguments]
    environment = {
        **os.environ, **(variables or {}),
        "COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color",
    }  # fmt: skip
    if not terminal:
        return subprocess.run(  # noqa: S603 - our own words
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    reading, writing = pty.openpty()
    program = subprocess.Popen(  # noqa: S603 - as above
        command, env=environment, stdin=writing, stdout=writing, stderr=writing
    )
    os.close(writing)
    written = bytearray()
    # Where nobody holds the other end any more, Linux tells of it as an error.
    with suppress(OSError):
        while part := os.read(reading, 65536):
            written += part
    program.wait(60)
    os.close(reading)
    return written.decode().replace("\r\n", "\n")


def draw(name: str, title: str, said: str) -> None:
    """Draw what a terminal shows."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {title}", "bold"))
        console.print(Text.from_ansi(said.rstrip("\n")))
        drawn = console.export_svg(title="", code_format=_SVG, unique_id=f"kinesink-{name}")
    (PICTURES / f"{name}.svg").write_text(drawn, encoding="utf-8")


#: What an application might log.
_SHOP: Final = """\
def pay():
    raise TimeoutError("the bank does not answer")


shop.info("order %s paid", 17, extra={"amount": 12.5, "customer": "c-81"})
shop.debug("stock of %s is %d", "tea", 3)
bank.warning("no answer for %.1f s", 2.5, extra={"attempt": 2})
try:
    pay()
except TimeoutError:
    bank.exception("order %s refused", 18, extra={"order": 18})
shop.info("order %s paid", 19, extra={"amount": 3.0, "customer": "c-12"})
"""


def log_something(endpoint_url: str) -> None:
    """Log what an application might, by the handler."""
    handler = kinesink.KinesisHandler(
        "app-logs", endpoint_url=endpoint_url, region_name="eu-west-1"
    )
    shop, bank = logging.getLogger("shop"), logging.getLogger("shop.bank")
    shop.setLevel(logging.DEBUG)
    shop.addHandler(handler)
    # Under a name of its own, which the traceback shows.
    exec(compile(_SHOP, "shop.py", "exec"), {"shop": shop, "bank": bank})  # noqa: S102 - see above
    handler.flush(30)
    handler.close()


def main() -> None:
    """Draw all of them."""
    PICTURES.mkdir(exist_ok=True)
    os.environ.update(AWS_ACCESS_KEY_ID="dummy", AWS_SECRET_ACCESS_KEY="dummy")
    fake = FakeKinesis(region="eu-west-1")
    fake.create_stream("app-logs", shards=4)
    with fake.serve() as server:
        log_something(server.endpoint_url)
        where = {"AWS_ENDPOINT_URL_KINESIS": server.endpoint_url, "AWS_REGION": "eu-west-1"}
        draw("tail", "kinesink tail app-logs", shown_by("tail", "app-logs", variables=where))
        draw("doctor", "kinesink doctor app-logs", shown_by("doctor", "app-logs", variables=where))
    draw("demo", "kinesink demo | cat", shown_by("demo", terminal=False))


if __name__ == "__main__":
    main()
