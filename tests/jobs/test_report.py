"""What a trainer tells the record, and when."""

import time

from jobs.training import report as reporting
from jobs.training.report import Report
from tests.browser.lab_book import add_run


def test_what_somebody_looks_out_for_is_told_before_the_next_beat_and_the_end_waits_for_none(services, tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "BEAT_SECONDS", 600)
    run = add_run(services, "its first step")
    claimed = services.leases.claim_next("cpu", "here")
    report = Report(services, claimed, tmp_path, memory=dict)
    report.start()
    report.progress(1, 70)
    report.soon()
    until = time.monotonic() + 30
    while services.runs.get(run.id).step != 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert services.runs.get(run.id).step == 1
    report.progress(2, 70)
    report.stop()
    assert services.runs.get(run.id).step == 2
