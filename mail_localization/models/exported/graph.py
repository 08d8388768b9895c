"""Building ONNX graphs layer by layer from a model folder's tensors.

By hand and not by torch.onnx: that unrolls our GRU into thousands of nodes, and its exporter has been seen to give
other numbers for recurrent layers without a word. Every graph is compared with torch before it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.errors import importing
from mail_localization.models.artifact import Tensors

OPSET, IR_VERSION = 17, 8
"""LayerNormalization is there from opset 17 on, which ONNX Runtime reads since 1.12."""

Shape = Sequence[int | str]


class Graph:
    """A graph that grows node by node; every method returns the name of what it made."""

    def __init__(self, tensors: Tensors) -> None:
        with importing("exporting a network"):
            import onnx
        self._onnx = onnx
        self._tensors = tensors
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, shape: Shape, dtype: type = np.float32) -> str:
        """Declare an input; a name in its shape is a size of any value."""
        self._inputs.append(self._value(name, shape, dtype))
        return name

    def output(self, name: str, shape: Shape, kind: str, *inputs: str, **attributes: Any) -> None:
        """Append a node whose result is an output of that name."""
        self._node(kind, inputs, [name], attributes)
        self._outputs.append(self._value(name, shape, np.float32))

    def add(self, kind: str, *inputs: str, before: int = 0, **attributes: Any) -> str:
        """Append a node and return the name of its result, which lies behind `before` unused ones."""
        name = f"{kind}_{len(self._nodes)}"
        self._node(kind, inputs, ["" for _ in range(before)] + [name], attributes)
        return name

    def constant(self, values: npt.ArrayLike, dtype: type = np.float32) -> str:
        """Store values."""
        name = f"constant_{len(self._constants)}"
        array: npt.NDArray[Any] = np.array(values, dtype=dtype, order="C")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def tensor(self, name: str) -> npt.NDArray[np.float32]:
        """Return a tensor of the model folder."""
        return np.asarray(self._tensors[name], dtype=np.float32)

    def linear(self, x: str, layer: str) -> str:
        """Apply torch.nn.Linear of that name to (B, I)."""
        weight, bias = self.constant(self.tensor(f"{layer}.weight")), self.constant(self.tensor(f"{layer}.bias"))
        return self.add("Gemm", x, weight, bias, transB=1)

    def perceptron(self, x: str, layers: str) -> str:
        """Apply FC-PReLU-FC, whose parts are numbered 0 to 2."""
        slope = self.constant(self.tensor(f"{layers}.1.weight"))
        return self.linear(self.add("PRelu", self.linear(x, f"{layers}.0"), slope), f"{layers}.2")

    def layer_norm(self, x: str, size: int) -> str:
        """Subtract the mean of the last axis, of that size, and divide by the deviation, as torch.nn.LayerNorm does."""
        return self.add("LayerNormalization", x, self.constant(np.ones(size)), axis=-1, epsilon=1e-5)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps a size and -1 takes the rest."""
        return self.add("Reshape", x, self.constant(shape, np.int64))

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        """Cut the last axis into parts of these sizes."""
        names = [f"part_{len(self._nodes)}_{k}" for k in range(len(sizes))]
        self._node("Split", (x, self.constant(sizes, np.int64)), names, {"axis": -1})
        return names

    def position(self, x: str, output: str = "position") -> None:
        """Make the output (B, 2), m, of the linear layer `head` over (B, I), with the positions' mean and deviation."""
        spread, mean = self.tensor("position_std"), self.tensor("position_mean")
        weight = self.constant(self.tensor("head.weight") * spread)
        bias = self.constant(self.tensor("head.bias") * spread + mean)
        self.output(output, ["B", 2], "Gemm", x, weight, bias, transB=1)

    def model(self, name: str) -> bytes:
        """Return the checked graph, serialized."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        self._onnx.checker.check_model(model, full_check=True)
        serialized: bytes = model.SerializeToString()
        return serialized

    def _node(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]) -> None:
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), list(outputs), **attributes))

    def _value(self, name: str, shape: Shape, dtype: type) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, list(shape))
