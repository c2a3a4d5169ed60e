import pytest

from masked_network.backbones import build_backbone, masked_layers
from masked_network.layer_budget import er_budget, kept_share, uniform_budget

LAYERS = masked_layers(build_backbone("resnet-18-small", (3, 32, 32), 5))


@pytest.mark.parametrize(("scale", "share"), [(1, 0.0026), (8, 0.0201), (32, 0.0746)])
def test_er_scale_keeps_the_known_share_of_the_small_resnet(scale: float, share: float) -> None:
    assert kept_share(LAYERS, er_budget(LAYERS, scale)) == pytest.approx(share, abs=5e-5)


def test_er_budget_is_its_formula_and_never_more_than_half() -> None:
    budget = er_budget(LAYERS, 2)
    assert budget["stem.weight"] == 2 * (20 + 3) / (20 * 3 * 9)
    assert budget["classifier.weight"] == 2 * (5 + 160) / (5 * 160)
    assert max(er_budget(LAYERS, 1000).values()) == 0.5
    assert kept_share(LAYERS, er_budget(LAYERS, 1000)) == 0.5


def test_larger_layers_keep_a_smaller_share() -> None:
    budget = er_budget(LAYERS, 1)
    assert budget["stages.3.1.conv2.weight"] < budget["stages.0.0.conv1.weight"]


def test_uniform_budget_keeps_the_same_of_every_layer() -> None:
    budget = uniform_budget(LAYERS, 0.1)
    assert set(budget.values()) == {0.1}
    assert kept_share(LAYERS, budget) == pytest.approx(0.1)


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_scale_out_of_bounds_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="above 0, got"):
        er_budget(LAYERS, scale)
