/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_port.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define PATH_BYTES 512

/* ---- reading one file: a flat mapping of scalars, pci_ids a list ---- */

enum value_kind { TEXT, NUMBER, CHOICE, IDS };

struct key {
	const char *name;
	enum value_kind kind;
	size_t offset, size;
	long min, max;
	const char *const *choices; /* NULL-terminated; the index is the value */
};

#define FIELD(f) offsetof(struct lode_profile, f), sizeof(((struct lode_profile *)0)->f)

static const char *const statuses[] = {"untested", "tested", NULL};
static const char *const buses[] = {"pci", "vdev", NULL};
static const char *const bindings[] = {"none", "kernel", "vfio-pci", "bifurcated", NULL};
static const char *const answers[] = {"no", "yes", NULL};
static const char *const steerings[] = {"none", "hash", "udp-port", NULL};

static const struct key keys[] = {
	{"version", NUMBER, 0, 0, 1, 1, NULL},
	{"name", TEXT, FIELD(name), 0, 0, NULL},
	{"status", CHOICE, FIELD(tested), 0, 0, statuses},
	{"bus", CHOICE, FIELD(bus), 0, 0, buses},
	{"binding", CHOICE, FIELD(binding), 0, 0, bindings},
	{"steering", CHOICE, FIELD(steering), 0, 0, steerings},
	{"rx_interrupts", CHOICE, FIELD(rx_interrupts), 0, 0, answers},
	{"driver", TEXT, FIELD(driver), 0, 0, NULL},
	{"devargs", TEXT, FIELD(devargs), 0, 0, NULL},
	{"max_queues", NUMBER, FIELD(max_queues), 1, LODE_WORKERS_MAX, NULL},
	{"rx_descriptors", NUMBER, FIELD(rx_descriptors), 32, 8192, NULL},
	{"tx_descriptors", NUMBER, FIELD(tx_descriptors), 32, 8192, NULL},
	{"max_mtu_bytes", NUMBER, FIELD(max_mtu_bytes), 1280, 9600, NULL},
	{"pci_ids", IDS, FIELD(pci_ids), 0, 0, NULL},
	{"note", TEXT, FIELD(note), 0, 0, NULL},
};

struct reader {
	yaml_parser_t yaml;
	const char *path;
	struct lode_profile *p;
	struct lode_err *err;
	uint32_t seen; /* bit per row of keys */
	int rc;
};

static int fail(struct reader *r, const yaml_event_t *ev, const char *what)
{
	if (!r->rc)
		r->rc = lode_err_set(r->err, -EINVAL, "%s:%zu:%zu: %s", r->path,
			ev->start_mark.line + 1, ev->start_mark.column + 1, what);
	return r->rc;
}

static void store(const struct key *k, struct lode_profile *p, long value)
{
	void *at = (char *)p + k->offset;
	if (k->size == 1)
		*(uint8_t *)at = (uint8_t)value;
	else if (k->size == 2)
		*(uint16_t *)at = (uint16_t)value;
	else if (k->size == 4)
		*(uint32_t *)at = (uint32_t)value;
}

static int read_number(struct reader *r, const struct key *k, const yaml_event_t *ev)
{
	char what[160], *end;
	const char *text = (const char *)ev->data.scalar.value;
	long value = strtol(text, &end, 10);
	if (*end || end == text || value < k->min || value > k->max) {
		snprintf(what, sizeof(what), "%s: \"%.40s\", %ld to %ld is allowed", k->name, text,
			k->min, k->max);
		return fail(r, ev, what);
	}
	store(k, r->p, value);
	return 0;
}

static int read_choice(struct reader *r, const struct key *k, const yaml_event_t *ev)
{
	const char *text = (const char *)ev->data.scalar.value;
	char what[200];
	int len = snprintf(what, sizeof(what), "%s: \"%.40s\", allowed:", k->name, text);
	for (long i = 0; k->choices[i]; i++) {
		if (!strcmp(k->choices[i], text)) {
			store(k, r->p, i);
			return 0;
		}
		len += snprintf(what + len, sizeof(what) - (size_t)len, " %s", k->choices[i]);
	}
	return fail(r, ev, what);
}

static int read_text(struct reader *r, const struct key *k, const yaml_event_t *ev)
{
	char what[160];
	if (ev->data.scalar.length >= k->size) {
		snprintf(what, sizeof(what), "%s: %zu bytes, at most %zu are allowed", k->name,
			ev->data.scalar.length, k->size - 1);
		return fail(r, ev, what);
	}
	strcpy((char *)r->p + k->offset, (const char *)ev->data.scalar.value);
	return 0;
}

static int read_id(struct reader *r, const yaml_event_t *ev)
{
	unsigned vendor, device;
	int used = 0;
	const char *text = (const char *)ev->data.scalar.value;
	if (sscanf(text, "%4x:%4x%n", &vendor, &device, &used) != 2 || text[used])
		return fail(r, ev, "pci_ids: want vendor:device in hexadecimal, as 8086:10fb");
	if (r->p->n_pci_ids == LODE_PROFILE_IDS_MAX)
		return fail(r, ev, "pci_ids: too many");
	r->p->pci_ids[r->p->n_pci_ids++] = vendor << 16 | device;
	return 0;
}

static bool next_event(struct reader *r, yaml_event_t *ev)
{
	if (yaml_parser_parse(&r->yaml, ev))
		return true;
	if (!r->rc)
		r->rc = lode_err_set(r->err, -EINVAL, "%s:%zu: %s", r->path,
			r->yaml.problem_mark.line + 1,
			r->yaml.problem ? r->yaml.problem : "bad YAML");
	memset(ev, 0, sizeof(*ev));
	return false;
}

static const struct key *find_key(struct reader *r, const yaml_event_t *ev)
{
	char what[160];
	const char *text = (const char *)ev->data.scalar.value;
	for (size_t i = 0; i < LODE_ARRAY_LEN(keys); i++) {
		if (strcmp(keys[i].name, text))
			continue;
		if (r->seen & 1u << i) {
			snprintf(what, sizeof(what), "%.40s: given twice", text);
			fail(r, ev, what);
			return NULL;
		}
		r->seen |= 1u << i;
		return &keys[i];
	}
	snprintf(what, sizeof(what), "unknown key \"%.40s\"", text);
	fail(r, ev, what);
	return NULL;
}

static void read_value(struct reader *r, const struct key *k)
{
	yaml_event_t ev;
	if (!next_event(r, &ev))
		return;
	if (k->kind == IDS && ev.type == YAML_SEQUENCE_START_EVENT) {
		for (bool more = true; more;) {
			yaml_event_t item;
			if (!next_event(r, &item))
				break;
			more = item.type == YAML_SCALAR_EVENT && !read_id(r, &item);
			if (!more && item.type != YAML_SEQUENCE_END_EVENT)
				fail(r, &item, "pci_ids: want a list of vendor:device");
			yaml_event_delete(&item);
		}
	} else if (k->kind == IDS || ev.type != YAML_SCALAR_EVENT) {
		fail(r, &ev, k->kind == IDS ? "want a list" : "want a plain value");
	} else if (k->kind == NUMBER) {
		read_number(r, k, &ev);
	} else if (k->kind == CHOICE) {
		read_choice(r, k, &ev);
	} else {
		read_text(r, k, &ev);
	}
	yaml_event_delete(&ev);
}

static void read_document(struct reader *r)
{
	static const yaml_event_type_t opening[] = {
		YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT, YAML_MAPPING_START_EVENT};
	yaml_event_t ev;
	for (size_t i = 0; i < LODE_ARRAY_LEN(opening) && !r->rc; i++) {
		if (next_event(r, &ev) && ev.type != opening[i])
			fail(r, &ev, "want a mapping of keys to values");
		yaml_event_delete(&ev);
	}
	for (bool more = true; more && !r->rc;) {
		if (!next_event(r, &ev))
			return;
		more = ev.type == YAML_SCALAR_EVENT;
		const struct key *k = more ? find_key(r, &ev) : NULL;
		if (!more && ev.type != YAML_MAPPING_END_EVENT)
			fail(r, &ev, "want a key");
		yaml_event_delete(&ev);
		if (k)
			read_value(r, k);
	}
}

static int check_complete(struct reader *r)
{
	static const char *const needed[] = {
		"version", "name", "status", "bus", "binding", "driver"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(needed) && !r->rc; i++)
		for (size_t k = 0; k < LODE_ARRAY_LEN(keys); k++)
			if (!strcmp(keys[k].name, needed[i]) && !(r->seen & 1u << k))
				r->rc = lode_err_set(r->err, -EINVAL, "%s: key \"%s\" is missing",
					r->path, needed[i]);
	return r->rc;
}

int lode_profile_read(const char *path, struct lode_profile *out, struct lode_err *err)
{
	*out = (struct lode_profile){
		.max_queues = LODE_WORKERS_MAX,
		.rx_descriptors = 1024,
		.tx_descriptors = 1024,
		.max_mtu_bytes = 9000,
	};
	FILE *f = fopen(path, "re");
	if (!f)
		return lode_err_set(err, -errno, "driver profile %s: %s", path, strerror(errno));
	struct reader r = {.path = path, .p = out, .err = err};
	if (yaml_parser_initialize(&r.yaml)) {
		yaml_parser_set_input_file(&r.yaml, f);
		read_document(&r);
		yaml_parser_delete(&r.yaml);
	} else {
		r.rc = lode_err_set(err, -ENOMEM, "driver profile %s: no memory", path);
	}
	fclose(f);
	return r.rc ? r.rc : check_complete(&r);
}

/* ---- which profile fits ---- */

static bool sysfs_id(const char *device, const char *file, uint32_t *id)
{
	char path[PATH_BYTES];
	unsigned value;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, file);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool ok = fscanf(f, "%x", &value) == 1;
	fclose(f);
	*id = value;
	return ok;
}

static bool has_id(const struct lode_profile *p, uint32_t id)
{
	for (unsigned i = 0; i < p->n_pci_ids; i++)
		if (p->pci_ids[i] == id)
			return true;
	return false;
}

static int pick_by_id(const char *dir, const char *device, uint32_t id, struct lode_profile *out,
	struct lode_err *err)
{
	DIR *d = opendir(dir);
	if (!d)
		return lode_err_set(err, -errno, "driver profiles %s: %s", dir, strerror(errno));
	int rc = -ENOENT;
	for (struct dirent *e; rc == -ENOENT && (e = readdir(d));) {
		char path[PATH_BYTES];
		size_t len = strlen(e->d_name);
		if (len < 6 || strcmp(e->d_name + len - 5, ".yaml"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		rc = lode_profile_read(path, out, err);
		if (!rc && !has_id(out, id))
			rc = -ENOENT;
	}
	closedir(d);
	if (rc == -ENOENT)
		lode_err_set(err, rc,
			"device %s (%04x:%04x): no profile in %s has its id; name one with "
			"`profile:`",
			device, id >> 16, id & 0xffff, dir);
	return rc;
}

static bool is_pci_address(const char *device)
{
	unsigned domain, bus, slot, function;
	int used = 0;
	return sscanf(device, "%4x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &used) == 4 &&
	       !device[used];
}

int lode_profile_pick(const char *drivers_dir, const struct lode_config_port *port,
	struct lode_profile *out, struct lode_err *err)
{
	char path[PATH_BYTES];
	uint32_t vendor, device;
	if (!port->profile[0] && is_pci_address(port->device)) {
		if (!sysfs_id(port->device, "vendor", &vendor) ||
			!sysfs_id(port->device, "device", &device))
			return lode_err_set(err, -ENODEV, "port %s: no PCI device %s here",
				port->name, port->device);
		return pick_by_id(drivers_dir, port->device, vendor << 16 | device, out, err);
	}
	snprintf(path, sizeof(path), "%s/%s.yaml", drivers_dir,
		port->profile[0] ? port->profile : "af_packet");
	int rc = lode_profile_read(path, out, err);
	if (rc)
		return lode_err_prefix(err, "port %s", port->name);
	if ((out->bus == LODE_BUS_PCI) != is_pci_address(port->device))
		return lode_err_set(err, -EINVAL,
			"port %s: device \"%s\" %s a PCI address, profile %s %s", port->name,
			port->device, out->bus == LODE_BUS_PCI ? "is not" : "is", out->name,
			out->bus == LODE_BUS_PCI ? "needs one" : "takes none");
	return 0;
}

/* ---- device arguments ---- */

/* A buffer for one frame in a packet ring: header room of about 80 bytes before the frame. */
static unsigned frame_bytes(unsigned mtu_bytes)
{
	unsigned frame = 2048;
	while (frame < mtu_bytes + 18 + 4 + 80)
		frame *= 2;
	return frame;
}

int lode_profile_devargs(const struct lode_profile *p, const struct lode_config_port *port,
	unsigned n_queues, char *buf, size_t size)
{
	size_t len = 0;
	for (const char *s = p->devargs; *s;) {
		char value[LODE_DEVICE_MAX] = {*s};
		size_t skip = 1;
		if (!strncmp(s, "{device}", 8)) {
			snprintf(value, sizeof(value), "%s", port->device);
			skip = 8;
		} else if (!strncmp(s, "{queues}", 8)) {
			snprintf(value, sizeof(value), "%u", n_queues);
			skip = 8;
		} else if (!strncmp(s, "{frame}", 7)) {
			snprintf(value, sizeof(value), "%u",
				frame_bytes(LODE_MIN(port->mtu_bytes, p->max_mtu_bytes)));
			skip = 7;
		}
		size_t n = strlen(value);
		if (len + n >= size)
			return -ENOSPC;
		memcpy(buf + len, value, n);
		len += n;
		s += skip;
	}
	if (len >= size)
		return -ENOSPC;
	buf[len] = 0;
	return 0;
}
