/* SPDX-License-Identifier: BSD-3-Clause */
#include "town.h"

#include <criterion/criterion.h>

#include <stdlib.h>

/* A bundle of releases 1 to n with their files. */
static uint8_t *make(unsigned n, size_t *len)
{
	struct lode_trust_bundle b = {0};
	uint8_t *head, *all;
	char text[32];
	for (unsigned i = 0; i < n; i++)
		b.files[b.n_files++] = (struct lode_trust_bundle_file){
			.chain = town_plain(i + 1), .n_bytes = town_file(i + 1, text)};
	cr_assert_eq(lode_trust_bundle_head(&b, &head, len, &town_said), 0, "%s", town_said.msg);
	all = realloc(head, *len + n * sizeof(text));
	for (unsigned i = 0; i < n; i++) {
		size_t n_bytes = town_file(i + 1, text);
		memcpy(all + *len, text, n_bytes);
		*len += n_bytes;
	}
	lode_trust_bundle_clear(&b);
	return all;
}

Test(bundle, gives_back_what_was_put_in)
{
	struct lode_trust_bundle b;
	struct lode_trust_state s = town_appliance();
	size_t len;
	uint8_t *bytes = make(3, &len);
	cr_assert_eq(lode_trust_bundle_read(&b, bytes, len, &town_said), 0, "%s", town_said.msg);
	cr_assert_eq(b.n_files, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct lode_trust_bundle_file *f = &b.files[i];
		cr_expect_eq(town_offer(&s, strdup(f->chain), NULL, NOW_S), 0, "%s", town_said.msg);
		cr_expect_eq(lode_trust_check_file(&town_accepted, bytes + f->offset_bytes,
				     f->n_bytes, &town_said),
			0, "%s", town_said.msg);
	}
	lode_trust_bundle_clear(&b);
	lode_trust_state_clear(&s);
	free(bytes);
}

Test(bundle, is_refused_when_it_is_cut_or_longer)
{
	struct lode_trust_bundle b;
	size_t len;
	uint8_t *bytes = make(2, &len);
	for (size_t n = 0; n < len; n++) {
		uint8_t *cut = malloc(n + 1); /* of its own, so that a byte too far is seen */
		memcpy(cut, bytes, n);
		cr_expect_neq(lode_trust_bundle_read(&b, cut, n, &town_said), 0, "%zu bytes", n);
		lode_trust_bundle_clear(&b);
		free(cut);
	}
	cr_expect_eq(lode_trust_bundle_read(&b, bytes, len, &town_said), 0);
	lode_trust_bundle_clear(&b);
	bytes = realloc(bytes, len + 1);
	bytes[len] = 0;
	cr_expect_neq(lode_trust_bundle_read(&b, bytes, len + 1, &town_said), 0);
	lode_trust_bundle_clear(&b);
	free(bytes);
}

/* Lengths whose sum comes round to what is there. */
Test(bundle, is_refused_when_its_lengths_wrap)
{
	struct lode_trust_bundle b = {.n_files = 3}, read;
	uint8_t *head;
	size_t len;
	for (unsigned i = 0; i < b.n_files; i++)
		b.files[i] = (struct lode_trust_bundle_file){
			.chain = town_plain(1), .n_bytes = i < 2 ? INT64_MAX : 2};
	cr_assert_eq(lode_trust_bundle_head(&b, &head, &len, &town_said), 0);
	cr_expect_eq(lode_trust_bundle_read(&read, head, len, &town_said), -EBADMSG);
	lode_trust_bundle_clear(&read);
	lode_trust_bundle_clear(&b);
	free(head);
}
