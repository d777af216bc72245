/* SPDX-License-Identifier: BSD-3-Clause */
#include "graph.h"

#include <stdlib.h>

const struct lode_onnx_array *lode_onnx_graph_input(const struct lode_onnx_graph *g, unsigned i)
{
	return i < g->n_inputs ? &g->inputs[i] : NULL;
}

const struct lode_onnx_array *lode_onnx_graph_output(const struct lode_onnx_graph *g, unsigned i)
{
	return i < g->n_outputs ? &g->outputs[i] : NULL;
}

unsigned lode_onnx_graph_n_nodes(const struct lode_onnx_graph *g)
{
	return g->n_nodes;
}

uint64_t lode_onnx_graph_n_params(const struct lode_onnx_graph *g)
{
	return g->n_params;
}

static const char *value_name(const struct lode_onnx_graph *g, int idx)
{
	return idx == NO_VALUE ? "" : g->values[idx].name;
}

bool lode_onnx_graph_node(
	const struct lode_onnx_graph *g, unsigned i, struct lode_onnx_node_view *view)
{
	if (i >= g->n_nodes)
		return false;
	const struct node *n = &g->nodes[i];
	*view = (struct lode_onnx_node_view){.op = n->op->name, .n_in = n->n_in, .n_out = n->n_out};
	for (unsigned k = 0; k < LODE_ONNX_MAX_ARITY; k++) {
		view->in[k] = value_name(g, k < n->n_in ? n->in[k] : NO_VALUE);
		view->out[k] = value_name(g, k < n->n_out ? n->out[k] : NO_VALUE);
	}
	return true;
}

int64_t lode_onnx_node_int(
	const struct lode_onnx_graph *g, unsigned i, const char *attribute, int64_t missing)
{
	return attr_int(&g->nodes[i], attribute, missing);
}

float lode_onnx_node_float(
	const struct lode_onnx_graph *g, unsigned i, const char *attribute, float missing)
{
	return attr_float(&g->nodes[i], attribute, missing);
}

const struct lode_onnx_array *lode_onnx_graph_constant(
	const struct lode_onnx_graph *g, const char *name)
{
	int idx = values_find(g, name);
	const struct value *v = idx == NO_VALUE ? NULL : &g->values[idx];
	return v && v->constant && !v->array.integer ? &v->view : NULL;
}
