"""What an epoch of each way to learn a task takes, as a multiple of a dense network's.

OMP_NUM_THREADS says with how many threads; the claims are those for one and for two.
"""

import statistics
import sys

from training.studies.claims import claims_json
from training.studies.epoch_ratios import DENSE, epoch_seconds, ratio_claims


def main() -> int:
    """Measure, print, and say in the exit status whether the claims hold."""
    seconds = epoch_seconds()
    dense = statistics.median(seconds[DENSE])
    for name, measured in seconds.items():
        median = statistics.median(measured)
        print(
            f"{name}: median {median:.2f} s, {min(measured):.2f} to {max(measured):.2f}, "
            f"{median / dense:.2f} times the dense network's"
        )
    claims = ratio_claims(seconds)
    print(claims_json(claims).decode(), end="")
    return 0 if all(claim.holds for claim in claims) else 1


if __name__ == "__main__":
    sys.exit(main())
