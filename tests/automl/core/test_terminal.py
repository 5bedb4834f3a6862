from automl.core.terminal import printable


def test_plain_text_and_its_lines_stay() -> None:
    assert printable("Größe: 5 px\n→ 華") == "Größe: 5 px\n→ 華"


def test_what_a_terminal_obeys_is_shown_as_its_escape() -> None:
    assert printable("a\x1b[2J\r\x00\x9b\u202e\ud800") == r"a\x1b[2J\r\x00\x9b\u202e\ud800"
