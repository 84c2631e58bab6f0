"""The health endpoints, as users reach them and at each slot that runs."""

from cakravia_verify.api import HealthPlace, OutageRecord


def test_every_endpoint_is_healthy_by_the_contract(place: HealthPlace) -> None:
    assert place.endpoints
    found = place.complaints()
    assert not found, "; ".join(found)


def test_the_body_is_of_the_type_that_the_answer_names(place: HealthPlace) -> None:
    found = place.wrong_types()
    assert not found, "; ".join(found)


def test_no_cache_may_keep_the_answer(place: HealthPlace) -> None:
    found = place.cacheable()
    assert not found, "; ".join(found)


def test_every_endpoint_answers_in_half_of_the_timeout(place: HealthPlace) -> None:
    found = place.slow()
    assert not found, "; ".join(found)


def test_strangers_learn_no_secret_no_path_and_no_stack_trace(place: HealthPlace) -> None:
    found = place.disclosures()
    assert not found, "; ".join(found)


def test_all_endpoints_name_the_slot_and_version_that_run(place: HealthPlace) -> None:
    found = place.disagreements()
    assert not found, "; ".join(found)


def test_liveness_does_not_depend_on_other_services(place: HealthPlace) -> None:
    found = place.liveness_troubles()
    assert not found, "; ".join(found)


# With --i-know-this-hurts: [contract] outage takes a dependency away, and [contract] recovery gives it back.


def test_readiness_notices_an_outage_in_time(outage: OutageRecord) -> None:
    assert not outage.unnoticed, "; ".join(outage.unnoticed)


def test_liveness_stays_good_during_an_outage(outage: OutageRecord) -> None:
    assert not outage.live, "; ".join(outage.live)


def test_readiness_comes_back_after_an_outage(outage: OutageRecord) -> None:
    assert not outage.lost, "; ".join(outage.lost)
