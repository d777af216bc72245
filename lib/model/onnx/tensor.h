/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_onnx.h"
#include "protobuf.h"

/* Parses one TensorProto. False only when the wire format itself is broken. */
bool tensor_parse(struct pb m, struct lode_onnx_tensor *t);
