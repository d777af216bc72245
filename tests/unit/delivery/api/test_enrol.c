/* SPDX-License-Identifier: BSD-3-Clause */
/* From a one-time token to a certificate, and its end. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(enrol, .init = world_up, .fini = world_down);

static const struct lode_api_identity admin = {LODE_ROLE_ADMIN, "root"};

static void enrolment(const char *body, char token[200])
{
	world.who = admin;
	cr_assert_eq(ask("POST", "/api/v2/enrolments", body), 201, "%s", world.reply.body);
	snprintf(token, 200, "%s", said("token"));
}

/* Sends a request for a certificate; the status. The key is dropped. */
static int send_csr(const char *path, const char *token)
{
	char *key, *csr;
	struct lode_err err;
	cr_assert_eq(lode_ca_request("whoever", &key, &csr, &err), 0);
	json_t *body = json_pack("{s:s,s:s}", "token", token, "csr", csr);
	char *text = json_dumps(body, 0);
	int status = ask("POST", path, text);
	json_decref(body);
	free(text), free(key), free(csr);
	return status;
}

static int send_enrol(const char *token)
{
	world.who = (struct lode_api_identity){LODE_ROLE_NONE, ""};
	int status = send_csr("/api/v2/enrol", token);
	world.who = admin;
	return status;
}

static bool known(const char *serial, struct lode_api_identity *who)
{
	*who = (struct lode_api_identity){0};
	return lode_api_certificate_identity(world.api, serial, world.now_ms, who);
}

Test(enrol, a_token_works_once)
{
	char token[200], serial[LODE_CA_SERIAL_HEX];
	struct lode_api_identity who;
	enrolment("{\"name\":\"edge-1\"}", token);
	cr_assert_eq(strlen(token), 48 + 1 + 64);
	cr_assert_eq(send_enrol("guess"), 403);
	cr_assert_eq(send_enrol(token), 201, "%s", world.reply.body);
	snprintf(serial, sizeof(serial), "%s", said("serial"));
	cr_assert_eq(send_enrol(token), 403);
	world_restart();
	cr_assert(known(serial, &who));
	cr_assert_eq(who.role, LODE_ROLE_DEVICE);
	cr_assert_str_eq(who.name, "edge-1");
	cr_assert_eq(ask("GET", "/api/v2/devices/edge-1", NULL), 200, "it is registered");
	cr_assert_eq(ask("POST", "/api/v2/devices/edge-1/heartbeat", "{}"), 200);
	cr_assert(json_is_null(json_object_get(world.json, "assigned_model")));
}

Test(enrol, a_bad_request_does_not_use_the_token_up)
{
	char token[200], body[300];
	enrolment("{\"name\":\"edge-1\"}", token);
	snprintf(body, sizeof(body), "{\"token\":\"%s\",\"csr\":\"nonsense\"}", token);
	world.who = (struct lode_api_identity){LODE_ROLE_NONE, ""};
	cr_assert_eq(ask("POST", "/api/v2/enrol", body), 400);
	cr_assert_eq(send_enrol(token), 201);
}

Test(enrol, a_token_ends_by_itself)
{
	char token[200];
	enrolment("{\"name\":\"edge-1\",\"ttl_s\":60}", token);
	world.now_ms += 60000;
	cr_assert_eq(send_enrol(token), 403);
}

Test(enrol, nobody_makes_more_than_he_is)
{
	world.who = (struct lode_api_identity){LODE_ROLE_OPERATOR, "ann"};
	cr_assert_eq(ask("POST", "/api/v2/enrolments", "{\"name\":\"x\",\"role\":\"admin\"}"), 403);
	cr_assert_eq(
		ask("POST", "/api/v2/enrolments", "{\"name\":\"x\",\"role\":\"viewer\"}"), 201);
	cr_assert_eq(ask("POST", "/api/v2/enrolments", "{\"name\":\"x\",\"role\":\"king\"}"), 400);
	cr_assert_eq(ask("POST", "/api/v2/enrolments", "{\"name\":\"x\",\"ttl_s\":-1}"), 400);
}

Test(enrol, revoked_and_expired_certificates_are_nobody)
{
	char token[200], serial[LODE_CA_SERIAL_HEX], path[100];
	struct lode_api_identity who;
	enrolment("{\"name\":\"edge-1\"}", token);
	send_enrol(token);
	snprintf(serial, sizeof(serial), "%s", said("serial"));
	int64_t then = world.now_ms;
	world.now_ms += INT64_C(91) * 86400000;
	cr_assert_not(known(serial, &who));
	world.now_ms = then;
	cr_assert(known(serial, &who));
	snprintf(path, sizeof(path), "/api/v2/certificates/%s/revoke", serial);
	cr_assert_eq(ask("POST", path, NULL), 200);
	world_restart();
	cr_assert_not(known(serial, &who));
	cr_assert_eq(who.role, LODE_ROLE_NONE);
	cr_assert_not(known("0123456789ABCDEF0123456789ABCDEF", &who), "signed elsewhere");
	cr_assert_not(known("", &who));
}

Test(enrol, a_device_that_enrols_again_or_leaves_loses_its_old_certificate)
{
	char token[200], first[LODE_CA_SERIAL_HEX], second[LODE_CA_SERIAL_HEX];
	struct lode_api_identity who;
	enrolment("{\"name\":\"edge-1\"}", token);
	send_enrol(token);
	snprintf(first, sizeof(first), "%s", said("serial"));
	enrolment("{\"name\":\"edge-1\"}", token);
	send_enrol(token);
	snprintf(second, sizeof(second), "%s", said("serial"));
	cr_assert_not(known(first, &who));
	cr_assert(known(second, &who));
	cr_assert_eq(ask("DELETE", "/api/v1/devices/edge-1", NULL), 200);
	cr_assert_not(known(second, &who));
}

Test(enrol, renewal_needs_a_certificate_and_keeps_who_it_is)
{
	char token[200], serial[LODE_CA_SERIAL_HEX];
	struct lode_api_identity who;
	enrolment("{\"name\":\"ann\",\"role\":\"viewer\"}", token);
	send_enrol(token);
	cr_assert(known(said("serial"), &who));
	world.who = (struct lode_api_identity){LODE_ROLE_VIEWER, "ann"};
	cr_assert_eq(send_csr("/api/v2/renew", ""), 403, "a token is no certificate");
	world.who = who;
	cr_assert_eq(send_csr("/api/v2/renew", ""), 201);
	snprintf(serial, sizeof(serial), "%s", said("serial"));
	cr_assert_str_neq(serial, who.serial);
	cr_assert(known(serial, &who));
	cr_assert_eq(who.role, LODE_ROLE_VIEWER);
	cr_assert_str_eq(who.name, "ann");
}

Test(enrol, the_authority_is_told_with_its_fingerprint)
{
	char sha256[LODE_CA_SHA256_HEX], token[200];
	struct lode_err err;
	enrolment("{\"name\":\"edge-1\"}", token);
	world.who = (struct lode_api_identity){LODE_ROLE_NONE, ""};
	cr_assert_eq(ask("GET", "/api/v2/ca", NULL), 200);
	cr_assert_eq(lode_ca_fingerprint(said("certificate"), sha256, &err), 0);
	cr_assert_str_eq(sha256, said("sha256"));
	cr_assert_str_eq(sha256, strchr(token, '.') + 1);
}
