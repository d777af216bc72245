/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-train: trains the gateway's models from recorded samples. */
#include "../asked.h"
#include "train.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: lodestone-train loss --samples FILE --out FOLDER [option...]\n"
	"       lodestone-train records FILE [--out FILE.json]   LossSample and DrlExperience, "
	"checked\n"
	"Trains a loss predictor: FOLDER/loss-KIND.safetensors with its card (.md) and curves "
	"(.svg).\n"
	"  --kind KIND      mlp (default), lstm or transformer; or all\n"
	"  --schema NAME    loss/2 (default), loss/1, oxidize-trainer/1 or oxidize-seed/1\n"
	"  --epochs N       at most (4)\n"
	"  --windows N      per epoch, drawn anew for each (0: all)\n"
	"  --every N        one window in N is trained and tested with (3): neighbours are alike\n"
	"  --rate R         highest learning rate (0.003)\n"
	"  --seed S         of weights and order (1)\n"
	"  --fp32           keeps the FP32 master too\n";

static void show_progress(void *ctx, unsigned epoch, double share, double loss)
{
	const struct train_job *job = ctx;
	char bar[41];
	memset(bar, '.', sizeof(bar));
	memset(bar, '#', (size_t)(share * 40));
	bar[40] = 0;
	fprintf(stderr, "\r%-11s epoch %u of %u [%s] loss %.4f ", job->kind, epoch + 1,
		job->options.max_epochs, bar, loss);
	if (share >= 1)
		fputc('\n', stderr);
}

static int read_options(struct train_job *job, int argc, char **argv)
{
	static const struct option options[] = {{"samples", required_argument, NULL, 'i'},
		{"out", required_argument, NULL, 'o'}, {"kind", required_argument, NULL, 'k'},
		{"schema", required_argument, NULL, 'c'}, {"epochs", required_argument, NULL, 'e'},
		{"windows", required_argument, NULL, 'w'}, {"every", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'}, {"seed", required_argument, NULL, 's'},
		{"fp32", no_argument, NULL, 'f'}, {0}};
	*job = (struct train_job){.kind = "mlp", .every = 3, .options = lode_train_defaults()};
	job->options.ctx = job;
	job->options.progress = isatty(STDERR_FILENO) ? show_progress : NULL;
	for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (key) {
		case 'i':
			job->samples = optarg;
			break;
		case 'o':
			job->out = optarg;
			break;
		case 'k':
			job->kind = optarg;
			break;
		case 'c':
			job->schema = optarg;
			break;
		case 'e':
			job->options.max_epochs = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'w':
			job->options.windows_per_epoch = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			job->every = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			job->options.rate = strtod(optarg, NULL);
			break;
		case 's':
			job->options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'f':
			job->fp32 = true;
			break;
		default:
			return -EINVAL;
		}
	return job->samples && job->out && job->every ? 0 : -EINVAL;
}

static int loss_command(int argc, char **argv)
{
	static const char *const kinds[] = {"mlp", "lstm", "transformer"};
	struct train_job job;
	struct lode_err err = {0};
	int rc = 0;
	if (read_options(&job, argc, argv)) {
		fputs(usage_text, stderr);
		return 1;
	}
	bool all = !strcmp(job.kind, "all");
	for (unsigned i = 0; !rc && i < (all ? LODE_ARRAY_LEN(kinds) : 1); i++) {
		if (all)
			job.kind = kinds[i];
		rc = train_loss(&job, &err);
	}
	if (rc)
		fprintf(stderr, "lodestone-train: %s\n", err.msg);
	return rc ? 1 : 0;
}

/* FILE [--out FILE] */
static int records_command(int argc, char **argv)
{
	struct lode_err err = {0};
	bool out = argc == 4 && !strcmp(argv[2], "--out");
	if (argc != 2 && !out) {
		fputs(usage_text, stderr);
		return 1;
	}
	if (convert_records(argv[1], out ? argv[3] : NULL, &err)) {
		fprintf(stderr, "lodestone-train: %s\n", err.msg);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (asked_for(argc, argv, 2) == ASKED_HELP) {
		fputs(usage_text, stdout);
		return 0;
	}
	if (answer_asked(argc, argv, "lodestone-train", usage_text))
		return 0;
	if (argc >= 2 && !strcmp(argv[1], "loss"))
		return loss_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "records"))
		return records_command(argc - 1, argv + 1);
	fputs(usage_text, stderr);
	return 1;
}
