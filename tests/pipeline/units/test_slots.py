"""Places are taken once, and by the job that came first."""

from vsr_cli.pipeline.units.places import Place
from vsr_cli.pipeline.units.slots import Slots

TWO = [Place("cpu", 1), Place("cpu", 1)]


def test_a_place_is_taken_by_one_job_until_it_is_given_back() -> None:
    slots = Slots()
    with slots.turn() as first, slots.turn() as second:
        assert [slots.take(first, TWO) for _ in range(3)] == [*TWO, None]
        first.is_served = True
        assert slots.take(second, TWO) is None
        slots.give_back(TWO[0])
        assert slots.take(second, TWO) == TWO[0]
        assert slots.take(second, TWO) is None


def test_gpus_are_told_apart() -> None:
    slots, gpus = Slots(), [Place("cuda:0"), Place("cuda:1")]
    with slots.turn() as job:
        taken = [slots.take(job, gpus), slots.take(job, gpus)]
        slots.give_back(Place("cuda:1"))
        assert taken == gpus
        assert slots.take(job, gpus) == Place("cuda:1")


def test_a_job_leaves_places_to_the_one_before_it_until_that_has_enough() -> None:
    slots = Slots()
    with slots.turn() as first:
        with slots.turn() as second:
            assert slots.take(second, TWO) is None
            first.is_served = True
            assert slots.take(second, TWO) == TWO[0]
        assert slots.take(first, TWO) == TWO[1]
    with slots.turn() as third:
        slots.give_back(TWO[0])
        assert slots.take(third, TWO) == TWO[0]
