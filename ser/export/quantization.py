"""float32 graph -> int8 graph, in the way that suits what the graph consists of.

Knows nothing of folders of models, labels or emotions.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

MATRIX_OPERATORS = ("MatMul", "Gemm")
Inputs = Mapping[str, npt.NDArray[Any]]


def quantize(source: Path, target: Path, calibration: Iterable[Inputs] | None) -> str:
    """Write the int8 form of a graph.

    Matrix products (transformers) get int8 weights, and their activations are scaled anew for every call ("dynamic").
    onnxruntime has no quick dynamic convolution, so that convolutional graphs need scales that are fixed by what
    calibration showed ("static").

    Args:
        source: of the float32 graph.
        target: of the int8 graph.
        calibration: inputs such as the network will meet, for static quantisation; None quantises dynamically.

    Returns:
        `static` or `dynamic`.
    """
    graph = onnx.load(source)
    # Shapes that an exporter noted beforehand contradict those that quantisation infers.
    del graph.graph.value_info[:]
    # onnxruntime advises a preparation step through the root logger; here the graph is folded already.
    logging.getLogger().addFilter(_without_advice)
    try:
        if calibration is not None:
            quantize_static(
                graph,
                target,
                _Calibration(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", *MATRIX_OPERATORS],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return "static"
        quantize_dynamic(graph, target, op_types_to_quantize=list(MATRIX_OPERATORS), weight_type=QuantType.QInt8)
        return "dynamic"
    finally:
        logging.getLogger().removeFilter(_without_advice)


class _Calibration(CalibrationDataReader):
    def __init__(self, inputs: Iterable[Inputs]) -> None:
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """The next inputs, or None at the end."""
        given = next(self._inputs, None)
        return None if given is None else dict(given)


def _without_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
