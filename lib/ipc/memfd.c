/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_ipc.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int lode_ipc_memfd_new(const char *name, const void *bytes, size_t len, struct lode_err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return lode_err_set(err, -errno, "memfd %s: %s", name, strerror(errno));
	int rc = write_all(fd, bytes, len);
	if (!rc && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return lode_err_set(err, rc, "memfd %s of %zu bytes: %s", name, len, strerror(-rc));
}

int lode_ipc_memfd_map(
	int fd, size_t limit_bytes, const void **bytes, size_t *len, struct lode_err *err)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st) < 0)
		return lode_err_set(
			err, -EINVAL, "received descriptor is not a memfd: %s", strerror(errno));
	if ((seals & SEALS) != SEALS)
		return lode_err_set(err, -EPERM,
			"received memfd has seals 0x%x, 0x%x are needed: its bytes could change",
			(unsigned)seals, SEALS);
	if (st.st_size < 1 || (uint64_t)st.st_size > limit_bytes)
		return lode_err_set(err, -EFBIG, "received memfd has %lld bytes, 1..%zu allowed",
			(long long)st.st_size, limit_bytes);
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return lode_err_set(err, -errno, "mapping %lld bytes: %s", (long long)st.st_size,
			strerror(errno));
	*bytes = map;
	*len = (size_t)st.st_size;
	return 0;
}
