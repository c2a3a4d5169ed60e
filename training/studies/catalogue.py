"""Every study of the report, in the order of the page. A new one gets its line here."""

from training.studies.belief import Belief
from training.studies.inference_catalogue import inference_studies
from training.studies.permuted import permuted
from training.studies.rotated import rotated
from training.studies.split_cifar import split_cifar
from training.studies.store_hashes import StoreHashes
from training.studies.study import Study
from training.studies.training_speed import TrainingSpeed
from training.studies.unknown_identity import UnknownIdentityStudy


def studies(full: bool) -> list[Study]:
    """The long ones, or what fits into minutes."""
    return [
        permuted(full),
        rotated(full),
        split_cifar(full),
        UnknownIdentityStudy(250, None) if full else UnknownIdentityStudy(50, 20),
        Belief(10 if full else 5),
        TrainingSpeed(),
        StoreHashes(),
    ]


def every_study(full: bool) -> list[Study]:
    """Those of both reports."""
    return [*studies(full), *inference_studies(full)]
