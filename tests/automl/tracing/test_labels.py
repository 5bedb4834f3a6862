import numpy as np
import torch

from automl.tracing.labels import LabelBook, along, channels_of, compact, expanded


def test_linked_labels_are_one_component_and_others_are_not() -> None:
    book = LabelBook()
    first, second, third = book.fresh(2), book.fresh(2), book.fresh(2)
    book.link(first, second)
    component, reasons = book.components()
    assert component[first].tolist() == component[second].tolist()
    assert not set(component[first].tolist()) & set(component[third].tolist())
    assert reasons == {}


def test_a_pin_holds_the_whole_component_with_its_first_reason() -> None:
    book = LabelBook()
    first, second = book.fresh(2), book.fresh(2)
    book.link(first, second)
    book.pin(second[:1], "early")
    book.pin(first, "late")
    component, reasons = book.components()
    assert reasons[int(component[first[0]])] == "early"
    assert reasons[int(component[first[1]])] == "late"


def test_a_tensor_that_is_bound_twice_links_both_uses() -> None:
    book = LabelBook()
    first, second = book.fresh(3), book.fresh(3)
    assert book.bind(("w", 0), first) is first
    assert book.bind(("w", 0), second) is first
    component, _ = book.components()
    assert component[first].tolist() == component[second].tolist()


def test_a_whole_tensor_pins_every_dimension() -> None:
    book = LabelBook()
    rows = book.bind(("w", 0), book.fresh(2))
    book.whole["w"] = "read elsewhere"
    component, reasons = book.components()
    assert {reasons[int(each)] for each in component[rows]} == {"read elsewhere"}


def test_labels_that_change_along_one_dimension_take_one_row_of_memory() -> None:
    labels = compact(torch.arange(3).reshape(1, 3, 1).repeat(2, 1, 5))
    assert labels.shape == (2, 3, 5)
    assert channels_of(labels).shape == (1, 3, 1)
    assert labels.untyped_storage().nbytes() <= 2 * 3 * 5 * 8


def test_along_gives_the_labels_of_one_dimension_or_nothing_where_two_change() -> None:
    shape = torch.Size([2, 3, 4])
    found = along(expanded(np.array([7, 8, 9]), shape, 1), 1)
    assert found is not None
    assert found.tolist() == [7, 8, 9]
    assert along(torch.arange(12).reshape(1, 3, 4).expand(shape), 1) is None
