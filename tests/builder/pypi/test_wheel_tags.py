from packaging.tags import Tag

from builder.layer import PythonTarget
from builder.pypi.wheel_tags import supported_tags

PYTHON = PythonTarget("3.11.9", "lib/python3.11/site-packages")


def test_tags_are_ranked_as_pip_ranks_them() -> None:
    tags = list(supported_tags("linux-64", PYTHON, "2.36"))
    assert tags[0] == Tag("cp311", "cp311", "manylinux_2_36_x86_64")
    assert tags[-1] == Tag("py30", "none", "any")
    order = [
        Tag("cp311", "cp311", "manylinux_2_17_x86_64"),
        Tag("cp311", "cp311", "manylinux2014_x86_64"),
        Tag("cp311", "cp311", "linux_x86_64"),
        Tag("cp311", "abi3", "manylinux1_x86_64"),
        Tag("cp37", "abi3", "manylinux_2_28_x86_64"),
        Tag("py3", "none", "manylinux2010_x86_64"),
        Tag("cp311", "none", "any"),
        Tag("py3", "none", "any"),
    ]
    assert [tags.index(tag) for tag in order] == sorted(tags.index(tag) for tag in order)
