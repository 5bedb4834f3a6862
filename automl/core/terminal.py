"""Text of others on its way to a terminal, which obeys control characters."""


def printable(text: str) -> str:
    """`text` with its lines as they are, and an escape for all else that is not seen when it is printed."""
    return "".join(each if each.isprintable() or each == "\n" else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
