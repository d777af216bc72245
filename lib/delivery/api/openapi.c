/* SPDX-License-Identifier: BSD-3-Clause */
/* The description of /api/v2 that the manager serves (OpenAPI 3.0.3), made from the table of routes. */
#include "routes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* One word of a route's members: name, type, needed. */
static bool next_member(const char **at, char name[64], const char **type, bool *needed)
{
	*at += strspn(*at, " ");
	size_t len = strcspn(*at, " "), n = strcspn(*at, " #?{[*");
	if (!len || n >= 64)
		return false;
	memcpy(name, *at, n);
	name[n] = 0;
	char mark = n < len ? (*at)[n] : 0;
	*type = mark == '#'   ? "integer"
		: mark == '?' ? "boolean"
		: mark == '{' ? "object"
		: mark == '[' ? "array"
			      : "string";
	*needed = (*at)[len - 1] == '*';
	*at += len;
	return true;
}

static json_t *schema_of(const char *type)
{
	json_t *s = json_pack("{s:s}", "type", type);
	if (!strcmp(type, "array"))
		json_object_set_new(s, "items", json_object());
	return s;
}

static json_t *body_schema(const char *members)
{
	json_t *properties = json_object(), *required = json_array();
	char name[64];
	const char *type;
	bool needed;
	while (next_member(&members, name, &type, &needed)) {
		json_object_set_new(properties, name, schema_of(type));
		if (needed)
			json_array_append_new(required, json_string(name));
	}
	json_t *s = json_pack("{s:s,s:o}", "type", "object", "properties", properties);
	if (json_array_size(required))
		json_object_set(s, "required", required);
	json_decref(required);
	return s;
}

static json_t *request_body(const struct route *r)
{
	if (r->body == LODE_BODY_BLOB)
		return json_pack("{s:b,s:{s:{s:{s:s,s:s}}}}", "required", 1, "content",
			"application/octet-stream", "schema", "type", "string", "format", "binary");
	return json_pack("{s:b,s:{s:{s:o}}}", "required", strchr(r->members, '*') != NULL,
		"content", "application/json", "schema", body_schema(r->members));
}

/* What a component "*" of a path names: the one before it, in the singular. */
static void parameter_name(const char *before, size_t len, char name[64])
{
	size_t n = LODE_MIN(len, 60);
	memcpy(name, before, n);
	name[n] = 0;
	if (n && name[n - 1] == 's')
		name[n - 1] = 0;
	if (!n || name[0] == '*')
		strcpy(name, "verb");
}

/* A route's path with its names in braces: /fleets/{fleet}. They are appended to the parameters. */
static void describe_path(const char *path, char out[200], json_t *parameters)
{
	const char *before = path, *p = path;
	size_t before_len = 0, n = 0;
	while (*p) {
		size_t len = strcspn(++p, "/");
		char name[64];
		if (len == 1 && *p == '*') {
			parameter_name(before, before_len, name);
			n += (size_t)snprintf(out + n, 200 - n, "/{%s}", name);
			json_array_append_new(parameters,
				json_pack("{s:s,s:s,s:b,s:o}", "name", name, "in", "path",
					"required", 1, "schema", schema_of("string")));
		} else {
			n += (size_t)snprintf(out + n, 200 - n, "/%.*s", (int)len, p);
		}
		before = p;
		before_len = len;
		p += len;
	}
}

static void add_query(const struct route *r, json_t *parameters)
{
	const char *at = r->members, *type;
	char name[64];
	bool needed;
	while (!strcmp(r->method, "GET") && next_member(&at, name, &type, &needed))
		json_array_append_new(parameters, json_pack("{s:s,s:s,s:o}", "name", name, "in",
							  "query", "schema", schema_of(type)));
}

static json_t *responses(const struct route *r)
{
	json_t *all = json_pack("{s:{s:s},s:{s:s,s:{s:{s:{s:s}}}}}", "2XX", "description", "done",
		"default", "description", "error", "content", "application/json", "schema", "$ref",
		"#/components/schemas/Error");
	if (r->role != LODE_ROLE_NONE) {
		json_object_set_new(
			all, "401", json_pack("{s:s}", "description", "an identity is needed"));
		json_object_set_new(all, "403",
			json_pack("{s:s+}", "description", "less than ",
				lode_api_role_name(r->role)));
	}
	return all;
}

static void describe(json_t *paths, const struct route *r)
{
	char path[200] = "", method[16] = "";
	json_t *parameters = json_array();
	describe_path(r->path, path, parameters);
	add_query(r, parameters);
	json_t *op = json_pack("{s:s,s:s,s:o,s:o}", "summary", r->about, "x-role",
		lode_api_role_name(r->role), "parameters", parameters, "responses", responses(r));
	if (r->role == LODE_ROLE_NONE)
		json_object_set_new(op, "security", json_array());
	if (r->body != LODE_BODY_NONE && (r->body == LODE_BODY_BLOB || *r->members))
		json_object_set_new(op, "requestBody", request_body(r));
	for (size_t i = 0; r->method[i] && i + 1 < sizeof(method); i++)
		method[i] = (char)tolower((unsigned char)r->method[i]);
	json_t *item = json_object_get(paths, path);
	if (!item) {
		item = json_object();
		json_object_set_new(paths, path, item);
	}
	json_object_set_new(item, method, op);
}

void openapi_get(struct call *c)
{
	json_t *paths = json_object();
	for (size_t i = 0; i < n_routes; i++)
		if (routes[i].versions & V2)
			describe(paths, &routes[i]);
	answer(c, 200,
		json_pack("{s:s,s:{s:s,s:s},s:[{s:s}],s:o,s:{s:{s:{s:s},s:{s:s,s:s}},s:{s:{s:s,s:{"
			  "s:{s:s,s:{"
			  "s:{s:s},s:{s:s}}}}}}},s:[{s:[]},{s:[]}]}",
			"openapi", "3.0.3", "info", "title", "Lodestone manager", "version", "2",
			"servers", "url", "/api/v2", "paths", paths, "components",
			"securitySchemes", "certificate", "type", "mutualTLS", "token", "type",
			"http", "scheme", "bearer", "schemas", "Error", "type", "object",
			"properties", "error", "type", "object", "properties", "status", "type",
			"integer", "message", "type", "string", "security", "certificate",
			"token"));
}
