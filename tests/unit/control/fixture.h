/* SPDX-License-Identifier: BSD-3-Clause */
/* Control without workers: its rings are played by the test. */
#pragma once

#include "control.h"

#include <criterion/criterion.h>

#define MS    LODE_NS_PER_MS
#define S     LODE_NS_PER_S

#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define BASE                                                                           \
	"version: 1\n"                                                                 \
	"ports:\n"                                                                     \
	"  - {name: lan0, role: lan, device: a, addresses: [10.1.0.1/24]}\n"           \
	"  - {name: wan0, role: wan, device: b, addresses: [192.0.2.1/24], gateway4: " \
	"192.0.2.254, up_mbps: 10}\n"
#define PEER(name, key, prefix)                                            \
	"  - {name: " name ", public_key: \"" key "\", prefixes: [" prefix \
	"], links: [{name: l, port: wan0, remote: \"198.51.100.7:51900\"}]}\n"

extern struct lode_err err;
extern struct lode_shared *shared;
extern struct lode_worker_rings rings;
extern struct lode_control *c;
extern unsigned n_resolves;

struct lode_prepared *prepare(const char *yaml);
void setup(void);
void teardown(void);
/* Control once more, with what the one before gave as its state. */
void restart(const char *yaml, const char *state);
union lode_choice choice_of(unsigned cls);
