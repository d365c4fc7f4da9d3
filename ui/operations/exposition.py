"""The metrics of a page for Prometheus, from its measures and its store: counts and shares, nothing of a person."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from annotations.learning.drift import read_drift
from ui.backend.services import Services
from ui.operations.measures import ERRORS, Distribution

CONTENT_TYPE = CONTENT_TYPE_LATEST

FRESH = 15.0
"""Seconds that numbers of the store are kept: scrapers come often, and a large store takes its time to count."""

RECENT = 500
"""Newest votes that the correction rate and the label mix are of."""

VOTES = """
    SELECT verdict, count(*) AS count FROM corrections
    WHERE id NOT IN (SELECT correction_id FROM correction_retractions) GROUP BY verdict
"""
NEWEST = """
    SELECT verdict, label FROM corrections
    WHERE verdict IN ('accept', 'correct') AND prediction_id IS NOT NULL
        AND id NOT IN (SELECT correction_id FROM correction_retractions)
    ORDER BY id DESC LIMIT ?
"""


class StudioCollector:
    """Collects the metrics of a page.

    Args:
        services: of the page.
        sessions: counts those that Gradio keeps.
        logins: counts those that are logged in.
        clock: seconds.
    """

    def __init__(
        self,
        services: Services,
        sessions: Callable[[], int] = lambda: 0,
        logins: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.services = services
        self._counts = {"studio_sessions": sessions, "studio_logins": logins}
        self._clock = clock
        self._lock = threading.Lock()
        self._read = -FRESH
        self._stored: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """The metrics; those of the store are read at most every few seconds."""
        yield from self._live()
        with self._lock:
            if self._clock() - self._read >= FRESH:
                self._stored, self._read = list(self._of_store()), self._clock()
            yield from self._stored
        yield from self._saved()

    def _live(self) -> Iterator[Metric]:
        measures = self.services.measures
        stages = HistogramMetricFamily("studio_stage_seconds", "Seconds of each stage of an answer.", labels=["stage"])
        for stage, times in sorted(measures.stages.items()):
            _fill(stages, [stage], times)
        yield stages
        confidence = HistogramMetricFamily("studio_confidence", "Probability of the label of each answer.", labels=[])
        _fill(confidence, [], measures.confidence)
        yield confidence
        yield _counter("studio_answers", "Finished answers by label.", "label", measures.answers)
        unsure = CounterMetricFamily("studio_answers_unsure", "Finished answers that say that they are not sure.")
        unsure.add_metric([], measures.unsure)
        yield unsure
        yield _counter("studio_errors", "Errors that people were shown, by kind.", "kind", ERRORS.kinds())
        yield _counter("studio_responses", "Responses by class of status.", "status", measures.requests)
        waiting, running = self.services.turns.load()
        yield GaugeMetricFamily("studio_queue_waiting", "Recordings that wait for their turn.", value=waiting)
        yield GaugeMetricFamily("studio_queue_running", "Recordings that are being answered.", value=running)
        for name, count in self._counts.items():
            words = "Sessions in memory." if name == "studio_sessions" else "Logins that have not ended."
            yield GaugeMetricFamily(name, words, value=count())
        yield GaugeMetricFamily("studio_start_time_seconds", "Time of the start.", value=measures.began)

    def _of_store(self) -> Iterator[Metric]:
        store = self.services.store
        votes = {row["verdict"]: row["count"] for row in store.fetch(VOTES)}
        mix = GaugeMetricFamily("studio_votes", "Standing votes in the store, by verdict.", labels=["verdict"])
        for verdict, count in votes.items():
            mix.add_metric([verdict], count)
        yield mix
        (clips,) = store.fetch("SELECT count(*) AS count FROM clips")
        yield GaugeMetricFamily("studio_clips", "Clips in the store.", value=clips["count"])
        newest = store.fetch(NEWEST, (RECENT,))
        rate = sum(row["verdict"] == "correct" for row in newest) / len(newest) if newest else None
        yield GaugeMetricFamily(
            "studio_correction_rate", f"Share of the last {RECENT} votes that changed the answer.", value=rate
        )
        labels = GaugeMetricFamily(
            "studio_label_share", f"Share of each label in the last {RECENT} votes.", labels=["label"]
        )
        for label in sorted({row["label"] for row in newest}):
            labels.add_metric([label], sum(row["label"] == label for row in newest) / len(newest))
        yield labels
        version = InfoMetricFamily("studio_model", "Current model version of each target.", labels=["target"])
        for target, found in self.services.active_model.serving().versions.items():
            version.add_metric([target], {"version": found.name, "sha256": found.sha256})
        yield version
        drift = GaugeMetricFamily("studio_drift", "1 where a drift of that kind was found.", labels=["kind"])
        for kind, found_it in read_drift(store).flags().items():
            drift.add_metric([kind], float(found_it))
        yield drift

    def _saved(self) -> Iterator[Metric]:
        saver = getattr(self.services, "saver", None)
        if saver is None:
            return
        status = saver.status()
        age = float("inf") if status.age is None else status.age
        yield GaugeMetricFamily("studio_saved_age_seconds", "Seconds since the last save elsewhere.", value=age)
        yield GaugeMetricFamily(
            "studio_saved_waiting", "Changes that are not saved elsewhere yet.", value=status.waiting
        )
        yield GaugeMetricFamily(
            "studio_saved_failures",
            "Tries to save elsewhere that failed since the last success.",
            value=status.failures,
        )


def exposition(collector: StudioCollector) -> bytes:
    """The metrics in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return bytes(generate_latest(registry))


def _counter(name: str, words: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _fill(family: HistogramMetricFamily, labels: list[str], times: Distribution) -> None:
    family.add_metric(labels, buckets=times.cumulated(), sum_value=times.total)
