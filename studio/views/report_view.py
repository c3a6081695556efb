"""The health report of a dataset: how far it is, what was found, and how long, how balanced and in which languages the rows are."""

from collections.abc import Sequence

from jobs import units
from jobs.checks import report_of
from jobs.data.health.report import Count, TokenCounts
from jobs.mends import MENDS
from storage.records import DataCheck
from studio.render import render
from studio.text import ENGLISH, say
from studio.views.chart import axis

BINS = 44  # bars of the token histogram
MOST_BARS = 25  # labels or languages that have a bar
WORST = 3  # findings in the short form
NAMED_LIMIT = 0.01  # the share that may be lost


def progress(check: DataCheck | None, worker_alive: bool) -> str:
    """How far the report is; empty once it is there."""
    if check is None or check.state == "finished":
        return ""
    key = f"check.phase.{check.phase}"
    return render(
        "check_progress.html",
        problem=check.problem if check.state == "failed" else "",
        text=say(key) if key in ENGLISH else check.phase.capitalize() or say("check.phase.waiting"),
        share=check.done if check.state == "running" else 0,
        hint="" if worker_alive or check.state != "queued" else say("worker.missing"),
    )


def whole_report(check: DataCheck, limit: int, mend_target: str, row_target: str) -> str:
    """The report as the Data page shows it; `limit` in tokens. Its buttons speak to the ask boxes of those names."""
    report = report_of(check)
    return render(
        "report.html",
        report=report,
        check_id=check.id,
        findings=[(finding, [MENDS[name] for name in finding.mends if name in MENDS]) for finding in report.findings],
        made=say("report.made", seconds=units.duration(report.seconds)),
        tokens=token_chart(report.tokens, limit, row_target) if report.tokens and report.tokens.examples else "",
        bars=[
            bars for title, counts in (("report.labels", report.labels), ("report.languages", report.languages))
            if (bars := count_bars(say(title), counts))
        ],
        mend_target=mend_target,
        row_target=row_target,
    )


def short_report(check: DataCheck, address: str) -> str:
    """The worst findings in a few lines, with the way to the whole report."""
    report = report_of(check)
    worst = report.findings[:WORST]
    return render("report_short.html", worst=worst, more=len(report.findings) - len(worst), address=address)


def token_chart(counts: TokenCounts, limit: int, target: str) -> str:
    """How long the examples are, as bars; what is longer than the limit is cut."""
    lengths = sorted(counts.lengths)
    longest, wise = lengths[-1][0], max(8, counts.limit_for(NAMED_LIMIT))
    # a few very long rows must not press all others together: the last bar holds what is longer than the axis
    end = min(longest, max(2 * wise, round(1.25 * min(limit, longest))))
    scale = axis(0, max(end, 1), about=6, whole=True)
    count_of_bins = min(BINS, max(1, int(scale.high)))
    width = scale.high / count_of_bins
    bins = [0] * count_of_bins
    for length, count in lengths:
        bins[min(count_of_bins - 1, int(length / width))] += count
    most = max(bins)
    bars = [
        {
            "left": 1000 * number / count_of_bins,
            "width": 1000 / count_of_bins * 0.86,
            "height": max(6, 1000 * count / most),
            "cut": number * width >= limit,
        }
        for number, count in enumerate(bins)
        if count
    ]
    cut = counts.cut_share(limit)
    rows = round(cut * counts.examples)
    sentence = (
        say("report.tokens.cut", limit=f"{limit:,}", share=units.share(cut), rows=f"{rows:,}")
        if rows else say("report.tokens.none_cut", limit=f"{limit:,}")
    )
    return render(
        "token_chart.html",
        bars=bars,
        x_ticks=[(100 * scale.place(tick), f"{tick:,.0f}") for tick in scale.ticks],
        most=f"{most:,}",
        limit_at=100 * scale.place(limit) if limit <= scale.high else None,
        beyond=longest > scale.high,
        limit=limit,
        sentence=sentence,
        advice=say("report.tokens.wise", limit=f"{wise:,}"),
        wise=wise,
        use=wise != limit,
        longest=f"{longest:,}",
        base=counts.base,
        target=target,
    )


def count_bars(title: str, counts: Sequence[Count]) -> dict | None:
    """Names with how many examples have them, the most first; None for nothing to compare."""
    if not counts:
        return None
    ordered = sorted(counts, key=lambda count: -count.count)
    total = sum(count.count for count in ordered)
    shown = ordered[:MOST_BARS]
    rest = ordered[MOST_BARS:]
    return {
        "title": title,
        "count": len(ordered),
        "bars": [
            {"name": count.name, "count": f"{count.count:,}", "share": units.share(count.count, total),
             "width": 100 * count.count / shown[0].count}
            for count in shown
        ],
        "rest": say("report.bars_more", count=f"{len(rest):,}", rows=f"{sum(count.count for count in rest):,}") if rest else "",
    }
