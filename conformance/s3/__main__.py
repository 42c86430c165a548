"""``python -m conformance.s3``: an S3 server to try things with, until Ctrl-C.

Prints what has to be set so that ``pullforge serve`` keeps its store there.
"""

import signal

from conformance.s3.server import S3Server


def main() -> None:
    """Run it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with S3Server() as server:
            for name, value in server.settings("store").items():
                print(f"export PULLFORGE_{name.upper()}={value}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
