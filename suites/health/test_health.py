"""The health endpoints, as users reach them and at each slot that runs."""

from cakravia_verify.api import HealthPlace, OutageRecord


def test_every_endpoint_is_healthy_by_the_contract(place: HealthPlace) -> None:
    assert place.endpoints
    assert place.complaints() == []


def test_the_body_is_of_the_type_that_the_answer_names(place: HealthPlace) -> None:
    assert place.wrong_types() == []


def test_no_cache_may_keep_the_answer(place: HealthPlace) -> None:
    assert place.cacheable() == []


def test_every_endpoint_answers_in_half_of_the_timeout(place: HealthPlace) -> None:
    assert place.slow() == []


def test_strangers_learn_no_secret_no_path_and_no_stack_trace(place: HealthPlace) -> None:
    assert place.disclosures() == []


def test_all_endpoints_name_the_slot_and_version_that_run(place: HealthPlace) -> None:
    assert place.disagreements() == []


def test_liveness_does_not_depend_on_other_services(place: HealthPlace) -> None:
    assert place.liveness_troubles() == []


# With --i-know-this-hurts: [contract] outage takes a dependency away, and [contract] recovery gives it back.


def test_readiness_notices_an_outage_in_time(outage: OutageRecord) -> None:
    assert outage.unnoticed == ()


def test_liveness_stays_good_during_an_outage(outage: OutageRecord) -> None:
    assert outage.live == ()


def test_readiness_comes_back_after_an_outage(outage: OutageRecord) -> None:
    assert outage.lost == ()
