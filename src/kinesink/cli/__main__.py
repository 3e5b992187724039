"""``python -m kinesink.cli``: the command line where the script is not on the PATH."""

from kinesink.cli import main

main()
