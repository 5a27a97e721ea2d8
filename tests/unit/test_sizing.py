"""A size that was asked for is no size of the user's, whenever it comes."""

from __future__ import annotations

from glview.ui.sizing import ANSWER_TIME, SizeWishes

TEXT, GRAPHIC, OTHER = (720, 400), (1024, 768), (900, 700)


def test_the_answer_to_a_wish_is_ours_however_late() -> None:
    wishes = SizeWishes(TEXT, 0.0)
    assert wishes.answer(TEXT, 0.1)
    assert wishes.ask(GRAPHIC, 10.0)
    assert wishes.answer(GRAPHIC, 99.0)


def test_a_size_nobody_asked_for_is_the_users() -> None:
    wishes = SizeWishes(TEXT, 0.0)
    assert not wishes.answer(OTHER, ANSWER_TIME)
    assert wishes.answer(TEXT, 5.0)  # the size it was made with, late
    assert not wishes.answer(TEXT, 6.0)


def test_another_size_right_after_a_wish_is_the_window_managers() -> None:
    wishes = SizeWishes(TEXT, 0.0)
    wishes.ask(GRAPHIC, 10.0)
    assert wishes.answer(OTHER, 10.0 + ANSWER_TIME / 2)
    assert not wishes.answer((901, 700), 10.0 + ANSWER_TIME)


def test_many_wishes_answered_late_and_in_order() -> None:
    """An X server stood still while the guest switched between two modes."""
    wishes = SizeWishes(TEXT, 0.0)
    wishes.answer(TEXT, 0.0)
    asked = [GRAPHIC, TEXT, GRAPHIC, TEXT]
    assert all(wishes.ask(size, 1.0) for size in asked)
    assert all(wishes.answer(size, 9.0) for size in asked)
    assert not wishes.answer(GRAPHIC, 9.0)


def test_a_guest_that_changed_its_mode_in_a_loop() -> None:
    """While nothing was answered for many seconds."""
    wishes = SizeWishes(TEXT, 0.0)
    wishes.answer(TEXT, 0.0)
    asked = [(640 + 8 * (number % 20), 480) for number in range(1000)]
    assert all(wishes.ask(size, 1.0) for size in asked)
    assert all(wishes.answer(size, 99.0) for size in asked)
    assert not wishes.answer(asked[0], 99.0)


def test_wishes_that_the_window_manager_skipped_are_done_with() -> None:
    wishes = SizeWishes(TEXT, 0.0)
    for size in (GRAPHIC, OTHER):
        wishes.ask(size, 1.0)
    assert wishes.answer(OTHER, 9.0)
    assert not wishes.answer(GRAPHIC, 9.0)


def test_a_wish_is_made_once() -> None:
    wishes = SizeWishes(TEXT, 0.0)
    assert not wishes.ask(TEXT, 1.0)
    assert wishes.ask(GRAPHIC, 1.0)
    assert not wishes.ask(GRAPHIC, 1.0)
    assert wishes.ask(TEXT, 1.0)
