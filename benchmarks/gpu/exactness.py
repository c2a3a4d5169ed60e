"""The Triton kernels against fp64."""

from benchmarks.gpu.networks import DeviceNetwork
from benchmarks.gpu.report import Report
from masked_network.gpu_batch import GpuBatch
from masked_network.gpu_composition import GpuComposition
from masked_network.gpu_kernels import GpuKernels
from masked_network.one_pass_composition import COMPOSED_DTYPES
from training.studies.claims import at_most

_ROUNDED = {"fp32": 2**-23, "fp16": 2**-10, "bf16": 2**-8}
"""What an error may be, of the largest weight."""
_OF_LOGITS = 1e-5


def correctness(report: Report, kernels: GpuKernels, network: DeviceNetwork) -> None:
    """Composed weights and mixed logits against fp64."""
    of = f"{network.name}, {network.bank.kind} of {network.bank.size}"
    batch, inputs = network.batch(3, 5)
    one_pass = GpuComposition(network.weights, network.bank, kernels)
    exact = network.exact_weights(batch.coefficients[0])
    for kind in COMPOSED_DTYPES:
        made = one_pass(batch.coefficients[0], kind)
        error = max(
            float((made[name].double() - weight).abs().max() / weight.abs().max())
            for name, weight in exact.items()
        )
        # A sum over planes is rounded at each of them.
        bound = _ROUNDED[kind] * (1 if network.bank.disjoint else 4)
        report.claims.append(at_most(f"{of}: {kind} against fp64", error, bound, "of the largest"))
    logits = GpuBatch(network.backbone, network.weights, network.bank, kernels)(batch, inputs)
    expected = network.exact_logits(batch, inputs)
    error = float((logits - expected).abs().max() / (1 + expected.abs().max()))
    report.claims.append(
        at_most(f"{of}: mixed rows against fp64", error, _OF_LOGITS, "of the largest logit")
    )
