from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from masked_network.backbones import BACKBONES, build_backbone, forward, masked_layers
from masked_network.frozen_weights import signed_constant_weights
from masked_network.task_statistics import statistics_layers


def test_lenet_masks_its_three_weights_in_forward_order() -> None:
    layers = masked_layers(build_backbone("lenet-300-100", (1, 28, 28), 10))
    assert [(layer.name, layer.shape) for layer in layers] == [
        ("hidden1.weight", (300, 784)),
        ("hidden2.weight", (100, 300)),
        ("classifier.weight", (10, 100)),
    ]
    assert [layer.size for layer in layers] == [235_200, 30_000, 1_000]
    assert [layer.fan_in for layer in layers] == [784, 300, 100]


@pytest.mark.parametrize("name", ["lenet-300-100", "fc-1024-1024"])
def test_fully_connected_network_without_its_modules_gives_the_same_to_the_bit(name: str) -> None:
    backbone = build_backbone(name, (1, 4, 5), 10)
    weights = signed_constant_weights(masked_layers(backbone), 3)
    inputs = torch.randn(7, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    through_modules = functional_call(backbone, weights, (inputs,))
    assert torch.equal(forward(backbone, weights, inputs), through_modules)


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


@pytest.mark.parametrize(
    ("name", "input_shape", "outputs", "layers", "weights", "channels"),
    [
        ("lenet-300-100", (1, 28, 28), 10, 3, 266_200, 0),
        ("fc-1024-1024", (1, 28, 28), 10, 3, 1_861_632, 0),
        # SupSup's for SplitCIFAR100; 12 KB of statistics in fp32.
        ("resnet-18-small", (3, 32, 32), 5, 21, 1_090_940, 1_500),
        # torchvision's parameters, less biases, gammas and betas.
        ("resnet-18", (3, 224, 224), 1000, 21, 11_689_512 - 9_600 - 1_000, 4_800),
        ("resnet-50", (3, 224, 224), 1000, 54, 25_557_032 - 53_120 - 1_000, 26_560),
    ],
)
def test_backbones_have_the_published_sizes(
    name: str, input_shape: tuple[int, ...], outputs: int, layers: int, weights: int, channels: int
) -> None:
    backbone = build_backbone(name, input_shape, outputs)
    masked = masked_layers(backbone)
    assert len(masked) == layers
    assert sum(layer.size for layer in masked) == weights
    assert sum(layer.channels for layer in statistics_layers(backbone)) == channels


@pytest.mark.parametrize("name", BACKBONES)
def test_weights_are_all_that_is_masked_and_normalisation_learns_nothing(name: str) -> None:
    backbone = build_backbone(name, (3, 32, 32), 5)
    assert all(layer.name.endswith(".weight") for layer in masked_layers(backbone))
    assert all(len(layer.shape) in (2, 4) for layer in masked_layers(backbone))


def test_fan_in_of_a_convolution_is_channels_times_kernel_area() -> None:
    layers = masked_layers(build_backbone("resnet-18-small", (3, 32, 32), 5))
    assert layers[0].fan_in == 3 * 3 * 3
    shortcuts = [layer for layer in layers if layer.name.endswith("shortcut.weight")]
    assert [layer.fan_in for layer in shortcuts] == [20, 40, 80]
    stem = signed_constant_weights(layers, 1)["stem.weight"]
    torch.testing.assert_close(stem.abs(), torch.full((20, 3, 3, 3), (2 / 27) ** 0.5))


def composed_at_random(name: str, input_shape: tuple[int, ...], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    backbone = build_backbone(name, input_shape, 5)
    composed = signed_constant_weights(masked_layers(backbone), seed)
    for layer in statistics_layers(backbone):
        composed[layer.mean] = torch.randn(layer.channels, generator=generator) / 4
        composed[layer.variance] = torch.rand(layer.channels, generator=generator) + 0.5
    return composed


def written_out(
    composed: Mapping[str, Tensor], inputs: Tensor, blocks: tuple[int, ...], large_images: bool
) -> Tensor:
    """A residual network in plain functions, by the names of its tensors alone."""

    def normalised(hidden: Tensor, name: str) -> Tensor:
        mean, variance = composed[f"{name}.running_mean"], composed[f"{name}.running_var"]
        return batch_norm(hidden, mean, variance)

    stem = composed["stem.weight"]
    hidden = conv2d(inputs, stem, stride=2 if large_images else 1, padding=stem.shape[-1] // 2)
    hidden = normalised(hidden, "stem_norm").relu()
    if large_images:
        hidden = max_pool2d(hidden, 3, 2, 1)
    for stage, count in enumerate(blocks):
        for index in range(count):
            block = f"stages.{stage}.{index}"
            stride = 2 if stage > 0 and index == 0 else 1
            around = hidden
            if f"{block}.shortcut.weight" in composed:
                around = conv2d(hidden, composed[f"{block}.shortcut.weight"], stride=stride)
                around = normalised(around, f"{block}.shortcut_norm")
            if f"{block}.conv3.weight" in composed:
                steps = [("1", 1, 0), ("2", stride, 1), ("3", 1, 0)]
            else:
                steps = [("1", stride, 1), ("2", 1, 1)]
            for number, step, padding in steps:
                weight = composed[f"{block}.conv{number}.weight"]
                hidden = conv2d(hidden, weight, stride=step, padding=padding)
                hidden = normalised(hidden, f"{block}.norm{number}")
                hidden = hidden if (number, step, padding) == steps[-1] else hidden.relu()
            hidden = (hidden + around).relu()
    return hidden.mean(dim=(2, 3)) @ composed["classifier.weight"].T


@pytest.mark.parametrize(
    ("name", "blocks", "large_images"),
    [("resnet-18-small", (2, 2, 2, 2), False), ("resnet-50", (3, 4, 6, 3), True)],
)
def test_residual_forward_equals_the_network_written_out(
    name: str, blocks: tuple[int, ...], large_images: bool
) -> None:
    composed = composed_at_random(name, (3, 32, 32), 1)
    inputs = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    logits = forward(build_backbone(name, (3, 32, 32), 5), composed, inputs)
    expected = written_out(composed, inputs, blocks, large_images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_rows_of_a_batch_do_not_influence_each_other() -> None:
    composed = composed_at_random("resnet-18-small", (3, 16, 16), 1)
    backbone = build_backbone("resnet-18-small", (3, 16, 16), 5)
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(4, 3, 16, 16, generator=generator)
    other = torch.cat([inputs[:1], 100 * torch.randn(3, 3, 16, 16, generator=generator)])
    together = forward(backbone, composed, inputs)
    torch.testing.assert_close(forward(backbone, composed, other)[0], together[0])
    torch.testing.assert_close(forward(backbone, composed, inputs[:1])[0], together[0])


def test_training_mode_is_refused_as_it_would_couple_rows() -> None:
    backbone = build_backbone("resnet-18-small", (3, 16, 16), 5).train()
    with pytest.raises(ValueError, match="evaluation mode"):
        forward(backbone, {}, torch.zeros(1, 3, 16, 16))


def test_unknown_backbone_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'lenet'.*lenet-300-100"):
        build_backbone("lenet", (1, 28, 28), 10)


@pytest.mark.parametrize(("input_shape", "outputs"), [((1, 28), 0), ((), 10), ((1, 0), 10)])
def test_sizes_below_one_are_refused(input_shape: tuple[int, ...], outputs: int) -> None:
    with pytest.raises(ValueError, match="at least 1, got"):
        build_backbone("lenet-300-100", input_shape, outputs)


def test_flat_rows_are_refused_by_convolutions() -> None:
    with pytest.raises(ValueError, match=r"\(channels, height, width\), got \(784,\)"):
        build_backbone("resnet-18-small", (784,), 10)
