/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of all routes. */
#include "routes.h"

#include <stdlib.h>
#include <string.h>

const struct route routes[] = {
	{"GET", "/health", BOTH, LODE_ROLE_NONE, LODE_BODY_NONE, health_get, "Is it alive", ""},
	{"GET", "/openapi.json", V2, LODE_ROLE_NONE, LODE_BODY_NONE, openapi_get,
		"This description", ""},
	{"POST", "/devices", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, device_register,
		"Register a device", "id* name tags{} platform{}"},
	{"GET", "/devices", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, device_list, "Devices, a page",
		"limit# after"},
	{"GET", "/devices/*", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE, device_get, "One device", ""},
	{"DELETE", "/devices/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_NONE, device_delete,
		"Unregister a device and revoke its certificates", ""},
	{"POST", "/devices/*/heartbeat", BOTH, LODE_ROLE_DEVICE, LODE_BODY_JSON, device_heartbeat,
		"What a device runs; answers what it is to run",
		"current_model current_model_version status update_state last_update_result{} "
		"metrics{} platform{} poisoned[] gateway{} transfer{} relay_fault{}"},
	{"GET", "/fleets", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_list, "Fleets, a page",
		"limit# after"},
	{"POST", "/fleets", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_create, "Make a fleet",
		"id* name description default_strategy tags{}"},
	{"GET", "/fleets/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_get,
		"One fleet with its devices", ""},
	{"POST", "/fleets/*/devices/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_add,
		"Add a device", ""},
	{"DELETE", "/fleets/*/devices/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_NONE, fleet_remove,
		"Take a device out", ""},
	{"POST", "/fleets/*/deploy", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_deploy,
		"Start a campaign over the fleet", "model_id* model_version* strategy"},
	{"GET", "/fleets/*/status", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_status,
		"Devices by state", ""},
	{"GET", "/models", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, model_list, "Names of all models",
		"limit# after"},
	{"GET", "/models/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, model_get,
		"Versions of a model", ""},
	{"POST", "/models/*/versions/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_BLOB, version_upload,
		"Upload a version in one body", ""},
	{"DELETE", "/models/*/versions/*", V2, LODE_ROLE_ADMIN, LODE_BODY_NONE, version_delete,
		"Delete a version", ""},
	{"POST", "/models/*/versions/*/pin", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON, version_pin,
		"Keep, or no longer, whatever happens", "pinned?*"},
	{"POST", "/models/*/versions/*/release", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON,
		release_put, "Keep the signed release of a version",
		"release{}* roots[] delegation{}"},
	{"GET", "/models/*/versions/*/release", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE, release_get,
		"The signed release of a version", ""},
	{"GET", "/models/*/versions/*/download", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE,
		version_download, "The file, or a patch from X-Oxide-Base-Version", ""},
	{"GET", "/models/*/versions/*/meta", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE, version_meta,
		"Size and hash", ""},
	{"GET", "/models/*/versions/*/plan", V2, LODE_ROLE_DEVICE, LODE_BODY_NONE, version_plan,
		"What to fetch for it: the file, a patch or several, whichever is fewest bytes",
		"base base_sha256 seal_key"},
	{"GET", "/blobs/*", V2, LODE_ROLE_DEVICE, LODE_BODY_NONE, blob_get,
		"Bytes by their SHA-256; they never change", ""},
	{"POST", "/uploads", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON, upload_create,
		"Begin an upload that can be continued", "model_id* version* sha256*"},
	{"GET", "/uploads/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_NONE, upload_get,
		"How much is here", ""},
	{"PUT", "/uploads/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_BLOB, upload_append,
		"Append at Upload-Offset; Upload-Complete: ?1 ends", ""},
	{"POST", "/campaigns", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, campaign_create,
		"Start a campaign",
		"model_id* model_version* fleet_id* strategy stages[] batch# success_percent# "
		"error_percent# error_count# rollback? approval? dynamic? max_attempts# retry_s# "
		"retry_classes[] "
		"device_timeout_s# window_from_min# window_to_min#"},
	{"GET", "/campaigns", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, campaign_list,
		"Campaigns, a page", "limit# after"},
	{"GET", "/campaigns/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, campaign_get,
		"A campaign with every device", ""},
	{"GET", "/campaigns/*/devices", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, campaign_devices,
		"Its devices, a page", "limit# after"},
	{"POST", "/campaigns/*/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, campaign_verb,
		"pause, resume, abort or approve", ""},
	{"POST", "/tokens", V2, LODE_ROLE_ADMIN, LODE_BODY_JSON, token_create,
		"Make an access token", "name* role* ttl_s#"},
	{"GET", "/tokens", V2, LODE_ROLE_ADMIN, LODE_BODY_NONE, token_list,
		"Access tokens without their secrets, a page", "limit# after"},
	{"DELETE", "/tokens/*", V2, LODE_ROLE_ADMIN, LODE_BODY_NONE, token_delete,
		"Take a token out", ""},
	{"GET", "/ca", V2, LODE_ROLE_NONE, LODE_BODY_NONE, ca_get,
		"The authority's certificate and its SHA-256", ""},
	{"POST", "/enrolments", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON, enrolment_create,
		"Make a one-time token for an appliance or an operator", "name* role ttl_s#"},
	{"POST", "/enrol", V2, LODE_ROLE_NONE, LODE_BODY_JSON, enrol,
		"A certificate for a one-time token and a request", "token* csr*"},
	{"POST", "/renew", V2, LODE_ROLE_DEVICE, LODE_BODY_JSON, certificate_renew,
		"A new certificate for who comes with one", "csr*"},
	{"GET", "/certificates", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, certificate_list,
		"Certificates, a page", "limit# after"},
	{"POST", "/certificates/*/revoke", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON,
		certificate_revoke, "Refuse a certificate from now on", ""},
	{"GET", "/audit", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, audit_get,
		"The audit log and whether its chain holds", "after#"},
};
const size_t n_routes = LODE_ARRAY_LEN(routes);

/* Splits copy at its slashes and compares with the route; names go to parts. */
static bool match(const char *pattern, char *copy, const char *parts[PARTS_MAX])
{
	unsigned n = 0;
	char *save_path = NULL;
	for (char *part = strtok_r(copy, "/", &save_path);;
		part = strtok_r(NULL, "/", &save_path)) {
		while (*pattern == '/')
			pattern++;
		if (!part || !*pattern)
			return !part && !*pattern;
		size_t len = strcspn(pattern, "/");
		if (len == 1 && *pattern == '*') {
			if (!id_ok(part) || n == PARTS_MAX)
				return false;
			parts[n++] = part;
		} else if (strlen(part) != len || strncmp(part, pattern, len)) {
			return false;
		}
		pattern += len;
	}
}

/* Where the path goes on below the API's root, and which face is meant; NULL when it is not ours. */
static const char *below_root(const char *path, int *version)
{
	*version = !strncmp(path, "/api/v1/", 8) ? V1 : !strncmp(path, "/api/v2/", 8) ? V2 : 0;
	return *version ? path + 7 : NULL;
}

/* The route of a path; copy holds the parts and is freed by the caller. *other: the path exists under another
 * method. */
const struct route *route_find(const char *method, const char *path, char **copy,
	const char *parts[PARTS_MAX], int *version, bool *other)
{
	const char *below = below_root(path, version);
	*copy = NULL;
	*other = false;
	for (size_t i = 0; below && i < n_routes; i++) {
		const struct route *r = &routes[i];
		if (!(r->versions & *version))
			continue;
		free(*copy);
		*copy = strdup(below);
		if (!*copy || !match(r->path, *copy, parts))
			continue;
		if (!strcmp(method, r->method) ||
			(!strcmp(method, "HEAD") && !strcmp(r->method, "GET")))
			return r;
		*other = true;
	}
	return NULL;
}

enum lode_api_body lode_api_body(const char *method, const char *path)
{
	const char *parts[PARTS_MAX];
	char *copy;
	int version;
	bool other;
	const struct route *r = route_find(method, path, &copy, parts, &version, &other);
	free(copy);
	return r ? r->body : LODE_BODY_NONE;
}
