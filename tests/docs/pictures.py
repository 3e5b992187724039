"""Draw what terminals show of kinesink, from its real output: `python tests/docs/pictures.py`.

The pictures are in docs/pictures/, as vectors and without anything to fetch.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).parents[2]
# As a script it is not told where the tests are.
sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]

import kinesink  # noqa: E402 - see above
from kinesink.testing import FakeKinesis  # noqa: E402 - see above
from tests.cli.commands import Terminal  # noqa: E402 - see above

PICTURES: Final = ROOT / "docs" / "pictures"
COLUMNS: Final = 120
COMMANDS: Final = {
    "demo": "kinesink demo",
    "tail": "kinesink tail app-logs",
    "doctor": "kinesink doctor app-logs",
}
"""What is typed, by the name of the picture."""
_OURS: Final = ("dummy", "dummy")

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


def shown_by(command: str, **variables: str) -> str:
    """Return what a command of kinesink writes to a terminal."""
    terminal = Terminal(*command.split()[1:], COLUMNS=str(COLUMNS), **variables)
    status = terminal.end()
    assert status == 0, terminal.screen
    return terminal.screen


def left_on_the_screen(said: str) -> str:
    """Return what a command leaves there that has drawn one table over the other.

    Without the events that the demonstration shows then: they tell of folders of the machine.
    """
    last = said.rpartition("\x1b[2K")[2]
    table, shown, rest = last.partition("\x1b[?25h")
    return f"{table}\n{rest[rest.index(_ACCOUNT) :]}" if shown else last


def drawing(name: str, command: str, said: str) -> str:
    """Return the picture of a terminal where a command has said something."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {command}", "bold"))
        console.print(Text.from_ansi(left_on_the_screen(said).rstrip("\n")))
        return console.export_svg(title="", code_format=_SVG, unique_id=f"kinesink-{name}")


#: What the last part of a demonstration begins with.
_ACCOUNT: Final = "\x1b[1mThe account"

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
        "app-logs", endpoint_url=endpoint_url, region_name="eu-west-1", credentials=_OURS
    )
    # Loggers that nobody else has.
    shop, bank = logging.Logger("shop"), logging.Logger("shop.bank")  # noqa: LOG001 - see above
    shop.addHandler(handler)
    bank.parent = shop
    # Under a name of its own, which the traceback shows.
    exec(compile(_SHOP, "shop.py", "exec"), {"shop": shop, "bank": bank})  # noqa: S102 - see above
    handler.flush(30)
    handler.close()


def drawings() -> dict[str, str]:
    """Return every picture by its name, as the commands are now."""
    fake = FakeKinesis(region="eu-west-1")
    fake.create_stream("app-logs", shards=4)
    with fake.serve() as server:
        log_something(server.endpoint_url)
        where = {
            "AWS_ACCESS_KEY_ID": _OURS[0],
            "AWS_SECRET_ACCESS_KEY": _OURS[1],
            "AWS_ENDPOINT_URL_KINESIS": server.endpoint_url,
            "AWS_REGION": "eu-west-1",
        }
        return {
            name: drawing(name, command, shown_by(command, **where))
            for name, command in COMMANDS.items()
        }


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, drawn in drawings().items():
        (PICTURES / f"{name}.svg").write_text(drawn, encoding="utf-8")
