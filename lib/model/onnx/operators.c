/* SPDX-License-Identifier: BSD-3-Clause */
#include "graph.h"

/* name, inputs at least and at most, outputs at most */
const struct operator_row operators[] = {
	{"Add", 2, 2, 1, op_add},
	{"Cast", 1, 1, 1, op_cast},
	{"Concat", 1, LODE_ONNX_MAX_ARITY, 1, op_concat},
	{"Constant", 0, 0, 1, op_constant},
	{"ConstantOfShape", 1, 1, 1, op_constant_of_shape},
	{"DequantizeLinear", 2, 3, 1, op_dequantize},
	{"Div", 2, 2, 1, op_div},
	{"Erf", 1, 1, 1, op_erf},
	{"Expand", 2, 2, 1, op_expand},
	{"Flatten", 1, 1, 1, op_flatten},
	{"Gather", 2, 2, 1, op_gather},
	{"Gelu", 1, 1, 1, op_gelu},
	{"Gemm", 2, 3, 1, op_gemm},
	{"Identity", 1, 1, 1, op_identity},
	{"LSTM", 3, 8, 3, op_lstm},
	{"LayerNormalization", 2, 3, 1, op_layer_norm},
	{"MatMul", 2, 2, 1, op_matmul},
	{"Mul", 2, 2, 1, op_mul},
	{"Pow", 2, 2, 1, op_pow},
	{"QuantizeLinear", 2, 3, 1, op_quantize},
	{"ReduceMean", 1, 2, 1, op_reduce_mean},
	{"Relu", 1, 1, 1, op_relu},
	{"Reshape", 2, 2, 1, op_reshape},
	{"Shape", 1, 1, 1, op_shape},
	{"Sigmoid", 1, 1, 1, op_sigmoid},
	{"Slice", 1, 5, 1, op_slice},
	{"Softmax", 1, 1, 1, op_softmax},
	{"Sqrt", 1, 1, 1, op_sqrt},
	{"Squeeze", 1, 2, 1, op_squeeze},
	{"Sub", 2, 2, 1, op_sub},
	{"Tanh", 1, 1, 1, op_tanh},
	{"Transpose", 1, 1, 1, op_transpose},
	{"Unsqueeze", 1, 2, 1, op_unsqueeze},
	{NULL},
};

const char *lode_onnx_operator(unsigned i)
{
	return i < LODE_ARRAY_LEN(operators) ? operators[i].name : NULL;
}
