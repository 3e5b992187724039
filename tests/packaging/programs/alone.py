"""Without extras: logging, every name that needs one says so, and so does the command line."""

import logging
import subprocess
import sysconfig
from importlib.metadata import entry_points, version
from pathlib import Path

import kinesink
from kinesink.testing import capture_events

assert kinesink.__version__ == version("kinesink")
with capture_events() as captured:
    logging.basicConfig(level="INFO", handlers=[kinesink.KinesisHandler("app-logs")])
    logging.getLogger("shop").info("order %s paid", 17)
    captured.assert_logged(level="INFO", message="order 17 paid")


def refusal(name: str) -> str:
    """Return why there is no such name here."""
    try:
        getattr(kinesink, name)
    except ImportError as error:
        return str(error)
    return "there is one"


for missing, (_, extra) in kinesink._EXTRAS.items():
    assert f"kinesink[{extra}]" in refusal(missing), refusal(missing)

(script,) = entry_points(group="console_scripts", name="kinesink")
assert callable(script.load())
(plugin,) = entry_points(group="pytest11", name="kinesink")
assert plugin.value == "kinesink.testing.pytest_plugin"
command = str(Path(sysconfig.get_path("scripts"), "kinesink"))
ran = subprocess.run(  # noqa: S603 - our own words
    [command, "demo"], capture_output=True, text=True, check=False
)
assert (ran.returncode, ran.stdout) == (2, ""), ran
assert "kinesink[cli]" in ran.stderr, ran
