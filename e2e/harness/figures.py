"""Figures that a run prints at its end, whether the tests passed or not."""

LINES = []


def note(line):
    LINES.append(line)


def percentile(values, percent):
    """The value below which `percent` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def milliseconds(title, seconds):
    """Notes p50, p99 and the maximum of durations. Answers the p99 in seconds."""
    p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
    note(f"{title}: n={len(seconds)} p50={p50 * 1e3:.1f} ms p99={p99 * 1e3:.1f} ms max={max(seconds) * 1e3:.1f} ms")
    return p99
