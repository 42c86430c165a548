"""Command line: `build`, `path`, `serve`, `relock`."""

from __future__ import annotations

import argparse
from pathlib import Path

from conformance.channel.server import serve
from conformance.channel.stored import ensure
from conformance.channel.wheel_lock import TIERS, relock


def main() -> None:
    """Run the command that the arguments name; print its answer on standard output."""
    arguments = _parser().parse_args()
    if arguments.command == "serve":
        serve(arguments.directory, arguments.host, arguments.port)
    elif arguments.command == "relock":
        print(f"{relock()} wheels pinned")
    else:
        paths = ensure(arguments.tier, arguments.cache)
        print(paths.base if getattr(arguments, "base", False) else paths.channel)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance.channel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("build", "build the channel unless it is there, and print its folder"),
        ("path", "the same; with --base, print the folder of the base image"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--tier", choices=TIERS, default="full")
        command.add_argument("--cache", type=Path, help="default: pullforge/channel in ~/.cache")
        if name == "path":
            command.add_argument("--base", action="store_true", help="the base image's folder")
    command = commands.add_parser("serve", help="serve a channel over HTTP")
    command.add_argument("directory", type=Path)
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, default=8765)
    commands.add_parser("relock", help="resolve the tier against PyPI again")
    return parser


if __name__ == "__main__":
    main()
