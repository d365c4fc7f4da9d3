"""float32 graph -> int8 graph. Knows nothing of folders of models, labels or emotions."""

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

MATRIX_OPERATORS = ("MatMul", "Gemm")


def quantize(source: Path, target: Path) -> None:
    """Write a graph with int8 weights of matrix products, whose activations are scaled anew for every call.

    Args:
        source: of the float32 graph.
        target: of the int8 graph.
    """
    graph = onnx.load(source)
    # Shapes that an exporter noted beforehand contradict those that quantisation infers.
    del graph.graph.value_info[:]
    # onnxruntime advises a preparation step through the root logger; here the graph is folded already.
    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_dynamic(graph, target, op_types_to_quantize=list(MATRIX_OPERATORS), weight_type=QuantType.QInt8)
    finally:
        logging.getLogger().removeFilter(_without_advice)


def _without_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
