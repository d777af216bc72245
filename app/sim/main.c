/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-sim: whole gateways in virtual time. */
#include "record.h"
#include "run.h"
#include "swarm.h"

#include <stdio.h>
#include <string.h>

static const char usage_text[] =
	"usage: lodestone-sim run [option...]\n"
	"       lodestone-sim swarm [--seed FIRST] [--seeds N] [--seconds T]\n"
	"       lodestone-sim record --out FILE [option...]\n"
	"run: one scenario\n"
	"  --seed S         of everything random (1)\n"
	"  --seconds T      virtual time (10)\n"
	"  --sites N        2..65 (2)\n"
	"  --hub            sites know site 0 only, and reach each other through it\n"
	"  --workers N      per site, 1..16 (1)\n"
	"  --wan LINK       a WAN port of every site; up to 4 times. LINK is key=value,... as of\n"
	"                   lodestone-wanem (rate delay jitter loss burst queue ...), and up=RATE "
	"for\n"
	"                   what the configuration says; default: one of rate=100M,delay=10ms\n"
	"  --aead NAME      null, auto, ipsec-mb, openssl (null)\n"
	"  --yaml FILE      more configuration for every site (classes, rules)\n"
	"  --voip N         flows of 100 packets/s from site 0 to each other site, and back (1)\n"
	"  --tcp N          transfers from site 0 to each other site (1)\n"
	"  --cut K@FROM-TO  WAN port K of site 0 is cut between these seconds\n"
	"  --check          run twice and compare the digests\n"
	"  -j, --json       results as JSON\n"
	"record: samples for the trainer, from sessions over real traces; docs/simulator.md\n"
	"  --out FILE --data FOLDER [--seed S] [--sessions N (100)] [--seconds T (40)]\n"
	"swarm: scenarios of N seeds under random faults, each twice; a failing seed prints how "
	"to\n"
	"replay it\n";

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "run"))
		return run_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "swarm"))
		return swarm_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "record"))
		return record_command(argc - 1, argv + 1);
	bool asked = argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
	fputs(usage_text, asked ? stdout : stderr);
	return asked ? 0 : 1;
}
