/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A new folder, removed with all that is in it by temp_remove. */
void temp_make(char path[64]);
void temp_remove(const char *path);
