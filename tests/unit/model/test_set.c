/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "make_model.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void make_dirs(void)
{
	char path[96];
	strcpy(dir, "/tmp/lode-models-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/shipped", dir);
	mkdir(path, 0700);
}

static void remove_dirs(void)
{
	char cmd[96];
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(set, .init = make_dirs, .fini = remove_dirs);

static void put(const char *name, const void *data, size_t n)
{
	char path[160];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "wb");
	cr_assert_eq(fwrite(data, 1, n, f), n);
	fclose(f);
}

static void put_model(const char *file, const char *name, enum lode_model_role role)
{
	struct made_model made = {0};
	struct lode_nn_desc desc = dqn_desc();
	struct lode_err err;
	made.nets[0] = make_net(&desc, 1);
	made.source = (struct lode_model_source){.name = name,
		.role = role,
		.schema = &lode_schema_oxidize_drl,
		.nets = {{desc, made.nets[0].tensors, made.nets[0].n_tensors, NULL}},
		.n_nets = 1};
	cr_assert_eq(lode_model_write(
			     &made.source, LODE_NN_FORMAT_INT8, &made.image, &made.n_bytes, &err),
		0);
	put(file, made.image, made.n_bytes);
	made_free(&made);
}

static struct lode_model_set load(void)
{
	char state[96], shipped[96], absent[96];
	const char *folders[] = {state, absent, shipped};
	struct lode_model_set set;
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(shipped, sizeof(shipped), "%s/shipped", dir);
	snprintf(absent, sizeof(absent), "%s/absent", dir);
	cr_assert_eq(lode_model_set_load(&set, folders, 3, NULL, NULL), 0);
	return set;
}

Test(set, an_empty_start_runs_on_the_classics)
{
	struct lode_model_set set = load();
	for (int i = 0; i < LODE_MODEL_ROLES; i++)
		cr_assert_null(set.by_role[i]);
	cr_assert_eq(set.n_reports, 1, "the absent folder");
	cr_assert_eq(set.reports[0].rc, -ENOENT);
	lode_model_set_free(&set);
}

Test(set, committed_models_win_over_shipped_ones_and_bad_ones_fall_back)
{
	put_model("state/control.safetensors", "committed", LODE_MODEL_DQN);
	put_model("shipped/control.safetensors", "shipped dqn", LODE_MODEL_DQN);
	put_model("shipped/oracle.safetensors", "shipped oracle", LODE_MODEL_ORACLE);
	put("state/oracle.safetensors", "not a model", 11);
	put("shipped/README.md", "text", 4);
	struct lode_model_set set = load();
	cr_assert_str_eq(set.by_role[LODE_MODEL_DQN]->name, "committed");
	cr_assert_str_eq(set.by_role[LODE_MODEL_ORACLE]->name, "shipped oracle");
	cr_assert_null(set.by_role[LODE_MODEL_LOSS]);
	cr_assert_eq(set.n_reports, 5);
	cr_assert_not_null(strstr(set.reports[0].says, "loaded as dqn: 'committed', INT8"));
	cr_assert_lt(set.reports[1].rc, 0);
	cr_assert_not_null(strstr(set.reports[1].says, "refused: "));
	cr_assert_not_null(strstr(set.reports[3].says, "spare: 'committed' already serves dqn"));
	lode_model_set_free(&set);
}

Test(set, files_are_read_once_and_only_if_regular)
{
	char path[96];
	struct lode_model *m;
	struct lode_err err;
	snprintf(path, sizeof(path), "%s/fifo.safetensors", dir);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(lode_model_load(&m, path, NULL, &err), -E2BIG);
	cr_assert_eq(lode_model_load(&m, dir, NULL, &err), -E2BIG);
	snprintf(path, sizeof(path), "%s/large.safetensors", dir);
	FILE *f = fopen(path, "wb");
	cr_assert_eq(ftruncate(fileno(f), 65 << 20), 0);
	fclose(f);
	cr_assert_eq(lode_model_load(&m, path, NULL, &err), -E2BIG);
	cr_assert_not_null(strstr(err.msg, "at most 67108864 bytes"));
}
