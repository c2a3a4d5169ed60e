"""What the compiled library takes, as its C++ has it, by ctypes."""

import ctypes


class Layer(ctypes.Structure):
    """One linear layer as `impress_product` takes it; its tensor must be kept as long as it is."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("outputs", "terms", "entries")),
        ("constant", ctypes.c_float),
    ]


class LaneRoom(ctypes.Structure):
    """What `impress_kept_lanes` reads and writes; its arrays must be kept as long."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("inputs", "outputs", "origin", "coefficients")),
        *((name, ctypes.c_void_p) for name in ("tables", "task_of_row", "hidden", "scratch")),
        *((name, ctypes.c_int64) for name in ("table_stride", "hidden_stride")),
        *((name, ctypes.c_int64) for name in ("segments", "overlapping")),
    ]


class Convolution(ctypes.Structure):
    """One convolution of a `Step`; its tensors must be kept as long as it is used."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("codes", "offsets", "bases")),
        *((name, ctypes.c_int64) for name in ("outputs", "terms", "positions", "entries")),
        *((name, ctypes.c_int64) for name in ("channels", "height", "width", "padding")),
        *((name, ctypes.c_int64) for name in ("across", "stride")),
        ("constant", ctypes.c_float),
    ]


CONVOLVE, POOL, AVERAGE = range(3)
"""Kinds of a `Step`."""


class Step(ctypes.Structure):
    """What `impress_residual` does to a row next."""

    _fields_ = [
        ("layer", Convolution),
        *((name, ctypes.c_int64) for name in ("kind", "from_place", "to_place", "added")),
        *((name, ctypes.c_int64) for name in ("segment", "statistics", "relu")),
        ("epsilon", ctypes.c_float),
    ]


class OfTasks(ctypes.Structure):
    """What tasks bring, as `impress_residual` takes it; its tensors must be kept as long."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("tables", "means", "variances")),
        *((name, ctypes.c_int64) for name in ("table_stride", "segment_stride")),
        ("statistics_stride", ctypes.c_int64),
    ]


class RowLayer(ctypes.Structure):
    """One linear layer as `impress_few_rows` takes it; its tensors must be kept as long."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("masks", ctypes.c_void_p),
        ("origin", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("outputs", "terms", "entries", "high_bits")),
        *((name, ctypes.c_int64) for name in ("overlapping", "segment")),
        ("constant", ctypes.c_float),
    ]


class RowRoom(ctypes.Structure):
    """What `impress_kept_rows` reads and writes; its arrays must be kept as long."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("inputs", "outputs", "coefficients", "scratch")),
        *((name, ctypes.c_int64) for name in ("segment_stride", "widest")),
    ]


class DenseLayer(ctypes.Structure):
    """One linear layer as `impress_dense_rows` takes it; its tensor must be kept as long."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("outputs", ctypes.c_int64),
        ("terms", ctypes.c_int64),
    ]


class Kept(ctypes.Structure):
    """How tasks keep coefficients, as `impress_coefficients` takes it; its arrays must be kept."""

    _fields_ = [
        ("places", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("layers", "count", "entries", "task_bytes", "bits")),
    ]


FP32, FP16, BF16 = range(3)
"""What `impress_look_up_bytes` writes."""


class ByteCodes(ctypes.Structure):
    """One layer as `impress_look_up_bytes` takes it; its tensors must be kept as long."""

    _fields_ = [
        ("codes", ctypes.c_void_p),
        ("negative", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("count", "entries", "first", "to")),
        ("constant", ctypes.c_float),
    ]


class KeptGaussians(ctypes.Structure):
    """How tasks keep Gaussians, as `impress_likelihoods` takes it; its arrays must be kept."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("steps", "inverse_deviations", "log_deviations")),
        *((name, ctypes.c_void_p) for name in ("means", "precisions", "log_precisions")),
        ("regressions", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("count", "task_bytes")),
    ]
