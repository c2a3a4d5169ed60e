"""What a new store's bank is made of, and which of it cannot be. Makes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from masked_network.backbones import MaskedLayer
from masked_network.layer_budget import kept_share
from masked_network.mask_bank import BankKind, Spread
from training.budgets import DEFAULT_LEARNED_DENSITY, layer_budget
from training.errors import OptionError

DEFAULT_RANDOM_DENSITY = 0.05

_MOST_ATOMS = 1 << 15


@dataclass(frozen=True)
class BankOptions:
    """What a new store is made of. `seed` gives the weights and what is random in the bank."""

    kind: BankKind = "partition"
    size: int = 256
    """K, the coefficients of a layer; of atoms, 2 to the number of impressions that overlap."""
    density: float | None = None
    """Share of the weights that a mask keeps, of a mixed bank a random one; None is the default of
    the kind. Learned impressions of a mixed bank keep half, or what `er_scale` says."""
    seed: int = 0
    backbone: str = "lenet-300-100"
    outputs: int = 10
    er_scale: float | None = None
    """Learned impressions keep of each layer what `er_budget` says, instead of one density."""
    learned: int | None = None
    """How many basis masks of a mixed bank are learned, the first ones; or how many tasks a ranked
    bank is learned from."""
    spread: Spread = "even"
    """How the groups of a partition or ranked bank are spread over the layers."""
    own_layers: tuple[str, ...] = ()
    """Layers in which the tasks that a ranked bank is learned from share nothing."""
    channel_groups: int = 1
    """In how many segments each layer's output channels are cut."""

    @property
    def impressions(self) -> int:
        """How many masks the bank is made of, as `MaskBank` counts them."""
        return self.size.bit_length() - 1 if self.kind == "atoms" else self.size

    @property
    def to_learn(self) -> int:
        """How many of those are learned; none where the bank comes from its seed."""
        if self.kind in ("partition", "random"):
            return 0
        return self.impressions if self.learned is None else self.learned

    def check(self) -> None:
        """Raise `OptionError` on options that contradict each other, or are out of bounds."""
        if self.kind == "atoms" and (
            self.size.bit_count() != 1 or not 1 < self.size <= _MOST_ATOMS
        ):
            raise OptionError(
                f"n impressions overlap in 2^n ways: atoms come in powers of two from 2 to "
                f"{_MOST_ATOMS}, got {self.size}"
            )
        if (self.kind in ("mixed", "ranked")) != (self.learned is not None):
            raise OptionError(
                "a mixed bank, and no other, has a number of masks to learn, and a ranked one of "
                "tasks to learn from: give --learned"
            )
        self._check_groups()
        if self.kind == "mixed" and self.learned is not None and not 1 <= self.learned < self.size:
            raise OptionError(
                f"a mixed bank of {self.size} has 1 to {self.size - 1} learned masks, "
                f"got {self.learned}"
            )
        if self.er_scale is not None and (self.kind == "ranked" or not self.to_learn):
            raise OptionError(
                f"an ER budget is for learned impressions, not for a {self.kind} bank"
            )

    def _check_groups(self) -> None:
        if self.spread != "even" and self.kind not in ("partition", "ranked"):
            raise OptionError(f"groups have a spread, a {self.kind} bank has none")
        if self.kind != "ranked":
            if self.own_layers:
                raise OptionError(f"own layers are for a ranked bank, not a {self.kind} one")
            return
        if self.learned is not None and self.learned < 1:
            raise OptionError(f"a ranked bank is learned from at least 1 task, got {self.learned}")
        if self.channel_groups != 1:
            raise OptionError("a ranked bank has one channel group a layer")

    def resolved_density(self) -> float:
        """The density itself, where one is for every layer. Raises `OptionError`."""
        if self.kind in ("partition", "ranked"):
            if self.density is not None:
                raise OptionError(
                    f"each of {self.size} disjoint masks has density 1/{self.size}; give none"
                )
            return 1 / self.size
        random = self.kind in ("random", "mixed")
        default = DEFAULT_RANDOM_DENSITY if random else DEFAULT_LEARNED_DENSITY
        density = default if self.density is None else self.density
        if not 0 < density <= 1:
            raise OptionError(f"density is the share kept, in (0, 1], got {density}")
        return density

    def learned_density(self) -> float | None:
        """The density asked for of a learned impression, if any."""
        return None if self.kind == "mixed" else self.density

    def recorded_density(self, layers: Sequence[MaskedLayer]) -> float:
        """What the bank says of its density. Raises `OptionError`."""
        if self.er_scale is None or self.kind == "mixed":
            return self.resolved_density()
        return kept_share(layers, layer_budget(layers, self.density, self.er_scale))
