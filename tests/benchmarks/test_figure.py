import pytest

from benchmarks.figure import Benchmark, Figure, Sign, interleaved


def test_sides_are_measured_in_turn_and_every_other_round_in_the_opposite_order() -> None:
    order: list[str] = []

    def side(name: str, value: float) -> float:
        order.append(name)
        return value + len(order)

    found = interleaved(3, {"a": lambda: side("a", 10), "b": lambda: side("b", 20)})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [11, 14, 15], "b": [22, 23, 26]}


@pytest.mark.parametrize(
    ("sign", "value", "reached"),
    [("≤", 1.5, True), ("≤", 1.502, True), ("≤", 1.51, False), ("≥", 1.5, True), ("≥", 1.4, False)],
)
def test_a_goal_is_reached_by_the_figure_that_is_shown(
    sign: Sign, value: float, *, reached: bool
) -> None:
    benchmark = Benchmark("b", sign, 1.5, "ratio", lambda _: Figure(value, 1, ""))
    assert benchmark.reached(Figure(value, 1, "")) is reached
    assert benchmark.goal_text == f"{sign} 1.5"
