import io

from rich.console import Console

from builder.ports import Progress
from registry.cli.timings import Timings


def test_the_time_of_each_stage_is_added_up_and_every_word_passed_on() -> None:
    now = 100.0
    heard: list[Progress] = []
    timings = Timings(heard.append, lambda: now)
    said = [
        (2.0, Progress("solve")),
        (5.0, Progress("assemble", 0, 3)),
        (6.0, Progress("assemble", 1, 3)),
        (8.0, Progress("finish")),
        (8.5, Progress("assemble", 0, 4)),
    ]
    for seconds, progress in said:
        now = 100.0 + seconds
        timings(progress)
    now = 110.0
    out = io.StringIO()
    Console(file=out, width=60).print(timings.table())
    lines = [line.replace("│", " ").split() for line in out.getvalue().splitlines()]
    assert ["solve", "3.00"] in lines
    assert ["assemble", "7", "4.50"] in lines
    assert ["finish", "0.50"] in lines
    assert ["all", "8.00"] in lines
    assert heard == [progress for _, progress in said]
