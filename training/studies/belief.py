"""The belief over a store's tasks after one image, and how often the right task leads it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from training.coefficients import CoefficientRecipe
from training.continual import plan_tasks, publish_tasks, unpublished
from training.evaluation import known_tasks
from training.fitting import FitOptions
from training.inference_trials import trial_entropies, trial_inputs
from training.stores import StoreChoices, create_store, open_store
from training.studies.claims import Claim
from training.studies.figures import belief_figure
from training.studies.jobs import STORES_FOLDER
from training.studies.ledger import Asked
from training.studies.study import Bench, Section
from training.task_streams import TaskStream
from training.threads import use_threads_that_help

DATA = "mnist"
STREAM = TaskStream("permuted")
CHOICES = StoreChoices(kind="partition", seed=0)
RECIPE = CoefficientRecipe(FitOptions(3, 0.1, exposure=0.5))
TRIALS = 50


@dataclass(frozen=True)
class Belief:
    """Tasks of Permuted MNIST in one store, learned with outlier exposure.

    The belief is ours: the softmax over tasks of the negative entropy, in nats, of their answers.
    """

    tasks: int
    name: str = "belief"
    title: str = "The belief over tasks"
    parts: Sequence[str] = (DATA,)
    timed: bool = False

    def run(self, bench: Bench, part: str) -> None:
        image_set = bench.data.load(part)
        fingerprint = bench.data.fingerprint(part)
        if image_set is None or fingerprint is None:
            return
        asked = self._asked(fingerprint)
        if bench.ledger.find(asked) is not None:
            return
        folder = bench.folder / STORES_FOLDER / f"{self.name}-{fingerprint[-16:]}"
        store = open_store(folder, bench.device) or create_store(
            folder, CHOICES, image_set, STREAM, lambda _: RECIPE.fit, device=bench.device
        )
        use_threads_that_help(store.network)
        planned = plan_tasks(image_set, STREAM, range(self.tasks), lambda _: RECIPE)
        publish_tasks(
            store,
            unpublished(store, planned),
            lambda task: bench.say(f"{self.name}: learning {task.task_id}"),
        )
        known, _ = known_tasks(store, image_set, self.tasks)
        inputs = torch.stack([trial_inputs(store.network, task, TRIALS) for task in known])
        relative = trial_entropies(store.network, known, inputs[:, :, :1])[..., 0]
        entropies = relative * math.log(len(image_set.classes))  # nats, [candidate, T, trials]
        belief = (-entropies).softmax(dim=0).mean(dim=2).T  # [T, candidate]
        right = entropies.argmin(dim=0) == torch.arange(self.tasks).unsqueeze(1)
        got = {
            "belief": [[round(share, 4) for share in row] for row in belief.tolist()],
            "named": float(right.to(torch.float32).mean()),
        }
        bench.ledger.add(asked, got)
        bench.say(f"{self.name}: the right one of {self.tasks} tasks leads in {got['named']:.1%}")

    def section(self, bench: Bench) -> Section:
        fingerprint = bench.data.fingerprint(DATA)
        entry = None if fingerprint is None else bench.ledger.find(self._asked(fingerprint))
        text = (
            f"{self.tasks} tasks of Permuted MNIST in one store: a {CHOICES.kind}, "
            f"outlier exposure {RECIPE.fit.exposure:g}, epochs: {RECIPE.fit.epochs}. A row is the "
            f"mean belief after one test image of its task, over {TRIALS} images: the softmax over "
            "tasks of the negative entropy of their answers, in nats."
        )
        claims: list[Claim] = []
        if entry is None:
            return Section(f"{text}\n\nNot measured.", claims)
        figure, names = f"{self.name}.png", [str(index) for index in range(self.tasks)]
        words = (
            f"The task of the image has the least entropy in {entry.got['named']:.1%} of trials."
        )
        return Section(
            f"{text}\n\n{words}\n\n![Belief over tasks]({figure})",
            claims,
            {figure: belief_figure(self.title, entry.got["belief"], names)},
            frozenset({entry.machine}),
        )

    def _asked(self, fingerprint: str) -> Asked:
        return {
            "study": self.name,
            "fingerprint": fingerprint,
            "stream": asdict(STREAM),
            "tasks": self.tasks,
            "trials": TRIALS,
            "store": asdict(CHOICES),
            "recipe": dict(RECIPE.provenance()),
        }
