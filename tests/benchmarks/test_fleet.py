from dataclasses import replace

from benchmarks.fleet import MEASURED, Fleet, Place


def test_twice_the_workers_make_twice_the_builds_until_something_they_share_is_busy() -> None:
    one, two, many = (Fleet(workers, MEASURED, Place()).build(200) for workers in (1, 2, 50))
    assert 1.9 < two.builds_per_minute / one.builds_per_minute <= 2.01
    assert one.busy["cores"] > 0.95
    assert many.busy["cores"] < 0.5
    assert max(many.busy.values()) > 0.9


def test_a_single_build_takes_what_its_stages_take() -> None:
    place = Place(cores_per_worker=1)
    costs = replace(MEASURED, layers=1)
    seconds = 60 / Fleet(1, costs, place).build(1).builds_per_minute
    computing = costs.solve_seconds + costs.plan_seconds + costs.layers_seconds
    moving = (costs.archive_bytes + costs.layer_bytes) / place.link_bytes_per_second
    assert abs(seconds - (computing + costs.finish_seconds + moving)) < 0.2


def test_the_model_is_the_same_each_time() -> None:
    assert Fleet(3, MEASURED, Place()).build(50) == Fleet(3, MEASURED, Place()).build(50)
