/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), seed and result as there: crc32c(0, "123456789", 9) is
 * 0xe3069283 and crc32c(crc32c(0, a), b) is that of a followed by b. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* One table, one byte at a time: what every machine has. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);
/* The machine's own instruction; call it only where that is there. */
uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t len);
