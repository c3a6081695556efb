"""Numbers as people read them. The page, the command line and the model card all use these."""

NOTHING = "–"  # what stands where there is no figure


def size(count: float | None) -> str:
    """Bytes in decimal units, as disks and downloads are sold: 1,234,567 is "1.2 MB"."""
    if count is None:
        return NOTHING
    return f"{count:,.0f} B" if count < 1000 else _scaled(count, (" kB", " MB", " GB", " TB", " PB"))


def amount(count: float | None) -> str:
    """A count of things: 3,721,000 is "3.7 M", 7.2 billion "7.2 B", and below ten thousand every one is told."""
    if count is None:
        return NOTHING
    return f"{count:,.0f}" if count < 10_000 else _scaled(count, (" k", " M", " B", " T"))


def duration(seconds: float | None) -> str:
    """"0.4 s" (whole numbers given as such stay whole), "12 s", "2 min 10 s", "3 h 5 min", "2 d 4 h"."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95 and not isinstance(seconds, int):
        return f"{max(seconds, 0):.1f} s"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    for large, large_unit, small, small_unit, limit in (
            (60, "min", 1, "s", 3600), (3600, "h", 60, "min", 86400), (86400, "d", 3600, "h", float("inf"))):
        if whole < limit:
            rest = whole % large // small
            return f"{whole // large} {large_unit}" + (f" {rest} {small_unit}" if rest else "")
    raise AssertionError("days have no upper end")


def share(part: float | None, whole: float | None = 1) -> str:
    """A part of a whole in percent, with as many digits as tell it from nothing: "12%", "0.35%", "0.0021%"."""
    if part is None or not whole:
        return NOTHING
    percent = 100 * part / whole
    if percent == 0 or percent >= 9.95:
        return f"{percent:.0f}%"
    return f"{float(f'{percent:.2g}'):.10f}".rstrip("0").rstrip(".") + "%"


def figure(value: float | None, digits: int = 3) -> str:
    """A loss, a score or a rate, rounded to so many significant digits: 0.4137 is "0.414", 0.0002 is "0.0002"."""
    if value is None:
        return NOTHING
    if value == 0 or 1e-4 <= abs(value) < 10**digits:
        return f"{float(f'{value:.{digits}g}'):,.10f}".rstrip("0").rstrip(".") if value else "0"
    return f"{value:,.0f}" if 10**digits <= abs(value) < 1e7 else f"{value:.{digits - 1}e}"


def setting(value: float | bool | None) -> str:
    """A setting's value as people write it: 0.0003 is "3e-4", 0.002 stays, 16.0 is "16"; what is on or off says so."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.6g}"
    digits, _, power = f"{value:.5e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def ago(seconds: float) -> str:
    """How long since something was: "just now", "5 min ago", "3 h ago", "2 days ago"."""
    if seconds < 45:
        return "just now"
    for unit, length, limit in (("min", 60, 3600), ("h", 3600, 86400)):
        if seconds < limit * 0.99:
            return f"{max(1, round(seconds / length))} {unit} ago"
    days = max(1, round(seconds / 86400))
    return f"{days} day{'s' if days != 1 else ''} ago"


def _scaled(count: float, units: tuple[str, ...]) -> str:
    for unit in units:
        count /= 1000
        if count < 999.5 or unit == units[-1]:
            return f"{count:.1f}{unit}" if count < 99.95 else f"{count:.0f}{unit}"
    raise AssertionError("the last unit takes all")
