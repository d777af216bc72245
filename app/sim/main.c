/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-sim: whole gateways in virtual time. */
#include "record.h"
#include "run.h"
#include "swarm.h"

#include <stdio.h>
#include <string.h>

static const char usage_text[] =
	"usage: lodestone-sim run [option...]\n"
	"       lodestone-sim swarm [option...]\n"
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
	"swarm: a scenario of each seed under random faults; what must hold is in "
	"docs/simulator.md\n"
	"  --seed FIRST     (1)\n"
	"  --seeds N        so many (1)\n"
	"  --hours H        or as many as make H virtual hours\n"
	"  --seconds T      of traffic and faults in each (60)\n"
	"  --jobs J         processes at a time (1)\n"
	"  --once           do not run each a second time to compare digests\n"
	"  --faults A,B     these kinds only, or none: loss burst reorder duplicate corrupt link "
	"flap\n"
	"                   mtu nat cgnat restart rekey clock stall pool refusal hostile flood "
	"garbage\n"
	"                   reconfigure\n"
	"  --without N,M-K  leave these faults of the scenario out\n"
	"  --shrink         the fewest faults with which the seed still fails\n"
	"  --sabotage HOW   break a promise, to see it found: alter twice swap astray lose leak "
	"delay\n"
	"  -j, --json       the report as JSON\n";

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
