/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* tests/s3/server in a folder of its own, with a file of its credentials. */
struct s3_server {
	char dir[64], credentials[80], endpoint[48];
	uint16_t port;
	pid_t pid;
};

/* false when the server cannot be had here. trouble: it fails now and then. */
bool s3_server_start(struct s3_server *s, bool trouble);
void s3_server_stop(struct s3_server *s);
/* Writes an AWS credentials file. */
void s3_write_credentials(const char *path, const char *secret, unsigned mode);
