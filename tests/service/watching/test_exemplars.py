from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from service.watching.exemplars import exemplar


def test_what_has_no_value_is_left_out() -> None:
    assert exemplar(trace_id=None, request_id="7", task="") == {"request_id": "7"}


def test_no_exemplar_is_longer_than_openmetrics_allows() -> None:
    histogram = Histogram("a_seconds", "a", registry=CollectorRegistry())
    for length in range(100, 130):
        given = exemplar(request_id="r" * 20, task="t" * length)
        histogram.observe(1, given)  # raises on one that is too long
        assert ("task" in given) == (len("request_id") + 20 + len("task") + length <= 128)


def test_the_first_ones_go_before_later_ones() -> None:
    given = exemplar(request_id="r" * 100, task="t" * 100)
    assert given == {"request_id": "r" * 100}


def test_strangers_text_leaves_the_page_readable() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("a_seconds", "a", registry=registry)
    encode, _ = choose_encoder("application/openmetrics-text")
    for said in ("\ud800", "a\nb", '"} 1', "\\"):
        histogram.observe(1, exemplar(task=said))
        assert encode(registry).decode().endswith("# EOF\n")
    assert exemplar(task="\ud800") == exemplar(task="a\nb") == {}
