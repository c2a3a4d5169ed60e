from training.studies.epoch_ratios import BOUNDS, DENSE, ratio_claims


def test_medians_are_held_against_the_dense_networks() -> None:
    seconds = {DENSE: [1.0, 1.0, 9.0]} | {
        name: [bound, bound, 0.1] for name, bound in BOUNDS.items()
    }
    claims = ratio_claims(seconds)
    assert all(claim.holds for claim in claims)
    assert [claim.measured for claim in claims] == list(BOUNDS.values())
    slower = ratio_claims(seconds | {DENSE: [0.9]})
    assert not any(claim.holds for claim in slower)


def test_what_was_not_measured_is_claimed_and_does_not_hold() -> None:
    claims = ratio_claims({})
    assert len(claims) == len(BOUNDS)
    assert not any(claim.holds for claim in claims)
