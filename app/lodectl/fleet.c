/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl device, fleet: appliances as the manager knows them. */
#include "manager.h"

#include <stdlib.h>

/* ---- devices ---- */

static int device_list(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {{"DEVICE", "id"}, {"STATUS", "status"},
		{"MODEL", "current_model"}, {"VERSION", "current_model_version"},
		{"ASSIGNED", "assigned_model_version"}, {"FLEET", "fleet_id"}};
	(void)argc, (void)argv;
	return manager_table(ctl, "/devices?limit=1000", columns, LODE_ARRAY_LEN(columns));
}

static int device_show(struct lodectl *ctl, int argc, char **argv)
{
	return manager_show(ctl, "/devices/*", argc, argv);
}

static int device_register(struct lodectl *ctl, int argc, char **argv)
{
	if (!argc)
		return complain(
			EXIT_OTHER, "usage: lodectl device register ID [NAME] [TAG=VALUE...]");
	bool named = argc > 1 && !strchr(argv[1], '=');
	json_t *tags = manager_options(argc - 1 - named, argv + 1 + named);
	if (!tags)
		return EXIT_OTHER;
	return manager_do(ctl, "POST", "/devices",
		json_pack("{s:s,s:s,s:o}", "id", argv[0], "name", named ? argv[1] : argv[0], "tags",
			tags),
		"device %s is registered", argv[0]);
}

static int device_remove(struct lodectl *ctl, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, "/devices/*", argc, argv, 1))
		return EXIT_OTHER;
	return manager_do(
		ctl, "DELETE", path, NULL, "device %s is gone, its certificates too", argv[0]);
}

static int device_enrol(struct lodectl *ctl, int argc, char **argv)
{
	if (argc < 1 || argc > 3)
		return complain(EXIT_OTHER, "usage: lodectl device enrol NAME [ROLE] [TTL_S]");
	json_t *body =
		json_pack("{s:s,s:s}", "name", argv[0], "role", argc > 1 ? argv[1] : "device");
	if (argc > 2)
		json_object_set_new(body, "ttl_s", json_integer(strtoll(argv[2], NULL, 10)));
	json_t *v = manager_once(ctl, "POST", "/enrolments", body);
	if (!v || ctl->json)
		return print_answer(ctl, v);
	/* The token alone: it goes into a file or a pipe. */
	puts(json_string_value(json_object_get(v, "token")));
	json_decref(v);
	return EXIT_OK;
}

/* ---- fleets ---- */

static int fleet_list(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{"FLEET", "id"}, {"NAME", "name"}, {"DEVICES", "devices"}};
	(void)argc, (void)argv;
	return manager_table(ctl, "/fleets", columns, LODE_ARRAY_LEN(columns));
}

static int fleet_create(struct lodectl *ctl, int argc, char **argv)
{
	if (argc < 1 || argc > 2)
		return complain(EXIT_OTHER, "usage: lodectl fleet create ID [NAME]");
	return manager_do(ctl, "POST", "/fleets",
		json_pack("{s:s,s:s}", "id", argv[0], "name", argv[argc - 1]), "fleet %s is made",
		argv[0]);
}

static int fleet_show(struct lodectl *ctl, int argc, char **argv)
{
	return manager_show(ctl, "/fleets/*", argc, argv);
}

static int fleet_status(struct lodectl *ctl, int argc, char **argv)
{
	return manager_show(ctl, "/fleets/*/status", argc, argv);
}

static int change_members(struct lodectl *ctl, int argc, char **argv, bool add)
{
	char path[MANAGER_PATH_MAX];
	int rc = argc < 2 ? complain(EXIT_OTHER, "usage: lodectl fleet %s FLEET DEVICE...",
				    add ? "add" : "remove")
			  : EXIT_OK;
	for (int i = 1; i < argc && !rc; i++) {
		char *names[] = {argv[0], argv[i]};
		if (!manager_path(path, "/fleets/*/devices/*", 2, names, 2))
			return EXIT_OTHER;
		rc = manager_do(ctl, add ? "POST" : "DELETE", path, NULL, "%s %s %s", argv[i],
			add ? "joins" : "leaves", argv[0]);
	}
	return rc;
}

static int fleet_add(struct lodectl *ctl, int argc, char **argv)
{
	return change_members(ctl, argc, argv, true);
}

static int fleet_remove(struct lodectl *ctl, int argc, char **argv)
{
	return change_members(ctl, argc, argv, false);
}

const struct command fleet_commands[] = {
	{"device", "list", "", "appliances: state, model, fleet", device_list},
	{"device", "show", "ID", "everything known of one", device_show},
	{"device", "register", "ID [NAME] [TAG=VALUE...]", "make one known", device_register},
	{"device", "remove", "ID", "forget one and revoke its certificates", device_remove},
	{"device", "enrol", "NAME [ROLE] [TTL_S]", "a one-time token for a certificate",
		device_enrol},
	{"fleet", "list", "", "fleets and how many devices", fleet_list},
	{"fleet", "create", "ID [NAME]", "make a fleet", fleet_create},
	{"fleet", "show", "ID", "one fleet", fleet_show},
	{"fleet", "status", "ID", "its devices by state", fleet_status},
	{"fleet", "add", "FLEET DEVICE...", "put devices in", fleet_add},
	{"fleet", "remove", "FLEET DEVICE...", "take devices out", fleet_remove},
	COMMANDS_END,
};
