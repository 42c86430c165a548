from builder.ports import BuildMetrics
from registry.telemetry import Metrics


def test_what_costs_is_counted() -> None:
    metrics = Metrics()
    build: BuildMetrics = metrics
    build.solved(1.5)
    build.downloaded(1000)
    build.downloaded(500)
    build.assembled(2000, 0.25)
    metrics.pulled("built")
    metrics.pulled("hit")
    metrics.pulled("hit")
    lines = metrics.render().decode().splitlines()
    for line in (
        "pullforge_solves_total 1.0",
        "pullforge_solve_seconds_sum 1.5",
        "pullforge_downloads_total 2.0",
        "pullforge_download_bytes_total 1500.0",
        "pullforge_layer_assemblies_total 1.0",
        "pullforge_layer_assembly_bytes_total 2000.0",
        "pullforge_layer_assembly_seconds_sum 0.25",
        'pullforge_pulls_total{outcome="built"} 1.0',
        'pullforge_pulls_total{outcome="hit"} 2.0',
    ):
        assert line in lines


def test_two_services_in_one_process_count_for_themselves() -> None:
    first, second = Metrics(), Metrics()
    first.solved(1)
    assert b"pullforge_solves_total 0.0" in second.render()
