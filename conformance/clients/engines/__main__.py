"""Builds the clients that come from Go modules, so that no test has to wait for it."""

from conformance.clients.engines import containerd, crane, docker, oras, regctl


def main() -> None:
    """Build what is not there yet and say where it is."""
    for program in (
        containerd.CURRENT,
        crane.PROGRAM,
        docker.CURRENT,
        oras.PROGRAM,
        regctl.PROGRAM,
    ):
        print(program.directory())


if __name__ == "__main__":
    main()
