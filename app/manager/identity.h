/* SPDX-License-Identifier: BSD-3-Clause */
/* Who this appliance is towards its manager: DIR/identity.pem (key and certificate) and DIR/ca.pem (whom it believes),
 * made by enrolment and kept young. */
#pragma once

#include "lode_base.h"

#define IDENTITY_FILE "identity.pem"

/* Asks a manager for a certificate with a one-time token, whose second half is the fingerprint of the authority that
 * may be believed. */
int identity_enroll(const char *url, const char *name, const char *token, const char *dir,
	struct lode_err *err);
/* Renews the certificate when two thirds of its life are over; *renewed says whether it did. */
int identity_renew(
	const char *url, const char *dir, int64_t now_ms, bool *renewed, struct lode_err *err);
/* DIR/NAME in path. */
void identity_path(const char *dir, const char *name, char path[512]);
