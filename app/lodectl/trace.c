/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl trace: packets on their way through a running gateway. The gateway records, this file asks, puts the
 * records of one packet together and says them in words. */
#include "lodectl.h"

#include <stdlib.h>
#include <unistd.h>

#define ASK_EVERY_US 100000
#define QUIET_ROUNDS 5 /* after the end: packets may still wait in a queue */

struct tracing {
	struct lodectl *ctl;
	json_int_t serial;
	unsigned n_wanted, n_done;
	json_int_t round; /* of reading */
	json_t *packets;  /* by number: records, and the round that brought the last one */
	json_t *finished; /* with -j: all packets */
};

static const char *text_of(const json_t *record, const char *key)
{
	const char *text = json_string_value(json_object_get(record, key));
	return text ? text : "";
}

static json_int_t number_of(const json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

/* ---- one packet in words ---- */

static void print_head(unsigned number, const json_t *records)
{
	const json_t *first = json_array_get(records, 0), *r = first;
	size_t i;
	json_array_foreach(records, i, r) if (*text_of(r, "src")) break;
	if (!r)
		r = first;
	printf("packet %u: %s %s > %s, %" JSON_INTEGER_FORMAT " bytes, in by %s\n", number,
		text_of(r, "proto"), text_of(r, "src"), text_of(r, "dst"), number_of(r, "bytes"),
		text_of(r, "port"));
}

static void what_happened(const json_t *r, char *text, size_t size)
{
	const char *stage = text_of(r, "stage"), *path = text_of(r, "path");
	if (!strcmp(stage, "send") || !strcmp(stage, "check"))
		snprintf(text, size, "path %s/%s", text_of(r, "peer"), path);
	else if (!strcmp(stage, "drop"))
		snprintf(text, size, "%s", text_of(r, "detail"));
	else if (!strcmp(stage, "wait"))
		snprintf(text, size, "for an earlier packet of its flow");
	else if (!strcmp(stage, "bundle"))
		snprintf(text, size, "rides along with another packet");
	else
		snprintf(text, size, "%s", text_of(r, "detail"));
}

static void print_packet(unsigned number, const json_t *records)
{
	struct table t;
	char what[200];
	json_int_t begun = number_of(json_array_get(records, 0), "at_ns"), then = begun;
	size_t i;
	json_t *r;
	print_head(number, records);
	table_begin(&t, 4, NULL);
	json_array_foreach(records, i, r)
	{
		json_int_t at = number_of(r, "at_ns");
		what_happened(r, what, sizeof(what));
		table_cell(&t, "  %10.1f us", (double)(at - begun) / 1000);
		table_cell(&t, "%+9.1f", (double)(at - then) / 1000);
		table_cell(&t, "%s", text_of(r, "stage"));
		table_cell(&t, "%s", what);
		then = at;
	}
	table_end(&t, stdout);
	putchar('\n');
	fflush(stdout);
}

/* ---- records to packets ---- */

static bool ends_packet(const json_t *record)
{
	static const char *const ends[] = {"drop", "mirror", "host", "tx", "send", "bundle"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(ends); i++)
		if (!strcmp(text_of(record, "stage"), ends[i]))
			return true;
	return false;
}

static int earlier_first(const void *a, const void *b)
{
	json_int_t x = number_of(*(json_t *const *)a, "at_ns");
	json_int_t y = number_of(*(json_t *const *)b, "at_ns");
	return (x > y) - (x < y);
}

/* Workers that hand a packet over write to rings of their own, which are read one after the other. */
static json_t *sorted(const json_t *records)
{
	size_t n = json_array_size(records);
	json_t **all = calloc(n ? n : 1, sizeof(*all)), *result = json_array();
	if (!all)
		abort();
	for (size_t i = 0; i < n; i++)
		all[i] = json_array_get(records, i);
	qsort(all, n, sizeof(*all), earlier_first);
	for (size_t i = 0; i < n; i++)
		json_array_append(result, all[i]);
	free(all);
	return result;
}

static void finish_packet(struct tracing *t, const char *key)
{
	json_t *records = sorted(json_object_get(json_object_get(t->packets, key), "records"));
	t->n_done++;
	if (t->ctl->json)
		json_array_append(t->finished, records);
	else
		print_packet(t->n_done, records);
	json_decref(records);
	json_object_del(t->packets, key);
}

static void take_record(struct tracing *t, json_t *record)
{
	char key[24];
	snprintf(key, sizeof(key), "%" JSON_INTEGER_FORMAT, number_of(record, "packet"));
	json_t *packet = json_object_get(t->packets, key);
	if (!packet) {
		packet = json_pack("{s:[]}", "records");
		json_object_set_new(t->packets, key, packet);
	}
	json_array_append(json_object_get(packet, "records"), record);
	if (ends_packet(record))
		json_object_set_new(packet, "ended_in", json_integer(t->round));
}

/* A packet that ended in an earlier round: whatever another worker wrote of it is here by now. */
static void finish_ended(struct tracing *t)
{
	const char *key;
	json_t *packet;
	void *next;
	json_object_foreach_safe(t->packets, next, key, packet)
	{
		const json_t *ended_in = json_object_get(packet, "ended_in");
		char copy[24];
		snprintf(copy, sizeof(copy), "%s", key);
		if (ended_in && json_integer_value(ended_in) < t->round && t->n_done < t->n_wanted)
			finish_packet(t, copy);
	}
}

/* What did not come to an end in time: it is shown as far as it came. */
static void finish_rest(struct tracing *t)
{
	while (t->n_done < t->n_wanted) {
		void *at = json_object_iter(t->packets);
		if (!at)
			return;
		char key[24];
		snprintf(key, sizeof(key), "%s", json_object_iter_key(at));
		finish_packet(t, key);
	}
}

/* ---- talking to the gateway ---- */

static json_t *ask_about(struct tracing *t, const char *command)
{
	char params[24];
	snprintf(params, sizeof(params), "%" JSON_INTEGER_FORMAT, t->serial);
	return ask_gateway(t->ctl, command, params);
}

/* 1: go on; 0: the trace is over; -1: the gateway complained. */
static int read_once(struct tracing *t)
{
	json_t *answer = ask_about(t, "trace/read"), *record;
	size_t i;
	if (!answer)
		return -1;
	t->round++;
	json_array_foreach(json_object_get(answer, "records"), i, record) take_record(t, record);
	if (number_of(answer, "lost_records"))
		complain(EXIT_OTHER,
			"%" JSON_INTEGER_FORMAT " records were lost: ask for fewer packets",
			number_of(answer, "lost_records"));
	finish_ended(t);
	int running = json_is_true(json_object_get(answer, "running"));
	json_decref(answer);
	return running;
}

static int follow(struct tracing *t)
{
	unsigned quiet = 0;
	int running = 1;
	while (running >= 0 && t->n_done < t->n_wanted && quiet < QUIET_ROUNDS) {
		usleep(ASK_EVERY_US);
		running = read_once(t);
		quiet += running == 0;
	}
	if (running < 0)
		return EXIT_OTHER;
	finish_rest(t);
	json_decref(ask_about(t, "trace/stop"));
	if (t->ctl->json)
		print_json(t->finished);
	else if (!t->n_done)
		puts("no packet matched");
	return EXIT_OK;
}

/* "-n 5 proto udp" becomes "n 5 proto udp ": the words of trace/start. */
static int write_params(int argc, char **argv, char *text, size_t size)
{
	size_t len = 0;
	text[0] = 0;
	for (int i = 0; i < argc; i++) {
		const char *word = !strcmp(argv[i], "-n")   ? "n"
				   : !strcmp(argv[i], "-t") ? "seconds"
							    : argv[i];
		len += (size_t)snprintf(text + len, size - len, "%s ", word);
		if (len >= size)
			return complain(EXIT_OTHER, "the filter is too long");
	}
	return EXIT_OK;
}

static int trace(struct lodectl *ctl, int argc, char **argv)
{
	struct tracing t = {.ctl = ctl, .n_wanted = 1};
	char params[400];
	int rc = write_params(argc, argv, params, sizeof(params));
	for (int i = 0; i + 1 < argc; i += 2)
		if (!strcmp(argv[i], "-n") || !strcmp(argv[i], "n"))
			t.n_wanted = (unsigned)strtoul(argv[i + 1], NULL, 10);
	json_t *answer = rc ? NULL : ask_gateway(ctl, "trace/start", params);
	if (!answer)
		return EXIT_OTHER;
	t.serial = number_of(answer, "trace");
	json_decref(answer);
	t.packets = json_object();
	t.finished = json_array();
	rc = follow(&t);
	json_decref(t.packets);
	json_decref(t.finished);
	return rc;
}

const struct command trace_commands[] = {
	{"trace", "", "[-n N] [-t S] [FILTER]",
		"N packets through every stage; FILTER: proto P src A dst A sport N dport N class "
		"C "
		"peer P",
		trace},
	COMMANDS_END,
};
