/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys as text (base64, RFC 4648) and in files; names to indexes. */
#include "lode_config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
#define TEXT_LEN 44 /* of 32 bytes */

int lode_config_key_from_base64(const char *text, uint8_t key[LODE_KEY_BYTES])
{
	uint8_t out[LODE_KEY_BYTES + 1];
	if (strlen(text) != TEXT_LEN || text[TEXT_LEN - 1] != '=')
		return -EINVAL;
	for (int i = 0; i < TEXT_LEN / 4; i++) {
		uint32_t v = 0;
		for (int j = 0; j < 4; j++) {
			char ch = text[4 * i + j];
			const char *at = strchr(alphabet, ch);
			bool pad = 4 * i + j == TEXT_LEN - 1;
			if (!pad && (!at || !ch))
				return -EINVAL;
			v = v << 6 | (uint32_t)(pad ? 0 : at - alphabet);
		}
		for (int j = 0; j < 3; j++)
			out[3 * i + j] = (uint8_t)(v >> (16 - 8 * j));
	}
	if (out[LODE_KEY_BYTES] != 0) /* the last character has two bits that must be zero */
		return -EINVAL;
	memcpy(key, out, LODE_KEY_BYTES);
	return 0;
}

void lode_config_key_to_base64(const uint8_t key[LODE_KEY_BYTES], char text[48])
{
	uint8_t in[LODE_KEY_BYTES + 1] = {0};
	memcpy(in, key, LODE_KEY_BYTES);
	for (int i = 0; i < TEXT_LEN / 4; i++) {
		uint32_t v =
			(uint32_t)in[3 * i] << 16 | (uint32_t)in[3 * i + 1] << 8 | in[3 * i + 2];
		for (int j = 0; j < 4; j++)
			text[4 * i + j] = alphabet[v >> (18 - 6 * j) & 63];
	}
	text[TEXT_LEN - 1] = '=';
	text[TEXT_LEN] = '\0';
}

int lode_config_read_key(const char *path, uint8_t key[LODE_KEY_BYTES], struct lode_err *err)
{
	char text[128];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rc = 0;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0 || fstat(fd, &st))
		rc = lode_err_set(err, -EIO, "%s: cannot be read", path);
	else if (st.st_mode & 077)
		rc = lode_err_set(err, -EPERM,
			"%s: mode %04o found; a key file must be readable by its owner only (chmod "
			"600)",
			path, st.st_mode & 07777);
	close(fd);
	if (rc)
		return rc;
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	rc = lode_config_key_from_base64(text, key);
	explicit_bzero(text, sizeof(text));
	return rc ? lode_err_set(err, rc,
			    "%s: not a key: 32 bytes in base64 (44 characters) wanted", path)
		  : 0;
}

int lode_config_port_by_name(const struct lode_config *c, const char *name)
{
	for (int i = 0; i < c->n_ports; i++)
		if (!strcmp(c->ports[i].name, name))
			return i;
	return -ENOENT;
}

int lode_config_peer_by_name(const struct lode_config *c, const char *name)
{
	for (int i = 0; i < c->n_peers; i++)
		if (!strcmp(c->peers[i].name, name))
			return i;
	return -ENOENT;
}
