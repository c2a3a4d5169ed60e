import pytest
import torch

from masked_network.backbones import build_backbone, forward, masked_layers


def test_lenet_masks_its_three_weights_in_forward_order() -> None:
    layers = masked_layers(build_backbone("lenet-300-100", (1, 28, 28), 10))
    assert [(layer.name, layer.shape) for layer in layers] == [
        ("hidden1.weight", (300, 784)),
        ("hidden2.weight", (100, 300)),
        ("classifier.weight", (10, 100)),
    ]
    assert [layer.size for layer in layers] == [235_200, 30_000, 1_000]
    assert [layer.fan_in for layer in layers] == [784, 300, 100]


def test_backbone_holds_no_storage_for_its_weights() -> None:
    backbone = build_backbone("lenet-300-100", (1, 28, 28), 10)
    assert {parameter.device.type for parameter in backbone.parameters()} == {"meta"}


def test_forward_equals_the_network_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    backbone = build_backbone("lenet-300-100", (3, 2, 4), 7)
    one, two, three = (
        torch.randn(layer.shape, generator=generator) for layer in masked_layers(backbone)
    )
    weights = {"hidden1.weight": one, "hidden2.weight": two, "classifier.weight": three}
    inputs = torch.randn(5, 3, 2, 4, generator=generator)
    expected = ((inputs.flatten(1) @ one.T).relu() @ two.T).relu() @ three.T
    torch.testing.assert_close(forward(backbone, weights, inputs), expected)


def test_unknown_backbone_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lenet'.*lenet-300-100"):
        build_backbone("lenet", (1, 28, 28), 10)


@pytest.mark.parametrize(("input_shape", "outputs"), [((1, 28), 0), ((), 10), ((1, 0), 10)])
def test_sizes_below_one_are_refused(input_shape: tuple[int, ...], outputs: int) -> None:
    with pytest.raises(ValueError, match="at least 1, got"):
        build_backbone("lenet-300-100", input_shape, outputs)
