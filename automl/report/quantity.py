"""Numbers as people read them."""

_PREFIXES = ("", "k", "M", "G", "T")


def humanise(value: float, unit: str = "") -> str:
    """A number with a decimal prefix: `293.87M`, and with a unit `8.1 MB` or `276 kB`.

    Args:
        value: Count, or bytes with the unit `B`; 1 MB = 10^6 bytes.
        unit: Symbol of the unit; empty for a count.
    """
    digits = 0 if abs(value) < 1000 and float(value).is_integer() else 1 if unit else 2
    power = 0
    # Rounded first: 999,996 is 1.00M and not 1000.00k.
    while round(abs(value) / 1000**power, digits) >= 1000 and power < len(_PREFIXES) - 1:
        power += 1
    if unit and abs(value) >= 100 * 1000**power:
        digits = 0
    number = f"{value / 1000**power:.{digits}f}{' ' if unit else ''}"
    return f"{number}{_PREFIXES[power]}{unit}"


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal: `97.5%`."""
    return f"{100 * fraction:.1f}%"


def share(value: float, dense: float, unit: str = "") -> str:
    """A number and, where it is another one, what part it is of the dense network's: `73.47M (25.0%)`."""
    part = f" ({percent(value / dense)})" if dense and value != dense else ""
    return f"{humanise(value, unit)}{part}"
