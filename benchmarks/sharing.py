"""``sharing``: what a node fetches that pulls twenty related environments in turn.

A team's environments: a common core, packages that come and go, versions that move. The node keeps
what it has and fetches no layer twice, as containerd and podman do; docker, which reuses a layer
only above the same ones, is beside it. The base, which is fetched once whatever the layers are, is
not counted. The measure is the bytes of the layers that every package would have alone.
"""

import asyncio
import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final
from unittest.mock import patch

from benchmarks.bench import Bench
from benchmarks.figure import MB, Figure
from benchmarks.images import ignore, lock
from builder.build import grouping

ENVIRONMENTS: Final = (
    "env/numpy.2.2/pandas.2",
    "env/numpy.2.2/pandas.2/requests.2.32",
    "env/numpy.2.2/pandas.2/requests.2.32/click.8.1",
    "env/numpy.2.2/pandas.2/requests.2.34/click.8.1",
    "env/numpy.2.2/pandas.2/matplotlib.3.10",
    "env/numpy.2.2/pandas.2/matplotlib.3.10/rich.14",
    "env/numpy.2.2/pandas.2/matplotlib.3.10/rich.15",
    "env/numpy.2.2/pandas.2/matplotlib.3.10/rich.15/click.8.2",
    "env/numpy.2.2/pandas.2/matplotlib.3.10/scikit-learn.1.6",
    "env/numpy.2.2/pandas.2/matplotlib.3.10/scikit-learn.1.6/ipython.9",
    "env/numpy.2.2/pandas.2/matplotlib.3.11/scikit-learn.1.6/ipython.9",
    "env/numpy.2.4/pandas.2/matplotlib.3.11/scikit-learn.1.6",
    "env/numpy.2.4/pandas.3/matplotlib.3.11/scikit-learn.1.9",
    "env/numpy.2.4/pandas.3/matplotlib.3.11/scikit-learn.1.9/click.8.5",
    "env/numpy.2.4/pandas.3/scikit-learn.1.9/ruamel.yaml",
    "env/numpy.2.4/pandas.3/scikit-learn.1.9/ruamel.yaml/requests.2.34",
    "env/numpy.2.4/pandas.3/jupyterlab",
    "env/numpy.2.4/pandas.3/jupyterlab/rich.15",
    "env/numpy.2.4/pandas.3/jupyterlab/rich.15/matplotlib.3.11",
    "env/numpy.2.4/scipy.1.17/jupyterlab",
)


def measure(bench: Bench) -> Figure:
    """Return the bytes fetched as a multiple of the packages'."""
    names = ENVIRONMENTS[:2] if bench.short else ENVIRONMENTS
    layers = asyncio.run(_build(bench, names))
    with ExitStack() as stack:
        # The same builder, told to give every package a layer.
        stack.enter_context(patch.object(grouping, "ALONE_BYTES", 0))
        stack.enter_context(patch.object(grouping, "MAX_ALONE", 10_000))
        alone = asyncio.run(_build(bench, names))
    fetched, packages, docker = _distinct(layers), _distinct(alone), _by_chain(layers)
    total = sum(layer["size"] for image in layers for layer in image)
    note = (
        f"{fetched / MB:.0f} MB of {total / MB:.0f} MB in {len(names)} images; the packages have"
        f" {packages / MB:.0f} MB; docker, which reuses from the bottom up,"
        f" {docker / packages:.2f}"
    )
    return Figure(fetched / packages, 1, note)


async def _build(bench: Bench, names: Iterable[str]) -> list[list[dict[str, Any]]]:
    """Return the descriptors of each image's layers, without the base's, the lowest first."""
    images = []
    async with bench.builder() as builder:
        for name in names:
            locked = await lock(builder, f"{name}:py3.11")
            image = await builder.pipeline.build(locked, "oci-zstd", ignore)
            # The base of the tests has one layer.
            images.append(json.loads(image.top.data)["layers"][1:])
    return images


def _distinct(images: Iterable[list[dict[str, Any]]]) -> int:
    """Return the bytes of all layers, each counted once."""
    return sum({layer["digest"]: layer["size"] for image in images for layer in image}.values())


def _by_chain(images: Iterable[list[dict[str, Any]]]) -> int:
    """Return the bytes of all layers, each counted once for each row of layers below it."""
    sizes = {}
    for image in images:
        for top, layer in enumerate(image, 1):
            sizes[tuple(below["digest"] for below in image[:top])] = layer["size"]
    return sum(sizes.values())
