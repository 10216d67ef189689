"""Several places share one queue: no batch is lost or answered twice, whatever becomes of the processes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import WorkerError
from vlmprobe.families import OutOfMemoryError
from vlmprobe.families.base import NotExactError

from .places import batch_of

if TYPE_CHECKING:
    from vlmprobe.families.pool import DevicePool

    from .places import PlacesByName


def test_a_free_place_takes_the_next_batch(places: PlacesByName, both_places: DevicePool) -> None:
    """However long another needs for what it has; answers belong to their batches."""
    batches = [batch_of(number) for number in range(8)]
    promised = [both_places.submit(batch) for batch in batches]
    assert (places["a"].n_open, places["b"].n_open) == (2, 2)

    for _ in range(6):
        places["b"].answer()
    assert [items for items, *_ in places["a"].asked] == [batches[0], batches[2]]
    assert [each.done() for each in promised] == [False, True, False, True, True, True, True, True]
    for _ in range(2):
        places["a"].answer()
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]


def test_batches_of_a_lost_process_go_to_the_others_at_once_as_they_were(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """Before those that nobody has had yet, whichever way they are asked; one line says it."""
    ways = ("fast", "plain", "exact", "fast", "plain", "fast")
    batches = [batch_of(number) for number in range(6)]
    promised = [both_places.submit(batch, how=how) for batch, how in zip(batches, ways, strict=True)]  # type: ignore[arg-type]
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].die()
    for _ in batches:
        places["b"].answer()

    asked = [(items, how) for items, how, _ in places["b"].asked]
    expected = [(batches[number], ways[number]) for number in (1, 3, 0, 2, 4, 5)]
    assert asked == expected
    assert [each.result(1) for each in promised] == list(zip(batches, ways, strict=True))
    assert places.lines[0] == (
        "a: its process died and is being restarted (gone); 2 of its batches are asked again elsewhere"
    )


def test_a_place_that_cannot_be_restarted_is_given_up_in_one_line(
    places: PlacesByName, both_places: DevicePool, wait_until: Any
) -> None:
    """The pool goes on with the other; when that is lost too, every batch ends in the error."""
    promised = [both_places.submit(batch_of(number)) for number in range(5)]
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].die()
    wait_until(lambda: len(places.lines) == 2)
    assert places.lines[1] == (
        "a: given up (the node is gone); 2 of its batches are asked again elsewhere; going on with 1 of 2 places"
    )
    assert both_places.depth == 2
    places["b"].answer()
    places.refuse["b"] = WorkerError("so is this one")
    places["b"].die()
    errors = [each.exception(10) for each in promised]
    assert [str(error) for error in errors if error is not None] == ["the node is gone"] * 4
    assert sum(error is None for error in errors) == 1
    assert isinstance(both_places.submit(batch_of("late")).exception(1), WorkerError)
    with pytest.raises(WorkerError, match="the node is gone"):
        both_places.first_prompt(batch_of("late")[0])


def test_a_process_that_died_is_restarted_once(
    places: PlacesByName, both_places: DevicePool, wait_until: Any
) -> None:
    """And takes batches again; the second time its place is given up."""
    for number in range(4):
        both_places.submit(batch_of(number))
    places["a"].die()
    wait_until(lambda: len(places.started["a"]) == 2 and both_places.depth == 4)
    assert places["a"].n_open == 2
    places["a"].die()
    assert both_places.depth == 2
    assert places.lines[-1].startswith("a: given up (gone); 4 of its batches are")


def test_batches_behind_the_one_that_the_only_process_died_at_stay_whole(
    places: PlacesByName, wait_until: Any
) -> None:
    """They wait for the process that takes its place, which is given all of them, as they were."""
    alone = places.pool("a", elsewhere=False)
    batches = [batch_of(name) for name in "abc"]
    promised = [alone.submit(batch) for batch in batches]
    places["a"].die(cancels=True)
    wait_until(lambda: len(places.started["a"]) == 2 and places["a"].n_open == 2)
    for _ in batches:
        places["a"].answer()
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]
    assert places.lines[0].endswith("; 2 of its batches are asked again")
    alone.close()


def test_an_answer_that_comes_after_its_batch_was_given_to_another_is_dropped(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """A batch has one answer: that of the process that has it."""
    promised = [both_places.submit(batch_of(number)) for number in range(2)]
    late = places["a"].asked[0][-1]
    assert late.set_running_or_notify_cancel()
    places.refuse["a"] = WorkerError("the node is gone")
    both_places._lose(both_places._workers[0], places["a"], WorkerError("cut off"))
    late.set_result("an answer of the past")
    assert not promised[0].done()
    for _ in range(2):
        places["b"].answer()
    assert promised[0].result(1) == (batch_of(0), "fast")


@pytest.mark.parametrize("seed", range(12))
def test_whoever_dies_and_whenever_each_batch_has_its_own_answer_once(
    seed: int, places: PlacesByName, wait_until: Any
) -> None:
    """Three places, of which one never dies for good; what is answered, and who dies, is drawn by seed."""
    drawn = random.Random(seed)
    three = places.pool("a", "b", "c")
    wait_until(lambda: three.depth == 6)
    batches = [batch_of(number) for number in range(30)]
    promised = [three.submit(batch) for batch in batches]
    n_answered, n_deaths = 0, {"a": 0, "b": 0, "c": 0}
    while not all(each.done() for each in promised):
        alive = [name for name in "abc" if not places[name].is_dead and places[name].n_open]
        wait_until(lambda: any(places[name].n_open for name in "abc"))
        if not alive:
            continue
        name = drawn.choice(alive)
        if drawn.random() < 0.2 and n_deaths[name] < (1 if name == "c" else 2):
            n_deaths[name] += 1
            places[name].die(cancels=drawn.random() < 0.5)
        else:
            places[name].answer()
            n_answered += 1
    assert [each.result(1) for each in promised] == [(batch, "fast") for batch in batches]
    assert n_answered == len(batches)
    three.close()


def test_a_batch_that_nobody_waits_for_any_more_is_not_handed_out(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """After a failed certificate the batches in the queue are asked another way."""
    promised = [both_places.submit(batch_of(number)) for number in range(6)]
    assert promised[4].cancel()
    for _ in range(2):
        places["a"].answer()
    assert [items[0].pair_id for items, *_ in places["a"].asked] == [0, 2, 5]


@pytest.mark.parametrize("error", [OutOfMemoryError("too many"), NotExactError(), RuntimeError("shapes")])
def test_an_error_of_the_batch_is_the_batchs(
    error: Exception, places: PlacesByName, both_places: DevicePool
) -> None:
    """It is not asked again elsewhere: whoever submitted it halves it, or records it."""
    promised = both_places.submit(batch_of("x"))
    places["a"].asked[0][-1].set_exception(error)
    assert promised.exception(1) is error
    assert places["b"].asked == []
    both_places.close()
    assert ("a" in places.kept) == (not isinstance(error, RuntimeError))


def test_a_question_about_the_model_goes_to_another_place_if_one_dies(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """And the batch size is the smallest of those that are there."""
    assert both_places.first_prompt(batch_of("x")[0]) == {"text": "a"}
    assert both_places.fitting_batch(batch_of("x")) == 1
    places.refuse["a"] = WorkerError("the node is gone")
    places["a"].is_dead = True
    assert both_places.first_prompt(batch_of("x")[0]) == {"text": "b"}


def test_a_batch_has_the_room_of_the_place_that_has_least(
    places: PlacesByName, both_places: DevicePool
) -> None:
    """Where one does not know it, nobody does; one that dies meanwhile does not count."""
    places["a"].free, places["b"].free = 3, 2
    assert both_places.room() == 2
    places["b"].free = None
    assert both_places.room() is None
    places.refuse["b"] = WorkerError("the node is gone")
    places["b"].is_dead = True
    assert both_places.room() == 3
