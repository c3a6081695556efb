"""How right the forecasts of all runs were, as the accuracy page shows it."""

from jobs import units
from jobs.forecast.accuracy import Accuracy, Errors
from studio.render import render
from studio.text import say
from studio.views.forecast_said import difference, signed
from studio.views.run_view import method_title
from studio.views.scatter import Spot, scale, scatter

DRAWN = 200  # of the newest runs
NAMED = 5    # of the worst


def accuracy_parts(found: Accuracy) -> str:
    """The chart with a sentence, the table by device and method, and the runs that were forecast worst."""
    if not found.compared:
        return render("empty.html", what=say("accuracy.empty"), next=say("accuracy.empty_help"),
                      links=[(say("run.open_train"), "/"), (say("run.open_runs"), "/runs")])
    return render(
        "accuracy.html",
        summary=_summary(found.errors),
        chart=_chart(found),
        groups=[(device, method_title(method), f"{errors.runs:,}", units.share(errors.median), units.share(errors.nine_in_ten))
                for device, method, errors in found.by],
        worst=[(each.run, method_title(each.run.method), units.size(each.forecast), units.size(each.measured), signed(each))
               for each in found.worst],
        notes=[*(say("accuracy.learnt", device=device, factor=units.figure(learnt.correction), runs=learnt.runs)
                 for device, learnt in found.learnt),
               *(say(f"accuracy.left_out_{why}", count=f"{count:,}") for why, count in found.left_out.items())],
    )


def _summary(errors: Errors) -> str:
    many = errors.runs >= 10
    counted = say("accuracy.count_one") if errors.runs == 1 else say("accuracy.count", count=f"{errors.runs:,}")
    return f"{counted} " + say("accuracy.summary" if many else "accuracy.summary_few", median=units.share(errors.median),
                               within=units.share(errors.nine_in_ten))


def _chart(found: Accuracy) -> str:
    drawn, named = found.compared[:DRAWN], {each.run.id for each in found.worst[:NAMED]}
    spots = [Spot(each.measured, each.forecast, each.run.name if each.run.id in named else "",
                  f"{each.run.name}: {units.size(each.forecast)}, {units.size(each.measured)}, {difference(each)}",
                  each.run.id in named) for each in drawn]
    # one scale for both, so that what was right lies on the line from corner to corner
    both = scale([value for each in drawn for value in (each.measured, each.forecast)],
                 lambda value: units.size(value).replace(".0 ", " "), powers=True, about=3)
    powers = f", {say('comparison.by_powers')}" if both.by_powers else ""
    return scatter(spots, both, both, title=say("accuracy.chart"), x_title=say("accuracy.measured") + powers,
                   y_title=say("accuracy.forecast") + powers, better="",
                   summary=say("accuracy.chart_summary", count=len(drawn), summary=_summary(found.errors)), diagonal=True)
