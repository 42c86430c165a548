"""Command line: `build`, `serve`, `relock`."""

from __future__ import annotations

import argparse

from conformance.channel.server import serve
from conformance.channel.wheel_lock import TIERS
from conformance.pypi.stored import ensure, relock_index


def main() -> None:
    """Run the command that the arguments name; print its answer on standard output."""
    parser = argparse.ArgumentParser(prog="python -m conformance.pypi", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="make the index unless it is there; print its folder")
    command = commands.add_parser("serve", help="serve it over HTTP")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8766)
    for made in (build, command):
        made.add_argument("--tier", choices=TIERS, default="full")
    commands.add_parser("relock", help="resolve the tier against PyPI again")
    arguments = parser.parse_args()
    if arguments.command == "relock":
        print(f"{relock_index()} wheels pinned")
    elif arguments.command == "serve":
        serve(ensure(arguments.tier), arguments.host, arguments.port)
    else:
        print(ensure(arguments.tier))


if __name__ == "__main__":
    main()
